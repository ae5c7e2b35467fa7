"""Linear algebra that the measures share, always through the smaller of the two sides of a feature matrix."""

from typing import NamedTuple

import numpy as np


class Projections(NamedTuple):
    """Features X = U S V', and how much of each column of targets Y lies along U.

    Attributes
    ----------
    squared : numpy.ndarray, shape (rank,)
        Squared singular values of X.
    along : numpy.ndarray, shape (rank, n_targets)
        ``(U' Y) ** 2``.
    rest : numpy.ndarray, shape (n_targets,)
        What of ``sum(Y ** 2)`` no direction of X reaches, at least 0.
    """

    squared: np.ndarray
    along: np.ndarray
    rest: np.ndarray


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return the indicator of every class, shape (n_images, n_classes), float64."""
    return np.eye(labels.max() + 1)[labels]


def projections(features: np.ndarray, targets: np.ndarray) -> Projections:
    """Return singular values and projections through an eigen-decomposition of X'X or XX', whichever is smaller.

    Singular values below the rounding of that product (about 1e-7 of the largest) count as 0.
    """
    n, d = features.shape
    if n > d:
        squared, basis = np.linalg.eigh(features.T @ features)
        kept = squared > squared[-1] * n * np.finfo(float).eps
        squared = squared[kept]
        along = (basis[:, kept].T @ (features.T @ targets)) ** 2 / squared[:, None]
    else:
        squared, basis = np.linalg.eigh(features @ features.T)
        kept = squared > squared[-1] * d * np.finfo(float).eps
        squared, along = squared[kept], (basis[:, kept].T @ targets) ** 2
    return Projections(squared, along, np.maximum((targets**2).sum(axis=0) - along.sum(axis=0), 0))


def factor(features: np.ndarray) -> np.ndarray:
    """Return F with ``F.T @ F == X.T @ X``, shape (min(n_images, n_features), n_features); no squares are taken."""
    n, d = features.shape
    return features if n <= d else np.linalg.qr(features, mode="r")


def gram(features: np.ndarray) -> np.ndarray:
    """Return the smaller of X'X and XX'; they have the same positive eigenvalues."""
    n, d = features.shape
    return features.T @ features if n > d else features @ features.T
