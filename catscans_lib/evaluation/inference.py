"""Comparisons of all pairs of sources: tests, verdicts, gains over random weights, ranks over targets."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib.evaluation.intervals import LEVEL, interval, mean_over_runs
from catscans_lib.evaluation.tables import CELL, LONGER, shared_modes
from catscans_lib.statistics import bootstrap, paired_tests
from catscans_lib.statistics.ranks import known_mean

ALPHA = 1 - LEVEL
# Modes of random weights that fine-tuning is compared with, and their names as sources.
BASELINES = {LONGER: "none_long", "linear_probe": "none_features"}
PAIR = ["target", "mode", "source_a", "source_b", "difference"]
COLUMNS = [*PAIR, "test", "role", "statistic", "p", "p_adjusted", "low", "high", "verdict"]
GAINS = [*CELL, "gain", "low", "high", "p", "p_adjusted", "verdict", "auc", "baseline_auc", "transfer_score"]
RANKS = ["mode", "source", "mean_rank", "n_targets", "part", "n_all_targets", "statistic", "p"]
RANK_PAIRS = ["mode", "source_a", "source_b", "difference", "n_shared", "p_adjusted"]
NUMBERS = ["statistic", "p", "low", "high"]


class Pairs(NamedTuple):
    """All pairs of sources of a target and mode that share at least two folds, or the only fold."""

    target: str
    mode: str
    sources: np.ndarray  # shape (n_sources,)
    first: np.ndarray  # indices into `sources`, shape (n_pairs,)
    second: np.ndarray
    difference: np.ndarray  # AUC of first minus second, seeds averaged, NaN if one lacks the fold; (n_pairs, n_folds)
    ratio: np.ndarray  # held-out images per training image of each fold, shape (n_folds,)


def comparisons(
    aucs: pd.DataFrame, draws: pd.DataFrame, *, folds: Mapping[str, pd.DataFrame] | None = None,
    primary: str = "nadeau_bengio", margin: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Compare all pairs of sources of a target in every shared mode, on the folds both have.

    `folds` are the fold tables (a row per image) by target; None: folds are as large as `aucs` says. difference is the mean AUC
    of a minus b, low and high its 95 % interval; role is primary for the test of that name, else secondary. Tests:

    - nadeau_bengio: corrected resampled t-test over at least two folds, seeds averaged first: other training and test images;
    - bootstrap: over groups of images, and seeds if there are several; p is twice the smaller share of draws beyond 0.

    The verdict follows the primary test alone and is empty in other rows: "equivalent" if the interval lies within
    ± `margin`, "a" or "b" for the better source if p_adjusted is below 5 %, else "open". Holm's correction takes the tests of
    one kind, target and mode as a family. Pairs with random weights (`none`), with the longer budget (`none_long`) or without
    training (`none_features`, a linear probe) answer other questions and form families of their own.
    """
    row_of, values, parts = draws.index.to_frame(index=False).assign(row=range(len(draws))), draws.to_numpy(), []
    aucs, rows = _with_baselines(aucs), _with_baselines(row_of).groupby(["target", "mode"])
    for pairs in _pairs(aucs, folds):
        here, one, other = (pairs.target, pairs.mode), pairs.sources[pairs.first], pairs.sources[pairs.second]
        tests = {"nadeau_bengio": _nadeau_bengio(pairs)} if pairs.difference.shape[1] > 1 else {}
        tests["bootstrap"] = _bootstrap(rows.get_group(here), values, pairs)
        keys = pd.DataFrame(dict(zip(PAIR, (*here, one, other, known_mean(pairs.difference.T)), strict=True)))
        keys = keys.loc[keys.index.repeat(len(tests))].assign(test=list(tests) * len(keys))
        numbers = np.stack(list(tests.values()), axis=-1).reshape(len(NUMBERS), -1)
        parts.append(keys.assign(**dict(zip(NUMBERS, numbers, strict=True))))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    baselines = ["none", *BASELINES.values()]
    family = table["source_a"].mask(table["source_b"].isin(baselines), table["source_b"])
    family = family.where(family.isin(baselines), "sources")
    families = table.groupby(["target", "mode", "test", family])
    table["p_adjusted"] = families["p"].transform(lambda p: paired_tests.holm(p.to_numpy()))
    table["role"] = np.where(table["test"] == primary, "primary", "secondary")
    better = np.where(table["p_adjusted"] < ALPHA, np.where(table["difference"] > 0, "a", "b"), "open")
    verdict = np.where((table["low"] >= -margin) & (table["high"] <= margin), "equivalent", better)
    return table.assign(verdict=np.where(table["role"] == "primary", verdict, ""))[COLUMNS]


def oriented(comparisons: pd.DataFrame, name: str, *, first: bool) -> pd.DataFrame:
    """Return the comparisons with one source: it minus each `other` (`first`), or each `other` minus it.

    Column `other` replaces source_a and source_b; the verdict is better, worse, equivalent or open.
    """
    kept, turned = ("source_a", "source_b") if first else ("source_b", "source_a")
    exchanged = {"source_a": "source_b", "source_b": "source_a", "low": "high", "high": "low"}
    reverse = comparisons.rename(columns=exchanged)
    reverse[["difference", "statistic", "low", "high"]] *= -1
    reverse["verdict"] = comparisons["verdict"].replace({"a": "b", "b": "a"})
    both = pd.concat([comparisons, reverse]).sort_index()
    here = both[both[kept] == name]
    verdict = here["verdict"].replace({"a": "better", "b": "worse"})
    return here.assign(other=here[turned], verdict=verdict).drop(columns=["source_a", "source_b"])


def best_minus_others(aucs: pd.DataFrame, comparisons: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return the primary comparisons of every target's source with the highest mean AUC: columns of `oriented`, and best."""
    sources = aucs[(aucs["mode"] == mode) & (aucs["source"] != "none")]
    primary = comparisons[(comparisons["role"] == "primary") & (comparisons["mode"] == mode)]
    parts = []
    for target, here in sources.groupby("target", sort=False):
        best = here.groupby("source", sort=False)["auc"].mean().idxmax()
        parts.append(oriented(primary[primary["target"] == target], best, first=True).assign(best=best))
    columns = [name for name in COLUMNS if not name.startswith("source")] + ["other", "best"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def gains(scores: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return how much every source adds to random weights with the same budget, from `tables.transfer_scores`.

    Columns `GAINS`: gain is the difference of mean AUCs over folds and seeds; the test is the primary one; transfer_score is the
    gain in percent of the baseline's mean AUC, to compare with the original study.
    """
    means = scores.groupby(CELL, sort=False)[["auc", "baseline_auc"]].mean()
    gain = means["auc"] - means["baseline_auc"]
    table = means.assign(gain=gain, transfer_score=100 * gain / means["baseline_auc"])
    primary = oriented(comparisons[comparisons["role"] == "primary"], "none", first=False)
    tests = primary.rename(columns={"other": "source"}).set_index(CELL)[["low", "high", "p", "p_adjusted", "verdict"]]
    return table.join(tests).reset_index()[GAINS]


def ranks(aucs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank sources over the targets by their mean AUCs, best first, and compare all pairs: columns `RANKS` and `RANK_PAIRS`.

    mean_rank (1 is best) is adjusted for missing results, such as those of a target's own dataset; statistic and p are of
    Skillings and Mack's test that all sources are alike, p_adjusted is for all pairs (`paired_tests.skillings_mack`). Random
    weights are no source. A source that shares no target with another one, and a target with one source, are left out. part
    numbers sources that targets connect, from 1: with several parts, ranks and tests are NaN. Empty with fewer than two targets
    or three sources.
    """
    rows, pairs = [], []
    for mode in shared_modes(aucs):
        here = aucs[(aucs["mode"] == mode) & (aucs["source"] != "none")]
        wide = here.pivot_table(index="target", columns="source", values="auc", sort=False)
        wide = wide[wide.count(axis=1) > 1].dropna(axis=1, how="all")
        if min(len(wide), wide.shape[1] - 1) >= 2:
            found = paired_tests.skillings_mack(wide.to_numpy())
            order, (one, other) = np.argsort(found.mean_ranks, kind="stable"), np.triu_indices(wide.shape[1], 1)
            names, mean, known = wide.columns[order], found.mean_ranks[order], wide.notna().to_numpy(int)[:, order]
            facts = (mean, known.sum(axis=0), found.parts[order] + 1, len(wide), found.statistic, found.p)
            rows.append(pd.DataFrame(dict(zip(RANKS, (mode, names, *facts), strict=True))))
            p, n_shared = found.p_pairs[order[one], order[other]], (known.T @ known)[one, other]
            facts = (mode, names[one], names[other], mean[one] - mean[other], n_shared, p)
            pairs.append(pd.DataFrame(dict(zip(RANK_PAIRS, facts, strict=True))))
    if not rows:
        return pd.DataFrame(columns=RANKS), pd.DataFrame(columns=RANK_PAIRS)
    return pd.concat(rows, ignore_index=True), pd.concat(pairs, ignore_index=True)


def _with_baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Add the baselines of other modes as sources of mode fine_tune: the longer budget, and features of untrained networks."""
    is_baseline = (table["source"] == "none") & table["mode"].isin(BASELINES)
    added = table[is_baseline].assign(source=table["mode"].map(BASELINES), mode="fine_tune")
    return pd.concat([table[table["mode"] != LONGER], added], ignore_index=True)


def _pairs(aucs: pd.DataFrame, folds: Mapping[str, pd.DataFrame] | None) -> Iterator[Pairs]:
    """Yield the pairs of sources of every target and mode; those without a pair are skipped."""
    sizes = aucs.groupby(["target", "fold"])["n_images"].max()
    if folds is not None:
        sizes = pd.concat({target: table.groupby("fold").size() for target, table in folds.items() if len(table)})
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    for (target, mode), here in shared.groupby(["target", "mode"], sort=False):
        sources = here["source"].unique()
        wide = here.pivot_table(index=["fold", "seed"], columns="source", values="auc")[sources]
        first, second = np.triu_indices(len(sources), 1)
        apart = wide.to_numpy()[:, first] - wide.to_numpy()[:, second]
        of = wide.index.get_level_values("fold")  # seeds of a fold are averaged
        difference = np.stack([known_mean(apart[of == fold]) for fold in np.unique(of)]).T
        compared = (~np.isnan(difference)).sum(axis=1) >= min(2, difference.shape[1])
        if compared.any():
            names = np.asarray(sources, dtype=object)
            held_out = sizes[target][np.unique(of)].to_numpy(float)
            ratio = held_out / np.maximum(sizes[target].sum() - held_out, 1)
            yield Pairs(target, mode, names, first[compared], second[compared], difference[compared], ratio)


def _nadeau_bengio(pairs: Pairs) -> np.ndarray:
    """The corrected t-test of each pair on the folds that both have; pairs with the same folds are tested together."""
    patterns, pattern = np.unique(~np.isnan(pairs.difference), axis=0, return_inverse=True)
    tests = np.empty((len(NUMBERS), len(pairs.first)))
    for number, known in enumerate(patterns):
        here = pattern == number
        apart, ratio = pairs.difference[np.ix_(here, known)], pairs.ratio[known].mean()
        tests[:, here] = paired_tests.nadeau_bengio(apart, ratio, LEVEL)
    return tests


def _bootstrap(rows: pd.DataFrame, draws: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Bootstrap test on the mean over common folds and seeds; a draw is NaN if one of these is NaN.

    `rows` are the target's: source, fold, seed and row of `draws`, shape (n_rows, n_draws).
    """
    run, runs = pd.MultiIndex.from_frame(rows[["fold", "seed"]]).factorize()
    source = pd.Index(pairs.sources).get_indexer(rows["source"])
    of = np.full((len(runs), len(pairs.sources), draws.shape[1]), np.nan)
    of[run[source >= 0], source[source >= 0]] = draws[rows["row"].to_numpy(int)[source >= 0]]
    seeds, has = np.array([seed for _, seed in runs]), ~np.isnan(of).all(axis=2)
    patterns, pattern = np.unique(has[:, pairs.first] & has[:, pairs.second], axis=1, return_inverse=True)
    found = np.full((len(NUMBERS), len(pairs.first)), np.nan)
    for number in np.flatnonzero(patterns.any(axis=0)):  # most pairs have the same runs
        known = patterns[:, number]
        means = mean_over_runs(of[known], seeds[known])
        for one in np.unique(pairs.first[pattern == number]):  # one source at a time: all pairs take too much memory
            here = (pattern == number) & (pairs.first == one)
            drawn = means[one] - means[pairs.second[here]]
            low, high = interval(drawn)
            # Equal draws, all different from 0, have no spread to test with.
            is_flat = np.isnan(low) & (np.abs(drawn) > bootstrap.ROUNDING).all(axis=1)
            found[1:, here] = np.where(is_flat, np.nan, bootstrap.p_value(drawn)), low, high
    return found
