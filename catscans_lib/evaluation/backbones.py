"""Whether the ranking of sources depends on the network: ranks by backbone, and agreement between backbones."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.statistics import paired_tests, ties

RANKS = ["target", "mode", "backbone", "source", "auc", "fold_sd", "gain", "rank", "n_sources"]
AGREEMENT = ["target", "mode", "backbone_a", "backbone_b", "statistic", "value", "low", "high", "p", "n_sources"]
ALL = "all"  # all targets, or all backbones of a target
FEWEST = 3  # sources that two backbones must share, and targets that an interval needs


def ranks(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUC, its spread over folds, gain over random weights and rank (1: best) of every source, by backbone.

    `aucs` has columns source, target, mode, backbone, fold, seed, auc. Random weights have a row and no rank. Only sources that
    all backbones of a target and mode have are ranked; a backbone of fewer than three sources does not count.
    """
    parts = []
    for (target, mode), here in aucs.groupby(["target", "mode"], sort=False):
        folds = here.groupby(["backbone", "source", "fold"], sort=False)["auc"].mean().unstack("fold")
        wide = folds.mean(axis=1).unstack("backbone")
        sources = wide.drop(index="none", errors="ignore")
        shared = sources.loc[:, sources.count() >= FEWEST].dropna()
        rank = pd.DataFrame(ties.merged(shared.T).T, shared.index, shared.columns).rank(ascending=False).unstack()
        table = pd.DataFrame({"auc": folds.mean(axis=1), "fold_sd": folds.std(axis=1)})
        none = wide.loc["none"] if "none" in wide.index else pd.Series(np.nan, wide.columns)
        table["gain"] = table["auc"] - none.reindex(table.index.get_level_values("backbone")).to_numpy()
        table["rank"] = rank.reindex(table.index)
        parts.append(table.reset_index().assign(target=target, mode=mode, n_sources=len(shared)))
    return pd.concat(parts, ignore_index=True)[RANKS] if parts else pd.DataFrame(columns=RANKS)


def agreement(ranks: pd.DataFrame) -> pd.DataFrame:
    """Return how far backbones agree on the order of the sources: Kendall's tau of two, Kendall's W of all.

    For a target, statistic "tau" has the exact p of no agreement; "w" is in [0, 1], its p by permutation (Friedman's test with
    backbones as blocks). Targets together (`all`): the mean tau, its 95 % interval over targets (Student's t, from three targets
    on) and the p of a mean of 0. Two backbones must share three sources. Targets share sources and networks, so the interval is
    rather too short.
    """
    rows = []
    sources = ranks[ranks["source"] != "none"]
    for (target, mode), here in sources.groupby(["target", "mode"], sort=False):
        wide = here.pivot_table("auc", "source", "backbone", sort=False)
        for one, other in combinations(wide, 2):
            both = wide[[one, other]].dropna()
            if len(both) >= FEWEST:
                tau = stats.kendalltau(*(ties.merged(both[name]) for name in both))
                rows.append((target, mode, one, other, "tau", tau.statistic, np.nan, np.nan, tau.pvalue, len(both)))
        complete = wide.dropna()
        if len(complete) >= FEWEST and wide.shape[1] > 1:
            found, n = paired_tests.skillings_mack(complete.to_numpy().T), len(complete)
            w = 12 * ((found.mean_ranks - (n + 1) / 2) ** 2).sum() / (n**3 - n)
            rows.append((target, mode, ALL, ALL, "w", w, np.nan, np.nan, found.p, n))
    table = pd.DataFrame(rows, columns=AGREEMENT)
    pairs = table[table["statistic"] == "tau"].groupby(["mode", "backbone_a", "backbone_b"], sort=False)
    for (mode, one, other), part in pairs:
        values = part["value"].dropna()
        if len(values) >= FEWEST:
            test = stats.ttest_1samp(values, 0)
            low, high = np.clip(test.confidence_interval(), -1, 1)
            row = (ALL, mode, one, other, "tau", values.mean(), low, high, test.pvalue, part["n_sources"].sum())
            table.loc[len(table)] = row
    return table
