"""Task2Vec: a dataset as the diagonal of the Fisher information of a probe network, and distances of such embeddings.

For one image x, the Fisher information of a weight w is the mean of ``(d log p(y|x) / d w) ** 2`` over labels y drawn from the
network's own prediction; for a dataset, it is the mean of that over its images. It says which weights the predictions depend
on. Reference: Achille et al. (2019), arXiv:1902.03545.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import distance
from scipy.special import softmax

from catscans_lib.errors import InputError
from catscans_lib.similarity.measure import Measure

EPSILON = 1e-8  # added to the sum of two embeddings by the published program
BATCH = 32
C = 0.01  # inverse L2 penalty of the head; of 0.001 to 1 it separates datasets best from halves of one (demo, 100 images)


def embed(
    squares: Callable[[np.ndarray, np.ndarray], np.ndarray], images: np.ndarray, rows: np.ndarray, features: np.ndarray,
    labels: np.ndarray, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return the Task2Vec embedding of images: `fisher_information` with a head fitted to them; every class weighs the same."""
    if labels.ndim == 2:
        raise InputError("Task2Vec's head tells classes that exclude each other, not several findings of an image.")
    counts = np.bincount(labels)
    weights = len(labels) / len(counts) / counts[labels]
    head = fit_head(features, labels, weights)
    return fisher_information(squares, head, images, rows, features, rng, weights)


def fit_head(features: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression on standardised features; return kernel (n_features, n_classes) and bias for unscaled ones.

    `weights` are those of the images in the loss, which has one minimum; the published code takes some steps of Adam from a
    random start.
    """
    from sklearn.linear_model import LogisticRegression

    x = features.astype("float64")
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd[sd == 0] = 1  # constant features get the coefficient 0
    fitted = LogisticRegression(C=C, max_iter=5000, tol=1e-6).fit((x - mean) / sd, labels, weights)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(coefficients) == 1:  # for two classes scikit-learn returns the logit of the second one
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercept / 2
    kernel = coefficients.T / sd[:, None]
    return kernel, intercept - mean @ kernel


def fisher_information(
    squares: Callable[[np.ndarray, np.ndarray], np.ndarray], head: tuple[np.ndarray, np.ndarray], images: np.ndarray,
    rows: np.ndarray, features: np.ndarray, rng: np.random.Generator, weights: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return a Monte Carlo estimate of the Fisher information of a network's filters, float64 (n_filters,), at least 0.

    `squares` is from `squared_gradients.squared_gradients`, `images` are uint8 (n_images, size, size, 3), `rows` (n_rows,)
    those to average over, `features` (n_rows, n_features) the network's of them, and `weights` (n_rows,) theirs in the mean.
    One label per image is drawn from the head's prediction. Achille et al. (2019), arXiv:1902.03545, whose code squares the mean
    gradient of 64 images: on average, that is 1/64 of this.
    """
    (kernel, bias), n, shares = head, len(rows), weights / weights.sum()
    p = softmax(features.astype("float64") @ kernel + bias, axis=1)
    drawn = np.eye(p.shape[1])[(rng.random((n, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)]  # one class for each row
    pull = (drawn - p) @ kernel.T  # d log p(y|x) / d features
    batches = [slice(start, start + BATCH) for start in range(0, n, BATCH)]
    return np.sum([shares[here] @ squares(images[rows[here]], pull[here]) for here in batches], axis=0)


def cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of the raw embeddings, in [0, 1], as the original study did; the few largest filters decide.

    Embeddings have shape (n_filters,) and come from one probe network. van den Brandt et al. (2021), arXiv:2107.05940.
    """
    return float(distance.cosine(fisher, source_fisher))


def symmetric_cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of ``f / (f + g + 1e-8)`` and ``g / (f + g + 1e-8)``: filters weigh the same. Achille et al. (2019)."""
    one, other = np.asarray(fisher), np.asarray(source_fisher)
    total = one + other + EPSILON
    return float(distance.cosine(one / total, other / total))


_TWO = {
    "arguments": ("fisher", "source_fisher"), "larger_is_closer": False, "is_symmetric": True, "range": (0, 1),
    "cost": "O(n_filters)",
}  # fmt: skip
MEASURES = (
    Measure(
        name="task2vec_cosine", title="Task2Vec, raw cosine", function=cosine, **_TWO,
        reference="vandenbrandt2021, arXiv:2107.05940", invariances=frozenset({"scale"}),  # of both embeddings alike
        blind_to="all filters except the few with the largest Fisher information",
        why="the original study's first measure",
    ),
    Measure(
        name="task2vec_symmetric_cosine", title="Task2Vec, normalised cosine", function=symmetric_cosine, **_TWO,
        reference="achille2019, arXiv:1902.03545",
        blind_to="how important a filter is: one that neither dataset uses counts as much as any other",
        why="the distance that Task2Vec's authors recommend",
    ),
)  # fmt: skip
