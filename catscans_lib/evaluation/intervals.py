"""Confidence intervals of AUCs and transfer scores, from bootstrap draws of groups that all sources share."""

from collections import defaultdict

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import CELL, KEYS, split_folds
from catscans_lib.statistics import bootstrap, delong
from catscans_lib.statistics.metrics import transfer_score

LEVEL = 0.95


def draws(predictions: pd.DataFrame, *, n_draws: int, seed: int, average: str) -> pd.DataFrame:
    """Compute the AUC of every fold in bootstrap draws of whole groups (patients, lesions, slides).

    All sources, modes and seeds of a target get the same draws, so differences between them are paired.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions of all transfer runs, as `results.of_transfers` returns them.
    average : str
        As in `auc`.

    Returns
    -------
    pandas.DataFrame, shape (n_folds_of_all_cells, n_draws)
        Indexed by source, target, mode, fold, seed; NaN where a draw lacks a class that the AUC needs.
    """
    rows: dict[tuple, np.ndarray | None] = {}
    alike = defaultdict(list)  # folds of the same images share their draws
    for fold in split_folds(predictions.sort_values("image_id", kind="stable")):
        rows[fold.keys] = None
        number = fold.keys[KEYS.index("fold")]
        alike[number, fold.classes, tuple(fold.labels), tuple(fold.groups)].append(fold)
    for (number, classes, labels, groups), same in alike.items():
        drawn = bootstrap.auc_draws(
            labels, np.stack([fold.scores for fold in same]), classes, groups,
            n_draws=n_draws, seed=seed + number, average=average,
        )  # fmt: skip
        rows |= dict(zip((fold.keys for fold in same), drawn, strict=True))
    index = pd.MultiIndex.from_tuples(rows, names=KEYS)
    return pd.DataFrame(np.stack(list(rows.values())), index=index)


def auc_intervals(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC over folds and seeds with its 95 % intervals: bootstrap, and for two classes also DeLong.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, auc, low, high, fold_sd (spread over folds and seeds, ddof 1; not an interval), n_folds,
        n_seeds, n_images, n_groups, method, n_draws (draws with every class in every fold; empty for DeLong).
    """
    shown = aucs.groupby(CELL, sort=False).agg(
        auc=("auc", "mean"), fold_sd=("auc", "std"), n_folds=("fold", "nunique"), n_seeds=("seed", "nunique")
    )
    groups = predictions.groupby(CELL, sort=False).agg(n_images=("image_id", "nunique"), n_groups=("group", "nunique"))
    over_groups = _percentiles(draws.groupby(CELL, sort=False).mean(skipna=False)).assign(
        method="bootstrap over groups"
    )
    over_images = _delong(predictions).assign(method="DeLong over images")
    intervals = pd.concat([part for part in (over_groups, over_images) if len(part)])
    table = intervals.join(shown.join(groups)).reset_index()
    columns = ["auc", "low", "high", "fold_sd", "n_folds", "n_seeds", "n_images", "n_groups", "method", "n_draws"]
    return table.reindex(columns=[*CELL, *columns]).astype({"n_draws": "Int64"})


def score_intervals(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the mean transfer score (percent) over folds and seeds with its 95 % bootstrap interval over groups.

    Source and baseline are scored in the same draws.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, transfer_score, low, high, fold_sd, n (folds and seeds), n_draws.
    """
    if scores.empty:
        return pd.DataFrame(columns=[*CELL, "transfer_score", "low", "high", "fold_sd", "n", "n_draws"])
    keys = pd.MultiIndex.from_frame(scores[KEYS])
    of_source, baseline = draws.loc[keys], draws.loc[_with_source(keys, "none")]
    drawn = pd.DataFrame(_score(of_source.to_numpy(), baseline.to_numpy()), index=keys)
    shown = scores.groupby(CELL, sort=False)["transfer_score"].agg(transfer_score="mean", fold_sd="std", n="count")
    table = shown.join(_percentiles(drawn.groupby(CELL, sort=False).mean(skipna=False))).reset_index()
    return table[[*CELL, "transfer_score", "low", "high", "fold_sd", "n", "n_draws"]]


def _score(auc: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Transfer scores; NaN where a draw has no AUC or its baseline is 0."""
    usable = np.isfinite(auc) & (baseline > 0)
    scores = np.full(auc.shape, np.nan)
    scores[usable] = transfer_score(auc[usable], baseline[usable])
    return scores


def _with_source(keys: pd.MultiIndex, source: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(keys.to_frame(index=False).assign(source=source))


def _percentiles(draws: pd.DataFrame) -> pd.DataFrame:
    """Return low, high (2.5 and 97.5 %) and n_draws of every row; NaN draws are left out of all three."""
    low, high = (draws.quantile(q, axis=1) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return pd.DataFrame({"low": low, "high": high, "n_draws": draws.notna().sum(axis=1)})


def _delong(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return low and high of the mean over folds, for targets of two classes.

    Folds hold different images, so their variances add up. Seeds repeat the same images, so the mean of their variances
    counts once. Images of one patient are treated as independent: compare with the bootstrap over groups.
    """
    found, rows = defaultdict(list), {}
    for fold in split_folds(predictions):
        if len(fold.classes) == 2:
            aucs, covariance = delong.delong(fold.labels == fold.classes[1], fold.scores[:, 1])
            found[fold.keys[: len(CELL)]].append((fold.keys[KEYS.index("fold")], aucs[0], covariance[0, 0]))
    for cell, of_folds in found.items():
        number, aucs, variances = np.transpose(of_folds)
        rows[cell] = delong.interval(aucs.mean(), variances.mean() / len(np.unique(number)), LEVEL)
    index = pd.MultiIndex.from_tuples(rows, names=CELL) if rows else None
    return pd.DataFrame(list(rows.values()), columns=["low", "high"], index=index)
