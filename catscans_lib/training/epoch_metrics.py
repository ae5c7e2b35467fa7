"""What is measured of a network at the end of every epoch: loss, accuracy and AUC of the same images every time."""

import numpy as np
from scipy.stats import rankdata

from catscans_lib.statistics.auc import averaged

SMALLEST = 1e-7  # a probability counts as at least this in a loss, as in Keras


def watched(labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray) -> np.ndarray:
    """Return the inner validation rows and, after them, as many of the training rows (all, where there are fewer).

    The training rows are taken at equal steps in the order of classes: every class has its share. As many as are validated
    on: both curves are then equally fine, and the further pass takes about as long as the validation.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (n_images,)
        Of all images.
    rows, validation_rows : numpy.ndarray of int

    Returns
    -------
    numpy.ndarray of int
    """
    by_class = rows[np.argsort(labels[rows], kind="stable")]
    n = min(len(validation_rows), len(rows))
    return np.concatenate([validation_rows, by_class[np.arange(n) * len(rows) // max(n, 1)]])


def measures(labels: np.ndarray, scores: np.ndarray, n_validation: int) -> dict[str, float]:
    """Return loss, accuracy and AUC of the first `n_validation` images, and the AUC of the others, named as Keras does.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (n,)
        Class of each image.
    scores : numpy.ndarray of float, shape (n, n_classes)
        Probability of every class.

    Returns
    -------
    dict of float
        val_loss (mean of minus the logarithm of the right class's probability), val_accuracy, val_auc, auc.
    """
    validation = slice(n_validation)
    right = scores[np.arange(len(labels)), labels][validation]
    return {
        "val_loss": float(-np.log(np.clip(right, SMALLEST, 1)).mean()),
        "val_accuracy": float((scores[validation].argmax(axis=1) == labels[validation]).mean()),
        "val_auc": auc(labels[validation], scores[validation]),
        "auc": auc(labels[n_validation:], scores[n_validation:]),
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Exact AUC (more than two classes: one-vs-rest, weighted by images); NaN where one class occurs or a score is no number.

    The number of `evaluation.auc`, from codes instead of names and by mid-ranks: a tenth of the time, which every epoch pays.
    """
    if len(np.unique(labels)) < 2 or not np.isfinite(scores).all():
        return float("nan")
    return averaged(_mann_whitney, labels, scores, tuple(range(scores.shape[1])), "weighted")


def _mann_whitney(positive: np.ndarray, scores: np.ndarray) -> float:
    n = positive.sum()
    return (rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n))
