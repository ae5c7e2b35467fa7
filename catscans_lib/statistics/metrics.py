"""What an AUC does not say: are the decisions right, are the probabilities honest, and what does the ROC curve look like?"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from catscans_lib.statistics.auc import averaged, checked

ECE_EDGES = np.linspace(0, 1, 16)  # of 15 bins


def metrics(
    labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], average: str = "weighted"
) -> dict[str, float]:
    """Metrics of one set of predictions; the decision is the class with the highest probability, of equal ones the first.

    Parameters
    ----------
    labels : array_like of str, shape (n_images,)
        Class of every image, each one of `classes`.
    scores : array_like of float, shape (n_images, n_classes)
        Probability of every class, in [0, 1], rows summing to 1.
    classes : tuple of str
        At least two. Of two, the second is the positive one.
    average : str
        Of the average precision, as in `auc`.

    Returns
    -------
    dict of str to float
        - accuracy: share of right decisions;
        - balanced_accuracy: mean over the classes that occur of the share of right decisions;
        - average_precision: of the positive class, or averaged over classes; chance is the share of positives. NaN where
          only one class occurs;
        - brier: two classes: mean squared error of the positive class's probability, in [0, 1]; more classes: squared
          errors summed over classes, mean over images, in [0, 2];
        - ece: expected calibration error of the decision, also for two classes: mean difference between its
          probability and the share of right decisions over 15 bins of equal width, weighted by images, in [0, 1].

    Raises
    ------
    ValueError
        As `auc`, but for one class only; and if a score is no probability.

    References
    ----------
    Brier (1950), Monthly Weather Review 78(1). Guo et al. (2017), arXiv:1706.04599 (ece).
    """
    labels, scores = _probabilities(labels, scores, classes)
    is_class = labels[:, None] == np.array(classes)
    decided, confidence = scores.argmax(axis=1), scores.max(axis=1)
    right = is_class[np.arange(len(labels)), decided]
    squared = (scores - is_class) ** 2
    n = is_class.sum(axis=0)
    recall = is_class[right].sum(axis=0)[n > 0] / n[n > 0]
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(recall.mean()),
        "average_precision": np.nan
        if len(recall) < 2
        else averaged(average_precision, labels, scores, classes, average),
        "brier": float(squared[:, 1].mean() if len(classes) == 2 else squared.sum(axis=1).mean()),
        "ece": _expected_calibration_error(confidence, right),
    }


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Mean precision over the positives (bool) found by descending score; images of one score are found together."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    found = np.cumsum(positive[order])[last]
    new = np.append(found[0], found[1:] - found[:-1])
    return float(np.sum(new * found / (last + 1)) / found[-1])


def calibration(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], n_bins: int = 10) -> pd.DataFrame:
    """How often is a class the right one where its probability lies in a bin? Arguments as in `metrics`.

    Returns
    -------
    pandas.DataFrame
        Columns class, low and high (the bin of equal width, low < probability <= high, the first with 0), mean_score,
        share (of the bin's images that are of the class) and n. Of two classes only the positive one; no row where no
        probability lies.
    """
    labels, scores = _probabilities(labels, scores, classes)
    shown = range(len(classes)) if len(classes) > 2 else (1,)
    tables = [_bins(scores[:, one], labels == classes[one], n_bins).assign(**{"class": classes[one]}) for one in shown]
    return pd.concat(tables, ignore_index=True)[["class", "low", "high", "mean_score", "share", "n"]]


def roc(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]) -> pd.DataFrame:
    """Points of the ROC curve of every class against the rest; arguments as in `auc`.

    Returns
    -------
    pandas.DataFrame
        Columns class, false_positive_rate, true_positive_rate, threshold (scores from it on count as positive; infinite at
        the start). Of two classes only the positive one. A class that is absent, or the only one, has no curve and no row.
    """
    labels, scores = checked(labels, scores, classes)
    tables = []
    for one in range(len(classes)) if len(classes) > 2 else (1,):
        positive = labels == classes[one]
        if positive.any() and not positive.all():
            points = np.column_stack(roc_curve(positive, scores[:, one]))
            tables.append(_points(points).assign(**{"class": classes[one]}))
    table = pd.concat(tables, ignore_index=True) if tables else _points(np.empty((0, 3))).assign(**{"class": ""})
    return table[["class", "false_positive_rate", "true_positive_rate", "threshold"]]


def _points(points: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(points, columns=["false_positive_rate", "true_positive_rate", "threshold"])


def _probabilities(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = checked(labels, scores, classes)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"Probabilities lie in [0, 1]; got {scores.min():.3g} to {scores.max():.3g}.")
    return labels, scores


def _bins(scores: np.ndarray, hit: np.ndarray, n_bins: int) -> pd.DataFrame:
    """Return low, high, mean_score, share and n of the bins of equal width that have a score."""
    edges = np.linspace(0, 1, n_bins + 1)
    kept, mean_score, share, n = _means(scores, hit, edges)
    return pd.DataFrame(
        {"low": edges[:-1][kept], "high": edges[1:][kept], "mean_score": mean_score, "share": share, "n": n}
    )


def _means(
    scores: np.ndarray, hit: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return which bins have a score (bool), and of these mean score, share of hits and n."""
    number = np.searchsorted(edges[1:-1], scores)
    n = np.bincount(number, minlength=len(edges) - 1)
    kept = n > 0
    sums = [np.bincount(number, weights=values, minlength=len(n))[kept] for values in (scores, hit)]
    return kept, sums[0] / n[kept], sums[1] / n[kept], n[kept]


def _expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    _, mean_score, share, n = _means(confidence, right, ECE_EDGES)
    return float((np.abs(mean_score - share) * n).sum() / n.sum())
