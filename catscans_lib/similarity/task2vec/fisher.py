"""Diagonal of the Fisher information of a frozen network with a linear head: the Task2Vec embedding of a task.

For one image x, the Fisher information of a weight w is the mean of ``(d log p(y|x) / d w) ** 2`` over labels y drawn from the
network's own prediction; for a task, it is the mean of that over its images. It says which weights the predictions depend on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from catscans_lib.errors import InputError

BATCH = 32
C = 0.01  # inverse L2 penalty of the head; of 0.001 to 1 it separates datasets best from halves of one (demo, 100 images)


@dataclass(frozen=True)
class Head:
    """Linear classifier on features: kernel, shape (n_features, n_classes), and bias, shape (n_classes,); float64."""

    kernel: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the softmax of ``features @ kernel + bias``, shape (n_images, n_classes)."""
        return softmax(features.astype("float64") @ self.kernel + self.bias, axis=1)


def fit_head(features: np.ndarray, labels: np.ndarray, *, weights: np.ndarray | None = None) -> Head:
    """Fit a logistic regression on standardised features, and return it as a head on the unscaled features.

    Its penalised loss has one minimum, so the head depends on images and labels alone. The published code takes some steps
    of Adam instead, and its head depends on their number, their size and a random start.

    Parameters
    ----------
    features : numpy.ndarray, shape (n_images, n_features)
    labels : numpy.ndarray of int, shape (n_images,)
        Classes 0 to n_classes - 1, each with an image; InputError if there are fewer than two.
    weights : numpy.ndarray, shape (n_images,), optional
        Weights of the images in the loss; None: 1 for all.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise InputError("A head separates at least 2 classes; all images have the same class. Take more images.")
    x = features.astype("float64")
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd[sd == 0] = 1  # constant features get the coefficient 0
    fitted = LogisticRegression(C=C, max_iter=5000, tol=1e-6).fit((x - mean) / sd, labels, weights)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(coefficients) == 1:  # for two classes scikit-learn returns the logit of the second one
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercept / 2
    kernel = coefficients.T / sd[:, None]
    return Head(kernel, intercept - mean @ kernel)


def balanced(labels: np.ndarray) -> np.ndarray:
    """Return weights of images, 1 on average, that give every class (0 to n_classes - 1) the same total weight."""
    counts = np.bincount(labels)
    return len(labels) / len(counts) / counts[labels]


def of_filters(
    squares: Callable[[np.ndarray, np.ndarray], np.ndarray], head: Head, images: np.ndarray, rows: np.ndarray,
    features: np.ndarray, rng: np.random.Generator, *, weights: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return a Monte Carlo estimate of the Fisher information of a network's filters.

    One label per image is drawn from the head's prediction. More hardly help: which images were drawn matters more.

    Parameters
    ----------
    squares : callable
        As `squared_gradients` returns it for the network.
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)
    rows : numpy.ndarray of int, shape (n_rows,)
        The images to average over.
    features : numpy.ndarray, shape (n_rows, n_features)
        The network's features of them.
    weights : numpy.ndarray, shape (n_rows,), optional
        Weights of the images in the mean; None: equal.

    Returns
    -------
    numpy.ndarray of float64, shape (n_filters,)
        At least 0; one number for each filter that `squared_gradients.counted` lists.

    References
    ----------
    Achille et al. (2019), arXiv:1902.03545. The published code squares the mean gradient of 64 images; as drawn labels are
    independent, that is 1/64 of this on average, from 1/64 as many squares.
    """
    p, n = head.probabilities(features), len(rows)
    shares = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    pull = (_drawn(p, rng) - p) @ head.kernel.T  # d log p(y|x) / d features
    parts = []
    for start in range(0, n, BATCH):
        here = slice(start, start + BATCH)
        parts.append(shares[here] @ squares(images[rows[here]], pull[here]))
    return np.sum(parts, axis=0)


def _drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the indicator of one class for each row, drawn with these probabilities; shape (n_images, n_classes)."""
    label = (rng.random((len(p), 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return np.eye(p.shape[1])[label]
