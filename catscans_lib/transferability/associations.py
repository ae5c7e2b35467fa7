"""Do measures of similarity predict transfer? Associations with AUCs, intervals, tests, and the choice of a measure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import shared_modes
from catscans_lib.statistics import paired_tests
from catscans_lib.statistics.bootstrap import interval
from catscans_lib.statistics.ranks import STATISTICS
from catscans_lib.statistics.ties import TIED
from catscans_lib.transferability import resampling, similarity_tables
from catscans_lib.transferability.resampling import Sample, sample
from catscans_lib.transferability.similarity_tables import PAIR, closer

LEVEL = 0.95
ALL = "all"  # all targets together, in column target
COLUMNS = (
    "evidence", "mode", "target", "measure", "kind", "uses_labels", "statistic", "value", "low", "high", "n", "n_undefined",
    "p", "p_adjusted", "p_max",
)  # fmt: skip
REGRET = STATISTICS.index("regret")
PROBES = ("linear_probe", "linear_probe_auc")  # a rule and a measure that are the mode linear_probe itself


@dataclass(frozen=True)
class Panel:
    """AUCs and measures of one mode, as arrays; NaN if missing. Axes are in the order of the tables.

    `results` (n_targets, n_sources, n_folds) are means over seeds. `values` (n_measures, n_targets, n_sources): larger is closer,
    for distances too.
    """

    sources: list[str]
    targets: list[str]
    measures: list[str]
    results: np.ndarray
    values: np.ndarray


def associations(
    results: pd.DataFrame, similarity: pd.DataFrame, baselines: pd.DataFrame | None = None, *, evidence: str,
    n_draws: int = 2000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Relate every measure to the AUCs of the sources, on every target and over all of them.

    Only sources with a result and a value enter, so compare measures at the same n. Over all targets, sources are drawn and
    permuted once for all: a source that is good everywhere is one observation, not one per target. Drawn within each target,
    26 % of 200 unrelated measures would be found at 5 %, against 5.5 % (10 sources, 11 targets, as much variance of results
    and measures between sources as from target to target).

    Parameters
    ----------
    results : pandas.DataFrame
        Columns source, target, mode, fold, auc (seed); source `none` is left out.
    similarity, baselines : pandas.DataFrame
        Measures, and rules that they have to beat (see `similarity_tables.baselines`), in the same columns.
    evidence : str
        Name of the study that the numbers come from.

    Returns
    -------
    pandas.DataFrame
        One row per mode, target (`all`: no comparison across targets), measure and statistic (see `ranks.on_target`): value;
        low, high (95 %); n (sources, or pairs, with a value); n_undefined (draws without a value, left out); p (`n_draws`
        permutations of results among the sources that have a value; two-sided, for regret one-sided); p_adjusted (Holm over
        the measures of a target and statistic); p_max (by the most extreme measure of each permutation, which accounts for
        measures that resemble each other). Rules are not corrected for. kind is measure or baseline; uses_labels says whether
        it needs the target's labels.

        Regret is the loss against the best of all sources with results. Its interval draws folds, because draws of sources would
        lack the best one; over all targets it is Student's, from one regret per target. It is NaN on one target with a single
        fold, and over all targets if there is only one. Other intervals are percentiles of `n_draws` draws of sources and folds.
    """
    parts = []
    for mode, arranged, kinds in panels(results, similarity, baselines):
        parts.append(_of_panel(arranged, kinds, n_draws, seed).assign(evidence=evidence, mode=mode))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(parts, ignore_index=True)
    family = [table[key] for key in ("mode", "target", "statistic")]
    measures = table["p"].where(table["kind"] == "measure")
    return table.assign(p_adjusted=measures.groupby(family).transform(lambda p: paired_tests.holm(p)))[list(COLUMNS)]


def panels(
    results: pd.DataFrame, similarity: pd.DataFrame, baselines: pd.DataFrame | None
) -> Iterator[tuple[str, Panel, pd.DataFrame]]:
    """Yield each mode in which sources are compared, its panel, and kind and uses_labels of the measures (its index).

    With `baselines`, the source that was best on the other targets is a further rule; linear probes do not predict themselves.
    """
    for mode in shared_modes(results):
        here, rules = results[results["mode"] == mode], similarity.iloc[:0]
        if baselines is not None:
            elsewhere = similarity_tables.best_elsewhere(here)
            rules = pd.concat([baselines, elsewhere], ignore_index=True)
        values = pd.concat([similarity, rules], ignore_index=True)
        arranged = panel(here, values[(mode != "linear_probe") | ~values["measure"].isin(PROBES)])
        if len(arranged.sources) and len(arranged.measures):
            is_rule = np.isin(arranged.measures, rules["measure"].unique())
            kinds = {
                "kind": np.where(is_rule, "baseline", "measure"),
                "uses_labels": similarity_tables.uses_labels(arranged.measures, similarity),
            }
            yield mode, arranged, pd.DataFrame(kinds, index=arranged.measures)


def panel(results: pd.DataFrame, similarity: pd.DataFrame) -> Panel:
    """Arrange tables as arrays; source `none` and measures of other pairs are left out.

    `results` has columns source, target, fold and auc, of one mode; seeds of a fold are averaged. `similarity` has columns
    source, target, measure, value, larger_is_closer (probe, seed): seeds are averaged; a measure with several probes is one
    measure per probe. Raises ValueError if a column is missing, or a measure has two values for the same pair, probe and seed,
    or two directions.
    """
    _check(results, [*PAIR, "fold", "auc"])
    results, similarity = results[results["source"] != "none"], _named(similarity)
    sources, targets = list(results["source"].unique()), list(results["target"].unique())
    folds, measures = list(results["fold"].unique()), list(similarity["measure"].unique())
    means = results.groupby(["target", "source", "fold"])["auc"].mean()
    y = means.reindex(pd.MultiIndex.from_product([targets, sources, folds], names=means.index.names)).to_numpy(float)
    x = closer(similarity)
    x = x.reindex(pd.MultiIndex.from_product([measures, targets, sources], names=x.index.names)).to_numpy(float)
    shape = len(targets), len(sources)
    return Panel(sources, targets, measures, y.reshape(*shape, len(folds)), x.reshape(len(measures), *shape))


def _named(similarity: pd.DataFrame) -> pd.DataFrame:
    """Append the probe to the name of measures with several probes; check that values are unique."""
    _check(similarity, [*PAIR, "measure", "value", "larger_is_closer"])
    if "probe" in similarity:
        n_probes = similarity.groupby("measure")["probe"].transform("nunique")
        full = similarity["measure"] + " (" + similarity["probe"].astype(str) + ")"
        similarity = similarity.assign(measure=similarity["measure"].where(n_probes < 2, full))
    keys = [*PAIR, "measure", *(["seed"] if "seed" in similarity else [])]
    if (twice := similarity.duplicated(keys)).any():
        row = similarity[twice].iloc[0]
        raise ValueError(
            f"Measure '{row['measure']}' of {row['source']} and {row['target']} has two values. Pass one n_images only."
        )
    directions = similarity.groupby("measure")["larger_is_closer"].nunique()
    if (directions > 1).any():
        raise ValueError(f"Measure '{directions.idxmax()}' is a distance in some rows and a similarity in others.")
    return similarity


def _check(table: pd.DataFrame, columns: list[str]) -> None:
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"The table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")


def _of_panel(arranged: Panel, kinds: pd.DataFrame, n_draws: int, seed: int) -> pd.DataFrame:
    """Rows of one mode, without evidence, mode and Holm's correction."""
    drawn, is_measure = sample(arranged.results, n_draws, seed), kinds["kind"].eq("measure").to_numpy()
    observed = np.stack([resampling.values(x, drawn.observed, drawn.observed) for x in arranged.values])
    limits = _limits(arranged.values, drawn, observed)
    extreme = _extremity(_permuted(arranged, drawn))
    largest = np.where(np.isnan(extreme), -np.inf, extreme)[is_measure].max(axis=0, initial=-np.inf)
    n = (~np.isnan(arranged.values) & ~np.isnan(arranged.results).all(axis=2)).sum(axis=2)
    order = [*arranged.targets, ALL]
    axes = {"measure": arranged.measures, "target": order, "statistic": STATISTICS}
    table = pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)
    table = table.merge(kinds.rename_axis("measure").reset_index(), how="left").assign(
        value=observed.ravel(),
        low=limits[..., 0].ravel(),
        high=limits[..., 1].ravel(),
        n=np.repeat(np.column_stack([n, n.sum(axis=1)]).ravel(), len(STATISTICS)),
        n_undefined=limits[..., 2].ravel().astype(int),
        p=_p(observed, extreme).ravel(),
        p_max=np.where(
            is_measure[:, None, None], _p(observed, np.where(largest > -np.inf, largest, np.nan)), np.nan
        ).ravel(),
    )
    table.loc[table["measure"] == "best_elsewhere", "p"] = np.nan  # it is made of the same results
    return table[table["n"] > 1].sort_values("target", key=lambda names: names.map(order.index), kind="stable")


def _limits(values: np.ndarray, drawn: Sample, observed: np.ndarray) -> np.ndarray:
    """Low, high and number of undefined draws, (n_measures, n_targets + 1, 5, 3)."""
    found = np.empty((*observed.shape[:-1], 3))
    for number, x in enumerate(values):
        draws, lost = resampling.values(x, drawn.within, drawn.shared), observed[number, :-1, REGRET, 0]
        draws[:-1, REGRET] = resampling.regrets(x, drawn)
        found[number, ..., :2] = np.apply_along_axis(interval, -1, draws, LEVEL)
        found[number, ..., 2] = np.isnan(draws).sum(axis=-1)
        # The best of noisy results is too good, so regret is too high in draws: their median is moved to the estimate.
        limits = found[number, :-1, REGRET, :2]
        centre = [np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in draws[:-1, REGRET]]
        limits = (
            lost[:, None] + (limits - np.reshape(centre, (-1, 1))) if drawn.has_folds else np.full_like(limits, np.nan)
        )
        found[number, :, REGRET, :2] = np.maximum([*limits, resampling.mean_interval(lost, LEVEL)], 0)
        found[number, -1, REGRET, 2] = 0
    return found


def _permuted(arranged: Panel, drawn: Sample) -> np.ndarray:
    """Statistics of every measure for permuted results, (n_measures, n_targets + 1, 5, n_draws).

    The results are permuted among the sources that have a value: others may lack one because they are good, as ImageNet's
    published weights do.
    """
    present, found = ~np.isnan(arranged.results).all(axis=2), [np.empty(0)] * len(arranged.values)
    masks = ~np.isnan(arranged.values) & present
    for mask in np.unique(masks, axis=0):
        apart = resampling.permuted_apart(drawn, mask)
        together = resampling.permuted_together(drawn, mask)
        for number in np.flatnonzero((masks == mask).all(axis=(1, 2))):
            found[number] = resampling.values(arranged.values[number], apart, together)
    return np.stack(found)


def _extremity(values: np.ndarray) -> np.ndarray:
    """Distance of values, (..., 5, n_draws), from what chance gives; for regret, small is extreme."""
    place, away = STATISTICS.index, np.abs(values)
    away[..., place("accuracy"), :] = np.abs(values[..., place("accuracy"), :] - 0.5)
    away[..., REGRET, :] = -values[..., REGRET, :]
    return away


def _p(observed: np.ndarray, extreme: np.ndarray) -> np.ndarray:
    """Share of permutations at least as extreme as the observed value, which counts too; NaN if it is undefined.

    Permutations without a value (NaN) do not count at all.
    """
    own = _extremity(observed)
    n = (extreme >= own - TIED).sum(axis=-1)
    return np.where(np.isnan(own[..., 0]), np.nan, (1 + n) / (1 + (~np.isnan(extreme)).sum(axis=-1)))
