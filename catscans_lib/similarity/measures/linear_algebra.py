"""Linear algebra shared by the measures, always on the smaller of X'X and XX'."""

from typing import NamedTuple

import numpy as np


class Projections(NamedTuple):
    """Projections of the columns of targets Y on the left singular vectors of features X = U S V'.

    Attributes
    ----------
    squared : numpy.ndarray, shape (rank,)
        Squared singular values of X.
    along : numpy.ndarray, shape (rank, n_targets)
        ``(U' Y) ** 2``.
    rest : numpy.ndarray, shape (n_targets,)
        The part of ``sum(Y ** 2)`` outside the column space of X, at least 0.
    """

    squared: np.ndarray
    along: np.ndarray
    rest: np.ndarray


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return the indicator of every class, shape (n_images, n_classes), float64."""
    return np.eye(labels.max() + 1)[labels]


def projections(features: np.ndarray, targets: np.ndarray) -> Projections:
    """Return singular values and projections, by an eigendecomposition of X'X or XX', whichever is smaller.

    Singular values below the rounding error of that product (about 1e-7 of the largest) count as 0.
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
    """Return F with ``F.T @ F == X.T @ X``, shape (min(n_images, n_features), n_features), without forming the product."""
    n, d = features.shape
    return features if n <= d else np.linalg.qr(features, mode="r")


def gram(features: np.ndarray) -> np.ndarray:
    """Return the smaller of X'X and XX'; both have the same positive eigenvalues."""
    n, d = features.shape
    return features.T @ features if n > d else features @ features.T
