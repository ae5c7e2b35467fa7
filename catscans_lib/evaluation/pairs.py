"""Which differences between sources are real? Every two sources of a target, on the same folds, by several tests."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

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
    for target, mode, a, b, difference in _pairs(aucs):
        here = [_nadeau_bengio(difference), _wilcoxon(difference), _bootstrap(draws, target, mode, a, b)]
        here += _delong(predictions, target, mode, a, b)
        rows += [
            {"target": target, "mode": mode, "source_a": a, "source_b": b, "difference": difference.mean()} | one
            for one in here
        ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["against"] = np.where((table[["source_a", "source_b"]] == "none").any(axis=1), "none", "sources")
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
        wide = here.pivot_table(index=["fold", "seed"], columns="source", values="auc", sort=False)
        for a, b in combinations(here["source"].unique(), 2):
            difference = (wide[a] - wide[b]).dropna().groupby(level="fold").mean().to_numpy()
            if len(difference) >= 2:
                yield target, mode, a, b, difference


def _ratio(difference: np.ndarray) -> float:
    """Held-out images per training image in so many folds."""
    return 1 / (len(difference) - 1)


def _nadeau_bengio(difference: np.ndarray) -> dict:
    found = comparison.nadeau_bengio(difference, _ratio(difference), LEVEL)
    return {"test": "nadeau_bengio", "statistic": found.t, "p": found.p, "low": found.low, "high": found.high}


def _wilcoxon(difference: np.ndarray) -> dict:
    found = comparison.wilcoxon(difference)
    return {"test": "wilcoxon", "statistic": found.statistic, "p": found.p, "low": np.nan, "high": np.nan}


def _bootstrap(draws: pd.DataFrame, target: str, mode: str, a: str, b: str) -> dict:
    one, other = (draws.xs((source, target, mode), level=["source", "target", "mode"]) for source in (a, b))
    drawn = (one - other).dropna(how="all").mean(skipna=False).to_numpy()
    low, high = bootstrap.interval(drawn, LEVEL)
    return {"test": "bootstrap", "statistic": np.nan, "p": bootstrap.p_value(drawn), "low": low, "high": high}


def _delong(predictions: pd.DataFrame, target: str, mode: str, a: str, b: str) -> list[dict]:
    """Paired DeLong per fold; folds hold different images, so their variances add up. Nothing for more than two classes."""
    of = predictions[(predictions["target"] == target) & (predictions["mode"] == mode)]
    columns = score_columns(of)
    if len(columns) != 2:
        return []
    one, other = (of[of["source"] == source].set_index(["fold", "seed", "image_id"]) for source in (a, b))
    both = one[["label", columns[1]]].join(other[columns[1]].rename("other"), how="inner")
    found = []
    for _, seeds in both.groupby(level="fold"):
        pairs = [
            delong.paired((part["label"] == classes_of(columns)[1]).to_numpy(), part[columns[1]], part["other"])
            for _, part in seeds.groupby(level="seed")
        ]
        found.append((np.mean([pair.difference for pair in pairs]), np.mean([pair.variance for pair in pairs])))
    differences, variances = np.transpose(found)
    return [{"test": "delong"} | _z_test(differences.mean(), np.sqrt(variances.sum()) / len(found))]


def _z_test(difference: float, sd: float) -> dict:
    """Of a difference that is normally distributed; two models with the same ranks have sd 0 and p 1."""
    if sd == 0:
        return {"statistic": np.nan, "p": float(difference == 0), "low": np.nan, "high": np.nan}
    z, half = difference / sd, sd * stats.norm.ppf((1 + LEVEL) / 2)
    return {"statistic": z, "p": 2 * stats.norm.sf(abs(z)), "low": difference - half, "high": difference + half}
