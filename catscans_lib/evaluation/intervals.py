"""Confidence intervals of AUCs over groups of images (patients, lesions, slides), and over seeds where there are several."""

from collections import defaultdict

import numpy as np
import pandas as pd

from catscans_lib.evaluation import tables
from catscans_lib.evaluation.tables import CELL, KEYS, split_folds
from catscans_lib.statistics import bootstrap

LEVEL = 0.95
FEW_GROUPS = 10  # in a fold: with fewer, 95 % intervals cover about 90 % or less (simulated, see *Decisions*)
INTERVALS = [
    "auc", "low", "high", "fold_sd", "n_folds", "n_seeds", "n_images", "n_groups", "few_groups", "method", "n_draws",
]  # fmt: skip


def draws(predictions: pd.DataFrame, *, n_draws: int, seed: int, average: str, keys: list[str] = KEYS) -> pd.DataFrame:
    """Compute the AUC of every fold in bootstrap draws of whole groups (patients, lesions, slides).

    All sources, modes and seeds of a target get the same draws, so differences between them are paired. Returns a row per
    value of `keys` (the index, with the fold), a column per draw; NaN where a draw lacks a class or a fold has a single group.
    """
    rows: dict[tuple, np.ndarray | None] = {}
    alike = defaultdict(list)  # folds of the same images share their draws
    image, _ = pd.factorize(predictions["image_id"], sort=True)  # numbers sort three times as fast as texts
    for fold in split_folds(predictions.iloc[np.argsort(image, kind="stable")], keys):
        rows[fold.keys] = None
        number = fold.keys[keys.index("fold")]
        alike[number, fold.classes, tuple(fold.labels.ravel()), tuple(fold.groups)].append(fold)
    for (number, classes, _, groups), same in alike.items():
        scores = np.stack([fold.scores for fold in same])
        options = {"n_draws": n_draws, "seed": seed + number, "average": average}
        drawn = np.full((len(same), n_draws), np.nan)
        if len(set(groups)) > 1:
            drawn = bootstrap.auc_draws(same[0].labels, scores, classes, groups, **options)
        rows |= dict(zip((fold.keys for fold in same), drawn, strict=True))
    return pd.DataFrame(np.stack(list(rows.values())), index=pd.MultiIndex.from_tuples(rows, names=keys))


def auc_intervals(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC over folds and seeds with its 95 % bootstrap interval.

    Columns `INTERVALS`: fold_sd (spread over folds and seeds, ddof 1; not an interval), few_groups (a fold has fewer than
    `FEW_GROUPS`, so the interval is too short), n_draws (draws with every class in every fold). The bootstrap draws the seeds,
    too, where there are several. With one seed, the interval describes these trained networks: others would have other AUCs.
    """
    shown = aucs.groupby(CELL, sort=False).agg(
        auc=("auc", "mean"), fold_sd=("auc", "std"), n_folds=("fold", "nunique"), n_seeds=("seed", "nunique")
    )
    counts = predictions.groupby(CELL, sort=False).agg(n_images=("image_id", "nunique"), n_groups=("group", "nunique"))
    in_fold = predictions.groupby([*CELL, "fold"], sort=False)["group"].nunique().groupby(CELL, sort=False).min()
    counts["few_groups"] = in_fold < FEW_GROUPS
    means = cell_means(draws)
    table = pd.DataFrame(index=pd.MultiIndex.from_tuples(means, names=CELL)).join(shown).join(counts)
    drawn = np.stack(list(means.values()))
    table["low"], table["high"] = interval(drawn)
    table["n_draws"] = (~np.isnan(drawn)).sum(axis=1)  # NaN draws are left out
    table["method"] = np.where(table["n_seeds"] > 1, "bootstrap over groups and seeds", "bootstrap over groups")
    return table.reset_index()[[*CELL, *INTERVALS]]


def finding_intervals(predictions: pd.DataFrame, *, n_draws: int, seed: int) -> pd.DataFrame:
    """Return `auc_intervals` of each finding (column class), on the folds in which some images have it and others lack it."""
    parts = []
    for name, part in tables.of_findings(predictions).groupby("class", sort=False):
        aucs = tables.aucs(part, defaultdict(str))
        drawn = draws(part, n_draws=n_draws, seed=seed, average="macro")
        parts.append(auc_intervals(aucs, drawn, part).assign(**{"class": name}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*CELL, *INTERVALS, "class"])


def cell_means(draws: pd.DataFrame) -> dict[tuple, np.ndarray]:
    """Return `mean_over_runs`, shape (n_draws,), of every source, target and mode."""
    cells = draws.groupby(CELL, sort=False)
    return {cell: mean_over_runs(of.to_numpy(), of.index.get_level_values("seed").to_numpy()) for cell, of in cells}


def mean_over_runs(draws: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Average draws over runs, the first axis, from (n_runs, ..., n_draws) to (..., n_draws); several seeds are resampled.

    Each draw takes as many seeds as there are, with replacement, and all of their folds. The deviations from the mean over
    the seeds are multiplied by sqrt(n / (n - 1)): without it, two seeds would show half of their variance. Calls with as
    many seeds and draws resample the same seeds, so differences between sources stay paired. Reference: Davison and Hinkley
    (1997), Bootstrap Methods and their Application, section 3.8; Rao and Wu (1988), JASA 83, for the factor.
    """
    names = np.unique(seeds)
    n = len(names)
    if n == 1:
        return draws.mean(axis=0)
    of_seeds = np.stack([draws[seeds == name].mean(axis=0) for name in names])
    drawn = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=draws.shape[-1]).T / n
    return np.einsum("s...d,sd->...d", of_seeds, 1 / n + np.sqrt(n / (n - 1)) * (drawn - 1 / n))


def interval(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high of draws, shape (n_quantities, n_draws); NaN where all draws are equal.

    Equal draws do not show that there is no uncertainty, only that these images cannot tell.
    """
    low, high = bootstrap.interval(np.atleast_2d(drawn), LEVEL)
    is_flat = high - low <= bootstrap.ROUNDING
    return np.where(is_flat, np.nan, low), np.where(is_flat, np.nan, high)
