"""Confidence intervals, and comparisons of all pairs of sources: tests, effect sizes, ranks over targets."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib.evaluation.tables import CELL, KEYS, classes_of, score_columns, shared_modes, split_folds
from catscans_lib.statistics import bootstrap, delong, paired_tests

LEVEL = 0.95
PAIR = ["target", "mode", "source_a", "source_b", "difference"]
COLUMNS = [*PAIR, "test", "statistic", "p", "p_adjusted", "low", "high"]
EFFECTS = [*PAIR, "n_folds", "cohens_d", "superiority", "margin", "p_b_better", "p_equivalent", "p_a_better"]
RANKS = ["mode", "source", "mean_rank", "n_targets", "friedman_p", "critical_difference"]
NUMBERS = ["statistic", "p", "low", "high"]


def draws(predictions: pd.DataFrame, *, n_draws: int, seed: int, average: str) -> pd.DataFrame:
    """Compute the AUC of every fold in bootstrap draws of whole groups (patients, lesions, slides).

    All sources, modes and seeds of a target get the same draws, so differences between them are paired. Returns a row per
    source, target, mode, fold and seed (the index), shape (n_rows, n_draws); NaN where a draw lacks a class.
    """
    rows: dict[tuple, np.ndarray | None] = {}
    alike = defaultdict(list)  # folds of the same images share their draws
    for fold in split_folds(predictions.sort_values("image_id", kind="stable")):
        rows[fold.keys] = None
        number = fold.keys[KEYS.index("fold")]
        alike[number, fold.classes, tuple(fold.labels), tuple(fold.groups)].append(fold)
    for (number, classes, labels, groups), same in alike.items():
        scores = np.stack([fold.scores for fold in same])
        options = {"n_draws": n_draws, "seed": seed + number, "average": average}
        drawn = bootstrap.auc_draws(labels, scores, classes, groups, **options)
        rows |= dict(zip((fold.keys for fold in same), drawn, strict=True))
    return pd.DataFrame(np.stack(list(rows.values())), index=pd.MultiIndex.from_tuples(rows, names=KEYS))


def auc_intervals(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC over folds and seeds with its 95 % intervals: bootstrap, and for two classes also DeLong.

    Columns source, target, mode, auc, low, high, fold_sd (spread over folds and seeds, ddof 1; not an interval), n_folds,
    n_seeds, n_images, n_groups, method, n_draws (draws with every class in every fold; empty for DeLong).
    """
    shown = aucs.groupby(CELL, sort=False).agg(
        auc=("auc", "mean"), fold_sd=("auc", "std"), n_folds=("fold", "nunique"), n_seeds=("seed", "nunique")
    )
    groups = predictions.groupby(CELL, sort=False).agg(n_images=("image_id", "nunique"), n_groups=("group", "nunique"))
    over_groups = _percentiles(draws).assign(method="bootstrap over groups")
    over_images = _delong_intervals(predictions).assign(method="DeLong over images")
    intervals = pd.concat([part for part in (over_groups, over_images) if len(part)])
    table = intervals.join(shown.join(groups)).reset_index()
    columns = ["auc", "low", "high", "fold_sd", "n_folds", "n_seeds", "n_images", "n_groups", "method", "n_draws"]
    return table.reindex(columns=[*CELL, *columns]).astype({"n_draws": "Int64"})


def score_intervals(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return the mean transfer score (percent) with its 95 % bootstrap interval; the baseline is in the same draws.

    Columns source, target, mode, transfer_score, low, high, fold_sd, n (folds and seeds), n_draws.
    """
    columns = [*CELL, "transfer_score", "low", "high", "fold_sd", "n", "n_draws"]
    if scores.empty:
        return pd.DataFrame(columns=columns)
    keys = pd.MultiIndex.from_frame(scores[KEYS])
    of_source = draws.loc[keys]
    baseline = draws.loc[pd.MultiIndex.from_frame(scores[KEYS].assign(source="none"))].to_numpy()
    drawn = 100 * (of_source - baseline) / np.where(baseline > 0, baseline, np.nan)
    shown = scores.groupby(CELL, sort=False)["transfer_score"].agg(transfer_score="mean", fold_sd="std", n="count")
    return shown.join(_percentiles(drawn)).reset_index()[columns]


def _percentiles(draws: pd.DataFrame) -> pd.DataFrame:
    """Return low, high (2.5 and 97.5 %) and n_draws of the mean over folds and seeds; NaN draws are left out."""
    means = draws.groupby(CELL, sort=False).mean(skipna=False)
    low, high = (means.quantile(q, axis=1) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return pd.DataFrame({"low": low, "high": high, "n_draws": means.notna().sum(axis=1)})


def _delong_intervals(predictions: pd.DataFrame) -> pd.DataFrame:
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


class Pairs(NamedTuple):
    """All pairs of sources of a target and mode that share at least two folds."""

    target: str
    mode: str
    sources: np.ndarray  # shape (n_sources,)
    first: np.ndarray  # indices into `sources`, shape (n_pairs,)
    second: np.ndarray
    difference: np.ndarray  # AUC of first minus second, seeds averaged, NaN if one lacks the fold; (n_pairs, n_folds)

    def keys(self) -> dict[str, object]:
        """Return the columns `PAIR`, the mean difference last."""
        one, other = self.sources[self.first], self.sources[self.second]
        return dict(zip(PAIR, (self.target, self.mode, one, other, _mean(self.difference.T)), strict=True))


def comparisons(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of sources of a target in every shared mode, on the folds both have.

    Columns target, mode, source_a, source_b, difference (mean AUC of a minus b), test, statistic, p, p_adjusted (Holm), low,
    high (95 % interval of the difference). Tests:

    - nadeau_bengio: corrected resampled t-test over folds, seeds averaged first;
    - wilcoxon: signed-rank test over folds; with 5 folds its p cannot fall below 0.06;
    - delong: for two classes, combined over folds; treats images as independent;
    - bootstrap: over groups of images; p is twice the smaller share of draws on one side of 0.

    Holm's correction takes the tests of one kind, target and mode as a family. Pairs with random weights answer another
    question and form a family of their own.
    """
    rows = predictions.groupby(["target", "mode"]).indices
    parts = []
    for pairs in _pairs(aucs):
        here = pairs.target, pairs.mode
        tests = {
            "nadeau_bengio": _on_own_folds(_nadeau_bengio, pairs.difference),
            "wilcoxon": _on_own_folds(_wilcoxon, pairs.difference),
            "bootstrap": _bootstrap(draws.xs(here, level=["target", "mode"]), pairs),
        }
        if (of_images := _delong(predictions.iloc[rows[here]], pairs)) is not None:
            tests["delong"] = of_images
        keys = pd.DataFrame(pairs.keys())
        keys = keys.loc[keys.index.repeat(len(tests))].assign(test=list(tests) * len(keys))
        numbers = np.stack(list(tests.values()), axis=-1).reshape(len(NUMBERS), -1)
        parts.append(keys.assign(**dict(zip(NUMBERS, numbers, strict=True))))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    with_baseline = (table["source_a"] == "none") | (table["source_b"] == "none")
    families = table.groupby(["target", "mode", "test", with_baseline])
    return table.assign(p_adjusted=families["p"].transform(lambda p: paired_tests.holm(p.to_numpy())))[COLUMNS]


def effects(aucs: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Return effect sizes of all pairs of sources; differences of AUC up to `margin` count as 0.

    Columns target, mode, source_a, source_b, difference, n_folds, cohens_d (mean over sd of the folds' differences),
    superiority (share of folds in which a is better, ties one half), margin, and the posterior probabilities of a Bayesian
    correlated t-test: p_b_better, p_equivalent, p_a_better, which sum to 1.
    """
    parts = []
    for pairs in _pairs(aucs):
        found = _on_own_folds(lambda difference: _effect(difference, margin), pairs.difference)
        keys = pairs.keys() | {"n_folds": (~np.isnan(pairs.difference)).sum(axis=1), "margin": margin}
        names = [name for name in EFFECTS if name not in keys]
        parts.append(pd.DataFrame(keys | dict(zip(names, found, strict=True)))[EFFECTS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EFFECTS)


def ranks(aucs: pd.DataFrame) -> pd.DataFrame:
    """Rank sources over the targets (1 is the highest mean AUC), with Friedman's test and Nemenyi's critical difference.

    Columns mode, source, mean_rank, n_targets, friedman_p, critical_difference (5 %). Only sources with a result on every
    target are ranked; a target's own dataset therefore never is. Empty with fewer than two targets or three sources.
    """
    tables = []
    for mode in shared_modes(aucs):
        here = aucs[aucs["mode"] == mode]
        wide = here.pivot_table(index="target", columns="source", values="auc", sort=False).dropna(axis=1)
        if min(len(wide), wide.shape[1] - 1) >= 2:
            found, nemenyi = paired_tests.friedman(wide.to_numpy()), paired_tests.nemenyi(wide.to_numpy())
            numbers = (found.mean_ranks, len(wide), found.p, nemenyi.critical_difference)
            tables.append(pd.DataFrame(dict(zip(RANKS, (mode, wide.columns, *numbers), strict=True))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=RANKS)


def _pairs(aucs: pd.DataFrame) -> Iterator[Pairs]:
    """Yield the pairs of sources of every target and mode; those without a pair are skipped."""
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    for (target, mode), here in shared.groupby(["target", "mode"], sort=False):
        sources = here["source"].unique()
        wide = here.pivot_table(index=["fold", "seed"], columns="source", values="auc")[sources]
        first, second = np.triu_indices(len(sources), 1)
        apart = wide.to_numpy()[:, first] - wide.to_numpy()[:, second]
        difference = _by_fold(apart, ~np.isnan(apart), wide.index.get_level_values("fold")).T
        compared = (~np.isnan(difference)).sum(axis=1) >= 2
        if compared.any():
            names = np.asarray(sources, dtype=object)
            yield Pairs(target, mode, names, first[compared], second[compared], difference[compared])


def _mean(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Mean over the first axis of the known values (None: those that are not NaN); NaN if there are none."""
    known = ~np.isnan(values) if known is None else known
    n = known.sum(axis=0)
    return np.where(known, values, 0).sum(axis=0) / np.where(n == 0, np.nan, n)


def _by_fold(values: np.ndarray, known: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Average the seeds of each fold: from shape (n_folds_and_seeds, n_pairs) to (n_folds, n_pairs)."""
    return np.stack([_mean(values[folds == fold], known[folds == fold]) for fold in np.unique(folds)])


def _on_own_folds(measure: Callable[[np.ndarray], np.ndarray], difference: np.ndarray) -> np.ndarray:
    """Apply a measure to the differences of each pair, shape (n_numbers, n_pairs); pairs with the same folds together."""
    patterns, pattern = np.unique(~np.isnan(difference), axis=0, return_inverse=True)
    rows = [np.flatnonzero(pattern == number) for number in range(len(patterns))]
    found = [measure(difference[np.ix_(of, known)]) for of, known in zip(rows, patterns, strict=True)]
    return np.concatenate(found, axis=1)[:, np.argsort(np.concatenate(rows))]


def _nadeau_bengio(difference: np.ndarray) -> np.ndarray:
    found = paired_tests.nadeau_bengio(difference, 1 / (difference.shape[1] - 1), LEVEL)
    return np.array([found.t, found.p, found.low, found.high])


def _wilcoxon(difference: np.ndarray) -> np.ndarray:
    none = np.full(len(difference), np.nan)
    return np.array([*paired_tests.wilcoxon(difference), none, none])


def _effect(difference: np.ndarray, margin: float) -> np.ndarray:
    posterior = paired_tests.correlated_bayes(difference, 1 / (difference.shape[1] - 1), margin)
    return np.array([paired_tests.cohens_d(difference), paired_tests.superiority(difference), *posterior])


def _bootstrap(draws: pd.DataFrame, pairs: Pairs) -> np.ndarray:
    """Bootstrap test on the mean over common folds and seeds; a draw is NaN if one of these is NaN."""
    fold = draws.index.droplevel("source").factorize()[0]
    source = pd.Index(pairs.sources).get_indexer(draws.index.get_level_values("source"))
    of = np.full((fold.max() + 1, len(pairs.sources), draws.shape[1]), np.nan)
    of[fold[source >= 0], source[source >= 0]] = draws.to_numpy()[source >= 0]
    found = []
    for one in np.unique(pairs.first):  # one source at a time: all pairs take too much memory
        apart = of[:, [one]] - of[:, pairs.second[pairs.first == one]]
        drawn = _mean(apart, ~np.isnan(apart).all(axis=2, keepdims=True))
        found.append([np.full(len(drawn), np.nan), bootstrap.p_value(drawn), *bootstrap.interval(drawn, LEVEL)])
    return np.concatenate(found, axis=1)


def _delong(predictions: pd.DataFrame, pairs: Pairs) -> np.ndarray | None:
    """DeLong's paired test of all pairs, combined as in `_delong_intervals`; None for more than two classes."""
    columns = score_columns(predictions)
    if len(columns) != 2:
        return None
    image = ["fold", "seed", "image_id"]
    scores = predictions.pivot(index=image, columns="source", values=columns[1]).reindex(columns=pairs.sources)
    labels = predictions.drop_duplicates(image).set_index(image)["label"].reindex(scores.index)
    positive = (labels == classes_of(columns)[1]).to_numpy()
    rows = scores.groupby(level=["fold", "seed"]).indices
    found = [delong.all_pairs(positive[of], scores.to_numpy()[of].T) for of in rows.values()]
    apart, variance = (np.stack(each)[:, pairs.first, pairs.second] for each in zip(*found, strict=True))
    shared = ~np.isnan(apart)  # NaN: no common image
    apart, variance = (_by_fold(each, shared, np.array([fold for fold, _ in rows])) for each in (apart, variance))
    shared = ~np.isnan(apart)
    difference, sd = _mean(apart), np.sqrt(_mean(variance, shared) / shared.sum(axis=0))
    spread = np.where(sd == 0, np.nan, sd)
    z, half = difference / spread, spread * special.ndtri((1 + LEVEL) / 2)
    p = np.where(sd == 0, difference == 0, 2 * special.ndtr(-abs(z)))  # sd 0: the same ranking
    return np.array([z, p, difference - half, difference + half])
