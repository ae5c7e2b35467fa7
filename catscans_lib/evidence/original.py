"""The original study again: other selections of its pairs, other draws of its subsets, the noise floor of its distance."""

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evidence import studies
from catscans_lib.statistics import metrics, paired_tests, ties

NAME = "cats_scans"
PAIR = ["source", "target"]


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Return source, target, fold, auc, transfer_score (percent of the target's baseline) and is_baseline.

    Its baselines have the same dataset as source and target. They are leaked: pretraining saw images of the held-out folds.
    """
    found = table[[*PAIR, "fold", "value"]].rename(columns={"value": "auc"})
    is_baseline = found["source"] == found["target"]
    base = found[is_baseline].set_index(["target", "fold"])["auc"].rename("base")
    joined = found.join(base, on=["target", "fold"])
    return found.assign(transfer_score=metrics.transfer_score(joined["auc"], joined["base"]), is_baseline=is_baseline)


def correlations(table: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Correlate distances with mean transfer scores as the original study did, and on other selections of its pairs.

    `titles` names the columns with distances. Columns measure, pairs (all; no baselines; no baselines, no ImageNet; one target;
    within targets: target means subtracted from both), n, pearson_r, pearson_p, spearman_rho, kendall_tau. Signs are as
    published: a distance that finds good sources correlates negatively. The p values assume that pairs are independent.
    """
    means = outcomes(table).groupby([*PAIR, "is_baseline"], sort=False)["transfer_score"].mean().rename("score")
    distances = table.drop_duplicates(PAIR)
    rows = []
    for measure in titles:
        pairs = means.reset_index().merge(distances[[*PAIR, measure]].rename(columns={measure: "value"}), on=PAIR)
        for name, part, n_targets in _selections(pairs):
            r = stats.pearsonr(part["value"], part["score"]).statistic
            df = len(part) - n_targets - 1
            p = 2 * stats.t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df)
            ranked = ties.merged(part["value"]), ties.merged(part["score"])
            rho, tau = (test(*ranked).statistic for test in (stats.spearmanr, stats.kendalltau))
            rows.append((measure, name, len(part), r, p, rho, tau))
    columns = ["measure", "pairs", "n", "pearson_r", "pearson_p", "spearman_rho", "kendall_tau"]
    return pd.DataFrame(rows, columns=columns)


def _selections(pairs: pd.DataFrame) -> list[tuple[str, pd.DataFrame, int]]:
    """Return name, pairs, and number of subtracted means of each selection."""
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


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Return source, mean_rank (1: highest mean AUC), n_targets, and Friedman's p by permutation and by chi-squared."""
    means = table.pivot_table(index="target", columns="source", values="value").dropna(axis=1)
    found = paired_tests.skillings_mack(means.to_numpy())
    table = pd.DataFrame({"source": means.columns, "mean_rank": found.mean_ranks, "n_targets": len(means)})
    by_chi_squared = stats.friedmanchisquare(*means.to_numpy().T).pvalue
    return table.assign(friedman_p=found.p, chi_squared_p=by_chi_squared).sort_values("mean_rank")


def subsets(pairing: str) -> pd.DataFrame:
    """Return Task2Vec's raw cosine between subsets of two datasets, or of one: source, target, mean, sd, min, median, max, n.

    `pairing`: same_subset (number i of one with number i of the other) or other_subsets (any two different ones).
    """
    table = pd.read_csv(studies.folder() / "more" / f"{NAME}_subsets.csv")
    return table[table["pairing"] == pairing]


def random_draws(table: pd.DataFrame, n_draws: int, rng: np.random.Generator, n_subsets: int = 5) -> np.ndarray:
    """Return the correlation over all pairs, shape (n_draws,), for new, normal draws of the raw cosine's five subsets."""
    means = outcomes(table).groupby(PAIR, sort=False)["transfer_score"].mean()
    raw = subsets("same_subset").set_index(PAIR)
    keys = [("stl10" if source == "imagenet" else source, target) for source, target in means.index]
    # As published, a dataset has distance 0 to itself.
    centre, sd = raw.reindex(keys)[["mean", "sd"]].fillna(0).to_numpy().T
    x = centre + rng.normal(size=(n_draws, len(centre))) * sd / np.sqrt(n_subsets)
    return stats.pearsonr(x, np.broadcast_to(means.to_numpy(), x.shape), axis=1).statistic


def noise_floor() -> pd.DataFrame:
    """Return the raw cosine distance between two different subsets, of one dataset (`self`) or of two (`cross`).

    `floor` is the larger self distance of the two; `below_floor`: they are closer to each other than one of them is to itself.
    """
    table = subsets("other_subsets")
    raw = table[table["source"] <= table["target"]]
    own = raw[raw["source"] == raw["target"]].set_index("source")["mean"]
    floor = np.maximum(raw["source"].map(own), raw["target"].map(own))
    kind = np.where(raw["source"] == raw["target"], "self", "cross")
    columns = [*PAIR, "kind", "mean", "sd", "min", "max", "n", "floor"]
    return raw.assign(kind=kind, floor=floor)[columns].assign(below_floor=(raw["mean"] < floor) & (kind == "cross"))
