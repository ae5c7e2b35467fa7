"""Do measures of similarity predict transfer? Associations with AUCs, intervals, tests, and the choice of a measure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import shared_modes
from catscans_lib.statistics import paired_tests, ranks
from catscans_lib.statistics.bootstrap import interval
from catscans_lib.statistics.ranks import STATISTICS, Draws
from catscans_lib.transferability.similarity_tables import BASELINES, PAIR, closer

LEVEL = 0.95
ALL = "all"  # all targets together, in column target
COLUMNS = (
    "evidence", "mode", "target", "measure", "kind", "statistic", "value", "low", "high", "n", "n_undefined", "p",
    "p_adjusted", "p_max",
)  # fmt: skip
TIED = 1e-9  # smaller differences are floating-point noise
PROBES = (
    "linear_probe",
    "linear_probe_auc",
    "linear_probe_accuracy",
)  # the rule, and measures that are the probe itself


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
    n_draws: int = 2000, seed: int = 0, together: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Relate every measure to the AUCs of the sources, on every target and over all of them.

    Only sources with a result and a value enter, so compare measures at the same n.

    Parameters
    ----------
    results : pandas.DataFrame
        Columns source, target, mode, fold, auc (seed); source `none` is left out.
    similarity, baselines : pandas.DataFrame
        Measures, and rules that they have to beat (see `similarity_tables.baselines`), in the same columns.
    evidence : str
        Name of the study that the numbers come from.
    together : bool
        For rows over all targets, draw and permute sources once for all targets: a source that is good everywhere is then one
        observation, not one per target. False: anew within each target, which finds relations that do not exist (26 % of
        200 unrelated measures at 5 %, against 5.5 %; simulated with 10 sources, 11 targets, and as much variance of results
        and measures between sources as from target to target).

    Returns
    -------
    pandas.DataFrame
        One row per mode, target (`all`: no comparison across targets), measure and statistic (see `ranks.on_target`): value;
        low, high (95 % percentile interval of `n_draws` of a bootstrap over sources and folds; a single fold is not resampled);
        n (sources, or pairs); n_undefined (draws without a value, left out); p (`n_draws` permutations of results among sources;
        two-sided, for regret one-sided); p_adjusted (Holm over the measures of a target and statistic); p_max (by the most
        extreme measure of each permutation, which accounts for measures that resemble each other). Rules are not corrected for.
        kind is measure or baseline.
    """
    parts = []
    for mode in shared_modes(results):
        rules = similarity.iloc[:0] if baselines is None else baselines
        values = pd.concat([similarity, rules], ignore_index=True)
        values = values[(mode != "linear_probe") | ~values["measure"].isin(PROBES)]  # they would predict themselves
        arranged = panel(results[results["mode"] == mode], values)
        is_measure = ~np.isin(arranged.measures, rules["measure"].unique())
        parts.append(_of_panel(arranged, is_measure, n_draws, seed, together).assign(evidence=evidence, mode=mode))
    table = pd.concat(parts, ignore_index=True)
    family = [table[key] for key in ("mode", "target", "statistic")]
    measures = table["p"].where(table["kind"] == "measure")
    return table.assign(p_adjusted=measures.groupby(family).transform(lambda p: paired_tests.holm(p)))[list(COLUMNS)]


def best_measure(associations: pd.DataFrame, mode: str) -> str:
    """Return the measure with the highest Spearman correlation over all targets; chosen after the fact, so that is too good.

    Raises ValueError if no measure has a value; rules are no measures.
    """
    here = associations[(associations["mode"] == mode) & (associations["target"] == ALL)]
    here = here[(here["kind"] == "measure") & (here["statistic"] == "spearman")].dropna(subset="value")
    if here.empty:
        raise ValueError(f"No measure has a spearman in mode '{mode}' on '{ALL}'.")
    return here.set_index("measure")["value"].idxmax()


def left_out(associations: pd.DataFrame) -> pd.DataFrame:
    """Choose the measure on all targets but one and follow it on that one: does the choice of a measure carry over?

    The measure with the lowest mean regret on the other targets is chosen; one that lacks a target or a source that others have
    cannot be. Returns columns evidence, mode, target (left out), rule, measure, regret (on that target). Rules: `chosen
    elsewhere` (mean over the measures that tie, all named), `best in hindsight` (the measure with the least regret on this
    target) and every baseline. Empty with fewer than two targets or without a measure.
    """
    rows = []
    for (evidence, mode), here in associations.groupby(["evidence", "mode"], sort=False):
        of_targets = here[here["target"] != ALL]
        regrets = _regrets(_complete(of_targets))
        rules = _regrets(of_targets[of_targets["kind"] == "baseline"])
        for target in regrets.columns if len(regrets.columns) > 1 else []:
            elsewhere = regrets.drop(columns=target).mean(axis=1)
            chosen = elsewhere[elsewhere <= elsewhere.min() + TIED].index
            best = regrets.index[regrets[target] <= regrets[target].min() + TIED]
            for rule, measures in (("chosen elsewhere", chosen), ("best in hindsight", best)):
                regret = regrets.loc[measures, target].mean()
                rows.append((evidence, mode, target, rule, ", ".join(measures), regret))
            rows += [(evidence, mode, target, BASELINES[name], name, rules.loc[name, target]) for name in rules.index]
    return pd.DataFrame(rows, columns=["evidence", "mode", "target", "rule", "measure", "regret"])


def _complete(of_targets: pd.DataFrame) -> pd.DataFrame:
    """Rows of the measures that have as many sources on every target as any measure has."""
    here = of_targets[(of_targets["kind"] == "measure") & (of_targets["statistic"] == "regret")]
    n = here.pivot_table(index="measure", columns="target", values="n", sort=False)
    return of_targets[of_targets["measure"].isin(n.index[(n == n.max()).all(axis=1)])]


def _regrets(rows: pd.DataFrame) -> pd.DataFrame:
    here = rows[rows["statistic"] == "regret"]
    return here.pivot_table(index="measure", columns="target", values="value", sort=False)


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


def _of_panel(arranged: Panel, is_measure: np.ndarray, n_draws: int, seed: int, together: bool) -> pd.DataFrame:
    """Rows of one mode, without evidence, mode and Holm's correction."""
    within = _sampled(arranged.results, n_draws, np.random.default_rng(seed), together=False)
    shared = _sampled(arranged.results, n_draws, np.random.default_rng(seed), together=True) if together else within
    observed, bootstrap, permuted = (
        np.stack([_values(x, drawn, for_all) for x in arranged.values])
        for drawn, for_all in zip(zip(*within, strict=True), zip(*shared, strict=True), strict=True)
    )
    limits = np.apply_along_axis(interval, -1, bootstrap, LEVEL)
    extreme = _extremity(permuted)
    largest = np.where(np.isnan(extreme), -np.inf, extreme)[is_measure].max(axis=0, initial=-np.inf)
    n = (~np.isnan(arranged.values) & ~np.isnan(arranged.results).all(axis=2)).sum(axis=2)
    order = [*arranged.targets, ALL]
    axes = {"measure": arranged.measures, "target": order, "statistic": STATISTICS}
    table = pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)
    table = table.assign(
        kind=np.repeat(np.where(is_measure, "measure", "baseline"), len(order) * len(STATISTICS)),
        value=observed.ravel(),
        low=limits[..., 0].ravel(),
        high=limits[..., 1].ravel(),
        n=np.repeat(np.column_stack([n, n.sum(axis=1)]).ravel(), len(STATISTICS)),
        n_undefined=np.isnan(bootstrap).sum(axis=-1).ravel(),
        p=_p(observed, extreme).ravel(),
        p_max=np.where(is_measure[:, None, None], _p(observed, largest), np.nan).ravel(),
    )
    return table[table["n"] > 1].sort_values("target", key=lambda names: names.map(order.index), kind="stable")


def _sampled(results: np.ndarray, n_draws: int, rng: np.random.Generator, together: bool) -> list[tuple[Draws, ...]]:
    """Results of every target, (n_targets, n_sources, n_folds), as observed, in bootstrap draws, and permuted among sources."""
    n_sources = results.shape[1]
    shared_counts = rng.multinomial(n_sources, np.full(n_sources, 1 / n_sources), n_draws) if together else None
    shared_order = rng.permuted(np.tile(np.arange(n_sources), (n_draws, 1)), axis=1) if together else None
    found = []
    for y in results:
        here = ~np.isnan(y).all(axis=1)
        mean = _fold_means(y, np.ones((1, y.shape[1])))
        counts, order = shared_counts, shared_order
        if not together:
            counts = rng.multinomial(here.sum(), here / here.sum(), n_draws)
            order = np.tile(np.arange(n_sources), (n_draws, 1))
            order[:, here] = rng.permuted(order[:, here], axis=1)
        drawn = _fold_means(y, rng.multinomial(y.shape[1], np.full(y.shape[1], 1 / y.shape[1]), n_draws))
        observed = ranks.draws(mean, np.ones_like(mean))
        permuted = ranks.draws(mean[0][order], np.ones(order.shape))
        found.append((observed, ranks.draws(drawn, counts), permuted))
    return found


def _fold_means(y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the drawn folds that a source has, (n_draws, n_sources); y (n_sources, n_folds), counts (n_draws, n_folds)."""
    n = counts @ ~np.isnan(y).T
    return np.where(n > 0, counts @ np.nan_to_num(y).T / np.maximum(n, 1), np.nan)


def _values(x: np.ndarray, drawn: Sequence[Draws], for_all: Sequence[Draws]) -> np.ndarray:
    """Statistics of one measure, x (n_targets, n_sources), on every target and over all: (n_targets + 1, 6, n_draws)."""
    found, over_all = (
        [ranks.on_target(here, one) for here, one in zip(x, draws, strict=True)] for draws in (drawn, for_all)
    )
    return np.stack([one.values for one in (*found, ranks.over_targets(over_all))])


def _extremity(values: np.ndarray) -> np.ndarray:
    """Distance of values, (..., 6, n_draws), from what chance gives; for regret, small is extreme."""
    place, away = STATISTICS.index, np.abs(values)
    away[..., place("accuracy"), :] = np.abs(values[..., place("accuracy"), :] - 0.5)
    away[..., place("regret"), :] = -values[..., place("regret"), :]
    return away


def _p(observed: np.ndarray, extreme: np.ndarray) -> np.ndarray:
    """Share of permutations at least as extreme as the observed value, which counts too; NaN if it is undefined."""
    own = _extremity(observed)
    n = (extreme >= own - TIED).sum(axis=-1)
    return np.where(np.isnan(own[..., 0]), np.nan, (1 + n) / (1 + extreme.shape[-1]))
