"""Which differences between sources are real? Every two sources of a target, on the same folds, by several tests."""

from collections.abc import Callable, Iterator
from itertools import combinations, groupby

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib.evaluation import bootstrap, comparison, delong
from catscans_lib.evaluation.tables import classes_of, score_columns, shared_modes
from catscans_lib.evaluation.uncertainty import LEVEL

COLUMNS = [
    "target", "mode", "source_a", "source_b", "difference", "test", "statistic", "p", "p_adjusted", "low", "high"
]  # fmt: skip
EFFECTS = [
    "target", "mode", "source_a", "source_b", "difference", "n_folds", "cohens_d", "superiority", "rope",
    "p_b_better", "p_equivalent", "p_a_better",
]  # fmt: skip
Row = tuple[str, float, float, float, float]  # test, statistic, p, low, high
FAMILY = ["target", "mode", "test", "against"]


def comparisons(aucs: pd.DataFrame, draws: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare every two sources of a target in every common mode.

    Parameters
    ----------
    aucs : pandas.DataFrame
        As `all_aucs` returns it.
    draws : pandas.DataFrame
        As `uncertainty.draws` returns it.
    predictions : pandas.DataFrame
        Those the AUCs are of.

    Returns
    -------
    pandas.DataFrame
        Columns target, mode, source_a, source_b, difference (AUC of a minus AUC of b, mean over the folds both have), test,
        statistic, p, p_adjusted (Holm), low, high (95 % interval of the difference). Tests:

        - nadeau_bengio: corrected resampled t over folds, seeds averaged first;
        - wilcoxon: signed ranks over folds; with 5 folds its p is never below 0.06;
        - delong: for two classes, per fold and summed up over folds; images count as independent;
        - bootstrap: over groups of images; the p is twice the smaller share of draws on one side of 0.

        A family for Holm's correction is a test in one target and mode: all pairs of sources, and apart from these all
        pairs with random weights, which answer another question.
    """
    rows = []
    for (target, mode), pairs in groupby(_pairs(aucs), key=lambda pair: pair[:2]):
        drawn, paired = _Drawn(draws, target, mode), _paired_delong(predictions, target, mode)
        for _, _, a, b, difference in pairs:
            here = [_nadeau_bengio(difference), _wilcoxon(difference), _bootstrap(drawn.difference(a, b)), paired(a, b)]
            rows += [(target, mode, a, b, difference.mean(), *one) for one in here if one]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "p_adjusted"])
    table["against"] = np.where((table["source_a"] == "none") | (table["source_b"] == "none"), "none", "sources")
    table["p_adjusted"] = table.groupby(FAMILY)["p"].transform(lambda p: comparison.holm(p.to_numpy()))
    return table[COLUMNS]


def effects(aucs: pd.DataFrame, rope: float) -> pd.DataFrame:
    """How large are the differences, and how probable is it that they matter?

    Parameters
    ----------
    rope : float
        Region of practical equivalence: differences of AUC up to this are taken as none.

    Returns
    -------
    pandas.DataFrame
        Columns target, mode, source_a, source_b, difference, n_folds, cohens_d (mean over sd of the folds' differences),
        superiority (share of folds in which a is better, ties one half), rope, and the posterior probabilities of a Bayesian
        correlated t-test: p_b_better, p_equivalent, p_a_better, which sum to 1.
    """
    rows = []
    for target, mode, a, b, difference in _pairs(aucs):
        posterior = comparison.correlated_bayes(difference, _ratio(difference), rope)
        size = comparison.cohens_d(difference), comparison.superiority(difference)
        rows.append((target, mode, a, b, difference.mean(), len(difference), *size, rope, *posterior))
    return pd.DataFrame(rows, columns=EFFECTS)


def ranks(aucs: pd.DataFrame) -> pd.DataFrame:
    """Rank sources over the targets (1: highest mean AUC), with Friedman's test and Nemenyi's critical difference.

    Only sources with a result on every target can be ranked, so the targets' own datasets never are.

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
            found, nemenyi = comparison.friedman(wide.to_numpy()), comparison.nemenyi(wide.to_numpy())
            tables.append(
                pd.DataFrame({"source": wide.columns, "mean_rank": found.mean_ranks}).assign(
                    mode=mode, n_targets=len(wide), friedman_p=found.p, critical_difference=nemenyi.critical_difference
                )
            )
    columns = ["mode", "source", "mean_rank", "n_targets", "friedman_p", "critical_difference"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _pairs(aucs: pd.DataFrame) -> Iterator[tuple[str, str, str, str, np.ndarray]]:
    """Target, mode, two sources and the differences of their AUCs on the folds that both have; seeds are averaged."""
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    for (target, mode), here in shared.groupby(["target", "mode"], sort=False):
        wide = here.pivot_table(index=["fold", "seed"], columns="source", values="auc")
        folds = np.unique(wide.index.get_level_values("fold"), return_inverse=True)[1]
        values = {source: wide[source].to_numpy() for source in wide}
        for a, b in combinations(here["source"].unique(), 2):
            difference = _by_fold(values[a] - values[b], folds)
            if len(difference) >= 2:
                yield target, mode, a, b, difference


def _by_fold(difference: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Means over the seeds of each fold; folds without a value are left out."""
    known = ~np.isnan(difference)
    n = np.bincount(folds[known])
    return np.bincount(folds[known], weights=difference[known])[n > 0] / n[n > 0]


def _ratio(difference: np.ndarray) -> float:
    """Held-out images per training image in so many folds."""
    return 1 / (len(difference) - 1)


def _nadeau_bengio(difference: np.ndarray) -> Row:
    found = comparison.nadeau_bengio(difference, _ratio(difference), LEVEL)
    return "nadeau_bengio", found.t, found.p, found.low, found.high


def _wilcoxon(difference: np.ndarray) -> Row:
    found = comparison.wilcoxon(difference)
    return "wilcoxon", found.statistic, found.p, np.nan, np.nan


def _bootstrap(drawn: np.ndarray) -> Row:
    return "bootstrap", np.nan, bootstrap.p_value(drawn), *bootstrap.interval(drawn, LEVEL)


class _Drawn:
    """The draws of a target and mode, of every source on the same folds and seeds."""

    def __init__(self, draws: pd.DataFrame, target: str, mode: str) -> None:
        here = draws.xs((target, mode), level=["target", "mode"])
        rows = here.index.droplevel("source").unique()
        self.of = {
            source: part.droplevel("source").reindex(rows).to_numpy() for source, part in here.groupby(level="source")
        }

    def difference(self, a: str, b: str) -> np.ndarray:
        """AUC of a minus AUC of b in every draw, mean over the folds and seeds both have; NaN where one of these has none."""
        apart = self.of[a] - self.of[b]
        return apart[~np.isnan(apart).all(axis=1)].mean(axis=0)


def _paired_delong(predictions: pd.DataFrame, target: str, mode: str) -> Callable[[str, str], Row | None]:
    """Return DeLong's paired test of two sources; None for more than two classes.

    Folds hold different images, so their variances add up; seeds repeat the same images, and their mean variance is taken.
    """
    of = predictions[(predictions["target"] == target) & (predictions["mode"] == mode)]
    columns = score_columns(of)
    if len(columns) != 2:
        return lambda a, b: None
    scores = of.pivot(index=["fold", "seed", "image_id"], columns="source", values=columns[1])
    labels = of.drop_duplicates(["fold", "seed", "image_id"]).set_index(["fold", "seed", "image_id"])["label"]
    positive = (labels.reindex(scores.index) == classes_of(columns)[1]).to_numpy()
    place = {source: number for number, source in enumerate(scores)}
    levels = (scores.index.get_level_values(name) for name in ("fold", "seed"))
    parts = pd.Series(range(len(scores))).groupby([*map(np.asarray, levels)]).indices
    folds = np.array([fold for fold, _ in parts])
    found = [delong.all_pairs(positive[rows], scores.to_numpy()[rows].T) for rows in parts.values()]
    differences, variances = (np.stack(each) for each in zip(*found, strict=True))

    def test(a: str, b: str) -> Row:
        one, other = place[a], place[b]
        shared = ~np.isnan(differences[:, one, other])  # on no common image there is no difference
        number = np.unique(folds[shared], return_inverse=True)[1]
        n = np.bincount(number)
        means = [np.bincount(number, each[shared, one, other]) / n for each in (differences, variances)]
        return "delong", *_z_test(means[0].mean(), np.sqrt(means[1].sum()) / len(n))

    return test


def _z_test(difference: float, sd: float) -> tuple[float, float, float, float]:
    """Of a difference that is normally distributed; two models with the same ranks have sd 0 and p 1."""
    if sd == 0:
        return np.nan, float(difference == 0), np.nan, np.nan
    z, half = difference / sd, sd * special.ndtri((1 + LEVEL) / 2)
    return z, 2 * special.ndtr(-abs(z)), difference - half, difference + half
