"""Diagonal of the Fisher information of a frozen network with a linear head: what Task2Vec describes a task by.

For one image x the Fisher information of a weight w is the mean of ``(d log p(y|x) / d w) ** 2`` over labels y as the network
itself predicts them; for a task it is the mean of that over its images. It says which weights the predictions hang on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from catscans_lib.errors import InputError

BATCH = 32
C = 0.01  # of 0.001 to 1 and cross-validation, the largest distances beside those of halves; demo world, 100 images


@dataclass(frozen=True)
class Head:
    """Linear classifier on features: kernel, shape (n_features, n_classes), and bias, shape (n_classes,); float64."""

    kernel: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the softmax of ``features @ kernel + bias``, shape (n_images, n_classes)."""
        return softmax(features.astype("float64") @ self.kernel + self.bias, axis=1)


def fit_head(features: np.ndarray, labels: np.ndarray, *, weights: np.ndarray | None = None, c: float = C) -> Head:
    """Fit a logistic regression on standardised features, and write it as a head on the features as they are.

    Its penalised loss has one minimum, so the head follows from images and labels alone. The published code takes some steps
    of Adam instead, and the head hangs on their number, their size and a random start.

    Parameters
    ----------
    features : numpy.ndarray, shape (n_images, n_features)
    labels : numpy.ndarray of int, shape (n_images,)
        Classes 0 to n_classes - 1, at least two, each with an image.
    weights : numpy.ndarray, shape (n_images,), optional
        Of the images in the loss; None: 1 for all.
    c : float
        Inverse strength of the L2 penalty, above 0.

    Raises
    ------
    InputError
        If there are fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise InputError("A head tells at least 2 classes apart; all images are of one class. Take more images.")
    x = features.astype("float64")
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd[sd == 0] = 1  # a feature that never changes says nothing
    fitted = LogisticRegression(C=c, max_iter=5000, tol=1e-6).fit((x - mean) / sd, labels, weights)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(coefficients) == 1:  # of two classes scikit-learn gives the second one's lead over the first
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercept / 2
    kernel = coefficients.T / sd[:, None]
    return Head(kernel, intercept - mean @ kernel)


def balanced(labels: np.ndarray) -> np.ndarray:
    """Return weights of images, 1 on average, under which every class (0 to n_classes - 1) counts the same."""
    counts = np.bincount(labels)
    return len(labels) / len(counts) / counts[labels]


def of_head(head: Head, features: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Fisher information of the head's own kernel, in closed form: the mean over images of ``p_c (1 - p_c) x_j ** 2``.

    Returns
    -------
    numpy.ndarray of float64, shape (n_features, n_classes)
    """
    p = head.probabilities(features)
    return (_shares(weights, len(p))[:, None] * features.astype("float64") ** 2).T @ (p * (1 - p))


def of_filters(
    squares: Callable[[np.ndarray, np.ndarray], np.ndarray], head: Head, images: np.ndarray, rows: np.ndarray,
    features: np.ndarray, rng: np.random.Generator, *, weights: np.ndarray | None = None, n_draws: int = 1,
) -> np.ndarray:  # fmt: skip
    """Fisher information of a network's filters, by Monte Carlo: labels are drawn from what the head predicts.

    Parameters
    ----------
    squares : callable
        What `squared_gradients` makes of the network.
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)
    rows : numpy.ndarray of int, shape (n_rows,)
        The images to average over.
    features : numpy.ndarray, shape (n_rows, n_features)
        What the network makes of them.
    weights : numpy.ndarray, shape (n_rows,), optional
        Of the images in the mean; None: the same for all.
    n_draws : int
        Labels drawn for each image; each costs a pass through the network and back. More than 1 hardly helps: which images
        were drawn matters more than which labels.

    Returns
    -------
    numpy.ndarray of float64, shape (n_dims,)
        At least 0; one number for each filter that `squared_gradients.counted` lists.

    References
    ----------
    Achille et al. (2019), arXiv:1902.03545. The published code squares the mean gradient of 64 images; as drawn labels are
    independent, that is 1/64 of this in the mean, from 1/64 as many squares.
    """
    p, shares = head.probabilities(features), _shares(weights, len(rows))
    parts = []
    for _ in range(n_draws):
        pull = (_drawn(p, rng) - p) @ head.kernel.T  # d log p(y|x) / d features
        for start in range(0, len(rows), BATCH):
            here = slice(start, start + BATCH)
            parts.append(shares[here] @ squares(images[rows[here]], pull[here]))
    return np.sum(parts, axis=0) / n_draws


def _drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the indicator of one class for each row, drawn with these probabilities; shape (n_images, n_classes)."""
    label = (rng.random((len(p), 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return np.eye(p.shape[1])[label]


def _shares(weights: np.ndarray | None, n: int) -> np.ndarray:
    return np.full(n, 1 / n) if weights is None else weights / weights.sum()
