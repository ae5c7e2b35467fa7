"""ROC curves with their spread over folds, and calibration curves."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from catscans_lib.evaluation.tables import classes_of, score_columns
from catscans_lib.statistics.auc import check_predictions
from catscans_lib.statistics.calibration import check_probabilities, reliability

GRID = np.linspace(0, 1, 101)  # false positive rates at which folds are averaged
BINS = ["low", "high", "mean_score", "share", "n"]


def best_and_baseline(predictions: pd.DataFrame, aucs: pd.DataFrame, target: str, mode: str) -> pd.DataFrame:
    """Return a target's predictions by its best source and from random weights; empty if the mode did not run."""
    here = aucs[(aucs["target"] == target) & (aucs["mode"] == mode)]
    means = here.groupby("source")["auc"].mean().drop("none", errors="ignore")
    of = predictions[(predictions["target"] == target) & (predictions["mode"] == mode)]
    return pd.concat([of[of["source"] == source] for source in [*means.nlargest(1).index, "none"]])


def roc_bands(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average the one-vs-rest ROC curves of each class over folds and seeds, at equal false positive rates.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions on one target: columns source, fold, seed, mode, label and score_<class>.

    Returns
    -------
    pandas.DataFrame
        Columns source, mode, class, false_positive_rate, true_positive_rate (mean), low, high (minimum and maximum over folds
        and seeds: a spread, not an interval), n. Of two classes only the second, positive one. A fold adds no curve for a
        class that is absent from it, or is its only class.
    """
    rows = []
    columns = score_columns(predictions)
    classes = classes_of(columns)
    for (source, mode), part in predictions.groupby(["source", "mode"], sort=False):
        curves: dict[str, list[np.ndarray]] = {}
        for _, fold in part.groupby(["fold", "seed"], sort=False):
            labels, scores = check_predictions(fold["label"], fold[columns], classes)
            for name, score in _shown(classes, scores):
                if len(set(labels == name)) == 2:
                    curves.setdefault(name, []).append(_true_positive_rates(labels == name, score))
        for name, of_class in curves.items():
            heights = np.stack(of_class)
            band = {"true_positive_rate": heights.mean(0), "low": heights.min(0), "high": heights.max(0)}
            keys = {"source": source, "mode": mode, "class": name, "false_positive_rate": GRID}
            rows.append(pd.DataFrame(keys | band | {"n": len(heights)}))
    return pd.concat(rows, ignore_index=True)


def _true_positive_rates(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Height of the ROC curve over the grid; the top where it is vertical."""
    false_positive_rate, true_positive_rate, _ = roc_curve(positive, scores)
    heights = np.interp(GRID, false_positive_rate, true_positive_rate)
    heights[0] = 0.0  # every curve starts there
    return heights


def calibration(predictions: pd.DataFrame, n_bins: int = 10) -> pd.DataFrame:
    """Compare predicted probabilities with observed frequencies, all folds and seeds together.

    Returns
    -------
    pandas.DataFrame
        Columns source, mode, class, low, high (bin of equal width: low < probability <= high, the first includes 0),
        mean_score, share (of the bin's images that are of the class), n (images). Of two classes only the positive one; empty
        bins have no row.
    """
    columns = score_columns(predictions)
    classes = classes_of(columns)
    parts = []
    for (source, mode), part in predictions.groupby(["source", "mode"], sort=False):
        labels, scores = check_probabilities(part["label"], part[columns], classes)
        for name, score in _shown(classes, scores):
            bins = dict(zip(BINS, reliability(score, labels == name, n_bins), strict=True))
            parts.append(pd.DataFrame({"source": source, "mode": mode, "class": name} | bins))
    return pd.concat(parts, ignore_index=True).astype({"n": int})


def _shown(classes: tuple[str, ...], scores: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and scores of every class; of two classes only the second, positive one."""
    every = list(zip(classes, scores.T, strict=True))
    return every if len(classes) > 2 else every[1:]
