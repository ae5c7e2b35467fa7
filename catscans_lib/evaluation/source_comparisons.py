"""Compare all pairs of sources of a target on the same folds: tests, effect sizes, ranks over targets."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib.evaluation.intervals import LEVEL
from catscans_lib.evaluation.tables import classes_of, score_columns, shared_modes
from catscans_lib.statistics import bootstrap, delong, paired_tests

COLUMNS = [
    "target", "mode", "source_a", "source_b", "difference", "test", "statistic", "p", "p_adjusted", "low", "high"
]  # fmt: skip
EFFECTS = [
    "target", "mode", "source_a", "source_b", "difference", "n_folds", "cohens_d", "superiority", "rope",
    "p_b_better", "p_equivalent", "p_a_better",
]  # fmt: skip
NUMBERS = ["statistic", "p", "low", "high"]
FAMILY = ["target", "mode", "test", "against"]


class Pairs(NamedTuple):
    """All pairs of sources of a target and mode that share at least two folds."""

    target: str
    mode: str
    sources: np.ndarray  # shape (n_sources,)
    first: np.ndarray  # indices into `sources`, shape (n_pairs,)
    second: np.ndarray
    difference: np.ndarray  # AUC of first minus second, seeds averaged, NaN if one lacks the fold; (n_pairs, n_folds)

    @property
    def known(self) -> np.ndarray:
        """Whether both have the fold, shape (n_pairs, n_folds)."""
        return ~np.isnan(self.difference)

    def keys(self) -> dict[str, object]:
        """Return the columns that identify a pair, and its mean difference."""
        return {
            "target": self.target, "mode": self.mode, "source_a": self.sources[self.first],
            "source_b": self.sources[self.second], "difference": _mean(self.difference.T, self.known.T),
        }  # fmt: skip


def comparisons(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of sources of a target in every shared mode.

    Parameters
    ----------
    aucs, draws : pandas.DataFrame
        As `aucs` and `intervals.draws` return them.
    predictions : pandas.DataFrame
        The predictions behind the AUCs.

    Returns
    -------
    pandas.DataFrame
        Columns target, mode, source_a, source_b, difference (AUC of a minus AUC of b, mean over the folds both have), test,
        statistic, p, p_adjusted (Holm), low, high (95 % interval of the difference). Tests:

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
            "nadeau_bengio": _on_own_folds(_nadeau_bengio, pairs),
            "wilcoxon": _on_own_folds(_wilcoxon, pairs),
            "bootstrap": _bootstrap(draws.xs(here, level=["target", "mode"]), pairs),
        }
        if (of_images := _delong(predictions.iloc[rows[here]], pairs)) is not None:
            tests["delong"] = of_images
        parts.append(_table(pairs, tests))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    table["against"] = np.where((table["source_a"] == "none") | (table["source_b"] == "none"), "none", "sources")
    table["p_adjusted"] = table.groupby(FAMILY)["p"].transform(lambda p: paired_tests.holm(p.to_numpy()))
    return table[COLUMNS]


def effects(aucs: pd.DataFrame, rope: float) -> pd.DataFrame:
    """Return effect sizes of all pairs of sources, and the probability that a difference is practically relevant.

    Parameters
    ----------
    rope : float
        Region of practical equivalence: differences of AUC up to this count as 0.

    Returns
    -------
    pandas.DataFrame
        Columns target, mode, source_a, source_b, difference, n_folds, cohens_d (mean over sd of the folds' differences),
        superiority (share of folds in which a is better, ties one half), rope, and the posterior probabilities of a Bayesian
        correlated t-test: p_b_better, p_equivalent, p_a_better, which sum to 1.
    """
    parts = []
    for pairs in _pairs(aucs):
        found = _on_own_folds(lambda difference: _effect(difference, rope), pairs)
        keys = pairs.keys() | {"n_folds": pairs.known.sum(axis=1), "rope": rope}
        names = [name for name in EFFECTS if name not in keys]
        parts.append(pd.DataFrame(keys | dict(zip(names, found, strict=True)))[EFFECTS])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EFFECTS)


def ranks(aucs: pd.DataFrame) -> pd.DataFrame:
    """Rank sources over the targets (1 is the highest mean AUC), with Friedman's test and Nemenyi's critical difference.

    Only sources with a result on every target are ranked; a target's own dataset therefore never is.

    Returns
    -------
    pandas.DataFrame
        Columns mode, source, mean_rank, n_targets, friedman_p, critical_difference (5 %); empty with fewer than two targets
        or three sources.
    """
    tables = []
    for mode in shared_modes(aucs):
        here = aucs[aucs["mode"] == mode]
        wide = here.pivot_table(index="target", columns="source", values="auc", sort=False).dropna(axis=1)
        if min(len(wide), wide.shape[1] - 1) >= 2:
            found, nemenyi = paired_tests.friedman(wide.to_numpy()), paired_tests.nemenyi(wide.to_numpy())
            tables.append(
                pd.DataFrame({"source": wide.columns, "mean_rank": found.mean_ranks}).assign(
                    mode=mode, n_targets=len(wide), friedman_p=found.p, critical_difference=nemenyi.critical_difference
                )
            )
    columns = ["mode", "source", "mean_rank", "n_targets", "friedman_p", "critical_difference"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


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


def _table(pairs: Pairs, tests: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return a row per pair and test, from the numbers of each test, shape (4, n_pairs)."""
    n_pairs, n_tests = len(pairs.first), len(tests)
    keys = {name: np.repeat(values, n_tests) if np.ndim(values) else values for name, values in pairs.keys().items()}
    numbers = np.stack(list(tests.values()), axis=-1).reshape(len(NUMBERS), -1)
    return pd.DataFrame(keys | {"test": list(tests) * n_pairs} | dict(zip(NUMBERS, numbers, strict=True)))


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean of the known values over the first axis; NaN if there are none."""
    n = known.sum(axis=0)
    return np.where(known, values, 0).sum(axis=0) / np.where(n == 0, np.nan, n)


def _by_fold(values: np.ndarray, known: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Average the seeds of each fold: from shape (n_folds_and_seeds, n_pairs) to (n_folds, n_pairs)."""
    return np.stack([_mean(values[folds == fold], known[folds == fold]) for fold in np.unique(folds)])


def _on_own_folds(measure: Callable[[np.ndarray], np.ndarray], pairs: Pairs) -> np.ndarray:
    """Apply a measure to the differences of each pair, shape (n_numbers, n_pairs); pairs with the same folds together."""
    patterns, pattern = np.unique(pairs.known, axis=0, return_inverse=True)
    rows = [np.flatnonzero(pattern == number) for number in range(len(patterns))]
    found = [measure(pairs.difference[np.ix_(of, known)]) for of, known in zip(rows, patterns, strict=True)]
    return np.concatenate(found, axis=1)[:, np.argsort(np.concatenate(rows))]


def _ratio(difference: np.ndarray) -> float:
    """Held-out images per training image with so many folds."""
    return 1 / (difference.shape[1] - 1)


def _nadeau_bengio(difference: np.ndarray) -> np.ndarray:
    found = paired_tests.nadeau_bengio(difference, _ratio(difference), LEVEL)
    return np.array([found.t, found.p, found.low, found.high])


def _wilcoxon(difference: np.ndarray) -> np.ndarray:
    none = np.full(len(difference), np.nan)
    return np.array([*paired_tests.wilcoxon(difference), none, none])


def _effect(difference: np.ndarray, rope: float) -> np.ndarray:
    posterior = paired_tests.correlated_bayes(difference, _ratio(difference), rope)
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
    """DeLong's paired test of all pairs; None for more than two classes. Variances are combined as in `intervals`."""
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
    return _z_test(_mean(apart, shared), np.sqrt(_mean(variance, shared) / shared.sum(axis=0)))


def _z_test(difference: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """z test of normally distributed differences; sd 0 gives p 1 for equal AUCs and p 0 for others."""
    spread = np.where(sd == 0, np.nan, sd)
    z, half = difference / spread, spread * special.ndtri((1 + LEVEL) / 2)
    p = np.where(sd == 0, difference == 0, 2 * special.ndtr(-abs(z)))
    return np.array([z, p, difference - half, difference + half])
