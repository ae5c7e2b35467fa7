"""Curves behind the numbers: ROC curves with the spread of folds, and how well probabilities are calibrated."""

import numpy as np
import pandas as pd

from catscans_lib.evaluation.by_fold import classes_of, score_columns
from catscans_lib.statistics import metrics

GRID = np.linspace(0, 1, 101)  # false positive rates at which folds are averaged


def best_and_baseline(predictions: pd.DataFrame, aucs: pd.DataFrame, target: str, mode: str) -> pd.DataFrame:
    """Return the predictions on a target by its best source and by random weights; empty where the mode was not run."""
    here = aucs[(aucs["target"] == target) & (aucs["mode"] == mode)]
    means = here.groupby("source")["auc"].mean().drop("none", errors="ignore")
    shown = [*means.nlargest(1).index, "none"]
    of = predictions[(predictions["target"] == target) & (predictions["mode"] == mode)]
    return pd.concat([of[of["source"] == source] for source in shown])


def roc_bands(predictions: pd.DataFrame) -> pd.DataFrame:
    """ROC curves of every class against the rest, averaged over folds and seeds at equal false positive rates.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions on one target, with columns source, fold, seed, mode, label and score_<class>.

    Returns
    -------
    pandas.DataFrame
        Columns source, mode, class, false_positive_rate, true_positive_rate (mean), low, high (smallest and largest of the
        folds and seeds: their spread, no interval), n. Of two classes only the second, positive one is shown.
    """
    rows = []
    columns = score_columns(predictions)
    classes = classes_of(columns)
    for (source, mode), part in predictions.groupby(["source", "mode"], sort=False):
        curves = [
            metrics.roc(fold["label"], fold[columns], classes).assign(at=number)
            for number, (_, fold) in enumerate(part.groupby(["fold", "seed"], sort=False))
        ]
        for name, of_class in pd.concat(curves).groupby("class", sort=False):
            heights = np.stack([_heights(curve) for _, curve in of_class.groupby("at")])
            band = {"true_positive_rate": heights.mean(0), "low": heights.min(0), "high": heights.max(0)}
            keys = {"source": source, "mode": mode, "class": name, "false_positive_rate": GRID}
            rows.append(pd.DataFrame(keys | band | {"n": len(heights)}))
    return pd.concat(rows, ignore_index=True)


def _heights(curve: pd.DataFrame) -> np.ndarray:
    """Height of a ROC curve over the grid; where it rises straight up, the top."""
    heights = np.interp(GRID, curve["false_positive_rate"], curve["true_positive_rate"])
    heights[0] = 0.0  # every curve starts there
    return heights


def calibration(predictions: pd.DataFrame, n_bins: int = 10) -> pd.DataFrame:
    """How often is a class seen that was given a probability? Folds and seeds together.

    Returns
    -------
    pandas.DataFrame
        Columns source, mode and those of `metrics.calibration`.
    """
    columns = score_columns(predictions)
    parts = []
    for (source, mode), part in predictions.groupby(["source", "mode"], sort=False):
        table = metrics.calibration(part["label"], part[columns], classes_of(columns), n_bins)
        parts.append(table.assign(source=source, mode=mode)[["source", "mode", *table]])
    return pd.concat(parts, ignore_index=True)
