"""Do measures of similarity predict transfer? Associations with AUCs, intervals, tests, and the choice of a measure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import shared_modes
from catscans_lib.statistics.bootstrap import interval
from catscans_lib.statistics.ranks import STATISTICS
from catscans_lib.statistics.ties import TIED
from catscans_lib.transferability import resampling, similarity_tables

LEVEL = 0.95
ALL = "all"  # all targets together, in column target
COLUMNS = [
    "evidence", "mode", "target", "measure", "kind", "uses_labels", "statistic", "value", "low", "high", "n", "p", "p_max",
]  # fmt: skip
SIZES = ["mode", "size", "n_targets", "measure", "value", "low", "high", "p", "n"]
REGRET = STATISTICS.index("regret")
PROBES = ("linear_probe", "linear_probe_auc")  # a rule and a measure that are the mode linear_probe itself


@dataclass(frozen=True)
class Panel:
    """AUCs and measures of one mode, as arrays; NaN if missing. Axes are in the order of the tables."""

    targets: list[str]
    measures: list[str]
    results: np.ndarray  # means over seeds, (n_targets, n_sources, n_folds)
    values: np.ndarray  # larger is closer, for distances too; (n_measures, n_targets, n_sources)


def associations(
    results: pd.DataFrame, similarity: pd.DataFrame, baselines: pd.DataFrame | None = None, *, evidence: str,
    n_draws: int = 2000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Relate every measure to the AUCs of the sources, on every target and over all of them.

    `results` has the columns source, target, mode, fold, auc (seed); `similarity` measures, and `baselines` the rules that they
    have to beat (`similarity_tables.baselines`); `evidence` names the study. Only sources with a result and a value enter. Over
    all targets, sources are drawn and permuted once for all: a source that is good everywhere is one observation, not one per
    target. Drawn within each target, 26 % of unrelated measures would be found at 5 %, against 5.5 % (10 sources, 11 targets).

    Returns one row per mode, target (`all`: no comparison across targets), measure and statistic (see `ranks.on_target`): low and
    high (95 %); n (sources, or pairs, with a value); p (`n_draws` permutations of results among the sources that have a value;
    two-sided, for regret one-sided); p_max (by the most extreme measure of each permutation, which corrects for their number);
    kind (measure or baseline). Single targets have values alone: their sources are too few.

    Regret is the loss against the best of all sources with results, with Student's interval from one regret per target. Other
    intervals are percentiles of `n_draws` draws of sources and folds, without those in which the statistic is undefined.
    """
    parts = [pd.DataFrame(columns=COLUMNS)]
    for mode, arranged, kinds in panels(results, similarity, baselines):
        parts.append(_of_panel(arranged, kinds, n_draws, seed).assign(evidence=evidence, mode=mode)[COLUMNS])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def by_size(aucs: pd.DataFrame, similarity: pd.DataFrame, *, n_draws: int, seed: int = 0) -> pd.DataFrame:
    """Return how far every measure orders the sources as their AUCs do, at each number of training images.

    `aucs` as for `associations`, with n_train; the largest number of a target is size "all". Columns mode, size, n_targets,
    measure, value (Kendall's tau, mean over the targets that have the size), low, high, p, n (pairs of source and target).
    """
    all_images = aucs["n_train"] == aucs.groupby("target")["n_train"].transform("max")
    parts = [pd.DataFrame(columns=SIZES)]
    for size, here in aucs.groupby(aucs["n_train"].astype(str).mask(all_images, "all"), sort=False):
        found = associations(here, similarity, evidence="", n_draws=n_draws, seed=seed)
        found = found[(found["target"] == ALL) & (found["statistic"] == "kendall")]
        parts.append(found.assign(size=size, n_targets=here["target"].nunique())[SIZES])
    return pd.concat(parts, ignore_index=True)


def panels(
    results: pd.DataFrame, similarity: pd.DataFrame, baselines: pd.DataFrame | None
) -> Iterator[tuple[str, Panel, pd.DataFrame]]:
    """Yield each mode with its panel and kind and uses_labels of the measures; with `baselines`, also rules."""
    for mode in shared_modes(results):
        here, rules = results[results["mode"] == mode], similarity.iloc[:0]
        if baselines is not None:
            elsewhere = similarity_tables.best_elsewhere(here)
            rules = pd.concat([baselines, elsewhere], ignore_index=True)
        values = pd.concat([similarity, rules], ignore_index=True)
        arranged = panel(here, values[(mode != "linear_probe") | ~values["measure"].isin(PROBES)])
        if arranged.values.size:
            kinds = pd.DataFrame(index=arranged.measures)
            kinds["kind"] = np.where(kinds.index.isin(rules["measure"]), "baseline", "measure")
            kinds["uses_labels"] = similarity_tables.uses_labels(arranged.measures, similarity)
            yield mode, arranged, kinds


def panel(results: pd.DataFrame, similarity: pd.DataFrame) -> Panel:
    """Arrange tables as arrays, averaged over seeds; source `none` and measures of other pairs are left out.

    `results` are of one mode.
    """
    results = results[results["source"] != "none"]
    sources, targets = list(results["source"].unique()), list(results["target"].unique())
    folds, measures = list(results["fold"].unique()), list(similarity["measure"].unique())
    means = results.groupby(["target", "source", "fold"])["auc"].mean()
    y = means.reindex(pd.MultiIndex.from_product([targets, sources, folds], names=means.index.names)).to_numpy(float)
    x = similarity_tables.closer(similarity)
    x = x.reindex(pd.MultiIndex.from_product([measures, targets, sources], names=x.index.names)).to_numpy(float)
    shape = len(targets), len(sources)
    return Panel(targets, measures, y.reshape(*shape, len(folds)), x.reshape(len(measures), *shape))


def _of_panel(arranged: Panel, kinds: pd.DataFrame, n_draws: int, seed: int) -> pd.DataFrame:
    """Rows of one mode, without evidence and mode."""
    drawn, is_measure = resampling.sample(arranged.results, n_draws, seed), kinds["kind"].eq("measure").to_numpy()
    observed = np.stack([resampling.values(x, drawn.observed) for x in arranged.values])
    limits = [_limits(*one, drawn) for one in zip(arranged.values, observed, strict=True)]
    extreme = _extremity(_permuted(arranged, drawn))
    largest = np.where(np.isnan(extreme), -np.inf, extreme)[is_measure].max(axis=0, initial=-np.inf)
    largest = np.where(largest > -np.inf, largest, np.nan)
    n = (~np.isnan(arranged.values) & ~np.isnan(arranged.results).all(axis=2)).sum(axis=2)
    order = [*arranged.targets, ALL]
    axes = {"measure": arranged.measures, "target": order, "statistic": STATISTICS}
    table = pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)
    table = table.join(kinds, on="measure").assign(value=observed.ravel())
    table["n"] = np.repeat(np.column_stack([n, n.sum(axis=1)]).ravel(), len(STATISTICS))
    table[["low", "high", "p", "p_max"]] = np.nan
    p_max = np.where(is_measure[:, None], _p(observed[:, -1], largest), np.nan)
    over_all = np.stack([*np.moveaxis(limits, 2, 0), _p(observed[:, -1], extreme), p_max], axis=-1)
    table.loc[table["target"] == ALL, ["low", "high", "p", "p_max"]] = over_all.reshape(-1, 4)
    table.loc[table["measure"] == "best_elsewhere", "p"] = np.nan  # it is made of the same results
    return table[table["n"] > 1].sort_values("target", key=lambda names: names.map(order.index), kind="stable")


def _limits(x: np.ndarray, observed: np.ndarray, drawn: resampling.Sample) -> np.ndarray:
    """Low and high of every statistic over all targets, (5, 2)."""
    limits = np.apply_along_axis(interval, -1, resampling.values(x, drawn.shared)[-1], LEVEL)
    limits[REGRET] = np.maximum(resampling.mean_interval(observed[:-1, REGRET, 0], LEVEL), 0)
    return limits


def _permuted(arranged: Panel, drawn: resampling.Sample) -> np.ndarray:
    """Statistics of every measure over all targets for permuted results, (n_measures, 5, n_draws).

    Permuted are sources with a value: others may lack one because they are good, as ImageNet's published weights do.
    """
    present, found = ~np.isnan(arranged.results).all(axis=2), [np.empty(0)] * len(arranged.values)
    masks = ~np.isnan(arranged.values) & present
    for mask in np.unique(masks, axis=0):
        permuted = resampling.permuted(drawn, mask)
        for number in np.flatnonzero((masks == mask).all(axis=(1, 2))):
            found[number] = resampling.values(arranged.values[number], permuted)[-1]
    return np.stack(found)


def _extremity(values: np.ndarray) -> np.ndarray:
    """Distance of values, (..., 5, n_draws), from what chance gives; for regret, small is extreme."""
    away, accuracy = np.abs(values), STATISTICS.index("accuracy")
    away[..., accuracy, :] = np.abs(values[..., accuracy, :] - 0.5)
    away[..., REGRET, :] = -values[..., REGRET, :]
    return away


def _p(observed: np.ndarray, extreme: np.ndarray) -> np.ndarray:
    """Share of permutations at least as extreme as the observed value, (..., 1), which counts too; NaN if it is undefined."""
    own = _extremity(observed)
    n = (extreme >= own - TIED).sum(axis=-1)
    return np.where(np.isnan(own[..., 0]), np.nan, (1 + n) / (1 + (~np.isnan(extreme)).sum(axis=-1)))
