"""Quality of decisions and probabilities, which an AUC does not measure: accuracy, Brier score, calibration error."""

import numpy as np
from numpy.typing import ArrayLike

from catscans_lib.statistics.auc import averaged, check_predictions

N_ECE_BINS = 15


def metrics(
    labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], average: str = "weighted"
) -> dict[str, float]:
    """Return metrics of one set of predictions; the class with the highest probability is predicted (the first if tied).

    Raises ValueError as `auc`, except that one class is enough; and if a score lies outside [0, 1]. Reference: Brier
    (1950), Monthly Weather Review 78(1). Guo et al. (2017), arXiv:1706.04599 (ece).

    Parameters
    ----------
    labels, classes
        As in `auc`.
    scores : array_like of float, shape (n_images, n_classes)
        Probability of every class, in [0, 1], rows summing to 1.
    average : str
        Of the average precision, as in `auc`.

    Returns
    -------
    dict of str to float
        - accuracy: share of correct predictions;
        - balanced_accuracy: mean recall over the classes that occur;
        - average_precision: of the positive class, or averaged over classes; chance is the share of positives. NaN if only
          one class occurs;
        - brier: two classes: mean squared error of the positive class's probability, in [0, 1]; more classes: squared
          errors summed over classes, mean over images, in [0, 2];
        - ece: expected calibration error of the predicted class, also for two classes: mean absolute difference between
          confidence and accuracy over 15 bins of equal width, weighted by images, in [0, 1].
    """
    labels, scores = check_probabilities(labels, scores, classes)
    is_class = labels[:, None] == np.array(classes)
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    correct = is_class[np.arange(len(labels)), predicted]
    squared = (scores - is_class) ** 2
    n = is_class.sum(axis=0)
    recall = is_class[correct].sum(axis=0)[n > 0] / n[n > 0]
    precision = averaged(average_precision, labels, scores, classes, average) if len(recall) > 1 else np.nan
    return {
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(recall.mean()),
        "average_precision": precision,
        "brier": float(squared[:, 1].mean() if len(classes) == 2 else squared.sum(axis=1).mean()),
        "ece": _expected_calibration_error(confidence, correct),
    }


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Mean precision over the positives (bool) in order of descending score; tied images are retrieved together."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    found = np.cumsum(positive[order])[last]
    new = np.append(found[0], found[1:] - found[:-1])
    return float(np.sum(new * found / (last + 1)) / found[-1])


def reliability(scores: np.ndarray, is_class: np.ndarray, n_bins: int) -> np.ndarray:
    """Compare the probabilities of a class with how often it occurs, in bins of equal width.

    Returns
    -------
    numpy.ndarray of float, shape (5, n_filled_bins)
        low, high (low < score <= high; the first bin includes 0), mean score, share of images of the class, n images. Empty
        bins are left out.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    number = np.searchsorted(edges[1:-1], scores)
    n = np.bincount(number, minlength=n_bins)
    filled = n > 0
    mean_score, share = (
        np.bincount(number, weights=values, minlength=n_bins)[filled] / n[filled] for values in (scores, is_class)
    )
    return np.stack([edges[:-1][filled], edges[1:][filled], mean_score, share, n[filled]])


def check_probabilities(
    labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Check predictions as `auc` does; scores outside [0, 1] are a ValueError, too."""
    labels, scores = check_predictions(labels, scores, classes)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"Probabilities lie in [0, 1]; got {scores.min():.3g} to {scores.max():.3g}.")
    return labels, scores


def _expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    _, _, mean_score, share, n = reliability(confidence, correct, N_ECE_BINS)
    return float((np.abs(mean_score - share) * n).sum() / n.sum())
