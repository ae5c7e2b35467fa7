"""What the original study concluded, computed again, and what changes it: other pairs, other draws, tests, a noise floor."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evaluation import source_comparisons
from catscans_lib.evidence.tables import COMMITTED, PAIR, aucs, committed_draws, read
from catscans_lib.statistics import paired_tests


def correlations(scores: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """Correlate distances with mean transfer scores as the original study did, and on other selections of its pairs.

    Signs are as published: a distance that finds good sources correlates negatively.

    Parameters
    ----------
    scores, distances : pandas.DataFrame
        As `aucs` and `similarity` return them.

    Returns
    -------
    pandas.DataFrame
        measure, pairs (all; no baselines; no baselines, no ImageNet; a target; within targets: target means subtracted
        from both), n, pearson_r, pearson_p (within targets with a degree of freedom less for each further target),
        spearman_rho, kendall_tau. The p values take pairs as independent, which they are not: they share sources.
    """
    means = scores.groupby([*PAIR, "is_baseline"], sort=False)["transfer_score"].mean().rename("score").reset_index()
    rows = []
    for measure, here in distances.groupby("measure", sort=False):
        pairs = means.merge(here[[*PAIR, "value"]], on=PAIR)
        for name, part, n_targets in _selections(pairs):
            r = stats.pearsonr(part["value"], part["score"]).statistic
            df = len(part) - n_targets - 1
            p = 2 * stats.t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df)
            rho, tau = (test(part["value"], part["score"]).statistic for test in (stats.spearmanr, stats.kendalltau))
            rows.append((measure, name, len(part), r, p, rho, tau))
    columns = ["measure", "pairs", "n", "pearson_r", "pearson_p", "spearman_rho", "kendall_tau"]
    return pd.DataFrame(rows, columns=columns)


def _selections(pairs: pd.DataFrame) -> list[tuple[str, pd.DataFrame, int]]:
    """Name, pairs, and number of means that were subtracted."""
    foreign = pairs[~pairs["is_baseline"]]
    targets = foreign.groupby("target", sort=False)
    centred = foreign.assign(**{name: foreign[name] - targets[name].transform("mean") for name in ("score", "value")})
    return [
        ("all", pairs, 1),
        ("no baselines", foreign, 1),
        ("no baselines, no ImageNet", foreign[foreign["source"] != "imagenet"], 1),
        *((target, part, 1) for target, part in targets),
        ("within targets", centred, targets.ngroups),
    ]


def draws(folder: Path) -> pd.DataFrame:
    """The draws of five subsets that the original's repository holds, and what they give.

    Returns
    -------
    pandas.DataFrame
        file, subsets (numbers of the five), n_distinct, recorded_r (in the folder's correlations.csv), recomputed_r (from
        the five distances of every pair, NaN where that file is not given), n_distinct_found (different columns in it).
    """
    recorded = read(folder, "correlations.csv")
    recorded = recorded[recorded["pairs"] == "all 24 pairs incl. 3 baselines"]
    rows = []
    for row in recorded.itertuples():
        if named := re.search(r"columns of (\S+) \(subsets ([\d,]+)\)", row.predictor):
            file, subsets = named.groups()
            rows.append((file, subsets, len(set(subsets.split(","))), row.pearson_r))
    table = pd.DataFrame(rows, columns=["file", "subsets", "n_distinct", "recorded_r"])
    found = committed_draws(folder)
    if found is None:
        return table.assign(recomputed_r=np.nan, n_distinct_found=np.nan)
    mean = found.groupby(PAIR)["value"].mean().reset_index().assign(measure="draw", larger_is_closer=False)
    r = correlations(aucs(folder), mean)["pearson_r"].iloc[0]
    n_distinct = len(found.pivot(index=PAIR, columns="draw", values="value").T.drop_duplicates())
    is_it = table["file"] == COMMITTED
    return table.assign(recomputed_r=np.where(is_it, r, np.nan), n_distinct_found=np.where(is_it, n_distinct, np.nan))


def random_draws(folder: Path, n_draws: int, rng: np.random.Generator, n_subsets: int = 5) -> np.ndarray:
    """Correlation over all pairs, shape (n_draws,), if the five subsets of the raw cosine were drawn again.

    The folder holds mean and standard deviation over the subsets, not each one. So a draw's mean distance is taken as
    normal, and independent between pairs: an approximation.
    """
    means = aucs(folder).groupby(PAIR, sort=False)["transfer_score"].mean()
    table = read(folder, "task2vec_distances.csv")
    raw = table[(table["pairing"] == "same index") & (table["measure"] == "cosine_hessian")].set_index(PAIR)
    keys = [("stl10" if source == "imagenet" else source, target) for source, target in means.index]
    centre, sd = raw.reindex(keys)[["mean", "std"]].fillna(0).to_numpy().T  # a dataset and itself: 0, as published
    x = centre + rng.normal(size=(n_draws, len(centre))) * sd / np.sqrt(n_subsets)
    return stats.pearsonr(x, np.broadcast_to(means.to_numpy(), x.shape), axis=1).statistic


def noise_floor(folder: Path) -> pd.DataFrame:
    """Raw cosine between two different subsets, of one dataset (`self`) or of two (`cross`).

    Returns
    -------
    pandas.DataFrame
        source, target, kind, mean, sd, min, max, n (pairs of subsets), floor (the larger of both datasets' own distances),
        below_floor (whether the two are closer to each other than one of them is to itself).
    """
    table = read(folder, "task2vec_distances.csv")
    raw = table[(table["measure"] == "cosine_hessian") & (table["pairing"] == "all i != j")]
    raw = raw[raw["source"] <= raw["target"]].rename(columns={"std": "sd"})
    own = raw[raw["source"] == raw["target"]].set_index("source")["mean"]
    floor = np.maximum(raw["source"].map(own), raw["target"].map(own))
    kind = np.where(raw["source"] == raw["target"], "self", "cross")
    columns = [*PAIR, "kind", "mean", "sd", "min", "max", "n", "floor"]
    return raw.assign(kind=kind, floor=floor)[columns].assign(below_floor=(raw["mean"] < floor) & (kind == "cross"))


def fold_tests(scores: pd.DataFrame, best: str = "imagenet") -> pd.DataFrame:
    """Test one source against every other on every target, five folds each; Nadeau and Bengio's test and a plain one.

    Returns
    -------
    pandas.DataFrame
        target, source_a, source_b, is_baseline (b was pretrained on the target), difference (AUC of a minus b), p,
        p_adjusted (Holm within the target), p_uncorrected (paired t-test, which takes folds as independent), low, high.
    """
    rows = []
    for target, here in scores.groupby("target", sort=False):
        wide = here.pivot(index="fold", columns="source", values="auc")
        for source in here["source"].unique():
            if source != best:
                difference = (wide[best] - wide[source]).to_numpy()
                found = paired_tests.nadeau_bengio(difference, 1 / (len(difference) - 1))
                plain = stats.ttest_1samp(difference, 0).pvalue
                rows.append((target, best, source, source == target, found.mean, found.p, plain, found.low, found.high))
    columns = ["target", "source_a", "source_b", "is_baseline", "difference", "p", "p_uncorrected", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_adjusted=table.groupby("target")["p"].transform(lambda p: paired_tests.holm(p)))


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank the sources that ran on every target, as published and without the leaked baselines.

    Returns
    -------
    pandas.DataFrame
        Columns of `evaluation.ranks`, and pairs: `all` or `no baselines`.
    """
    parts = {"all": scores, "no baselines": scores[~scores["is_baseline"]]}
    return pd.concat(
        [source_comparisons.ranks(part).assign(pairs=name) for name, part in parts.items()], ignore_index=True
    )
