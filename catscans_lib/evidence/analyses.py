"""Re-examine the published studies: other selections of pairs, other draws, tests, a noise floor; numbers of the chapter."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib import datasets, paths, results
from catscans_lib.evaluation import inference
from catscans_lib.evidence.tables import COMMITTED, PAIR, TITLES, aucs, committed_draws, read
from catscans_lib.statistics import paired_tests, ties
from catscans_lib.transferability.associations import ALL
from catscans_lib.transferability.similarity_tables import BASELINES

STEP = "published"
TABLES = (
    "correlations", "draws", "random_draws", "noise_floor", "fold_tests", "ranks", "associations", "associations_within",
    "left_out", "against_rules", "limits",
)  # fmt: skip
FOLDS = ["source", "target", "fold", "auc", "transfer_score", "is_baseline"]


def correlations(scores: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """Correlate distances with mean transfer scores as the original study did, and on other selections of its pairs.

    Columns measure, pairs (all; no baselines; no baselines, no ImageNet; one target; within targets: target means subtracted
    from both), n, pearson_r, pearson_p (within targets: one degree of freedom less per further target), spearman_rho,
    kendall_tau. Signs are as published: a distance that finds good sources correlates negatively. The p values assume
    independent pairs, although pairs share sources.
    """
    means = scores.groupby([*PAIR, "is_baseline"], sort=False)["transfer_score"].mean().rename("score").reset_index()
    rows = []
    for measure, here in distances.groupby("measure", sort=False):
        pairs = means.merge(here[[*PAIR, "value"]], on=PAIR)
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


def draws(folder: Path) -> pd.DataFrame:
    """Return the draws of five subsets in the original repository, and the correlations they give.

    Columns file, subsets (numbers of the five), n_distinct, recorded_r (in the folder's correlations.csv), recomputed_r (from
    the five distances of every pair; NaN without that file), n_distinct_found (different columns in it).
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
    """Return the correlation over all pairs, shape (n_draws,), for new draws of the raw cosine's five subsets.

    The folder holds only mean and standard deviation over the subsets. As an approximation, the mean distance of a draw is
    normally distributed and independent between pairs.
    """
    means = aucs(folder).groupby(PAIR, sort=False)["transfer_score"].mean()
    table = read(folder, "task2vec_distances.csv")
    raw = table[(table["pairing"] == "same index") & (table["measure"] == "cosine_hessian")].set_index(PAIR)
    keys = [("stl10" if source == "imagenet" else source, target) for source, target in means.index]
    # As published, a dataset has distance 0 to itself.
    centre, sd = raw.reindex(keys)[["mean", "std"]].fillna(0).to_numpy().T
    x = centre + rng.normal(size=(n_draws, len(centre))) * sd / np.sqrt(n_subsets)
    return stats.pearsonr(x, np.broadcast_to(means.to_numpy(), x.shape), axis=1).statistic


def noise_floor(folder: Path) -> pd.DataFrame:
    """Return the raw cosine distance between two different subsets, of one dataset (`self`) or of two (`cross`).

    Columns source, target, kind, mean, sd, min, max, n (pairs of subsets), floor (the larger self distance of the two),
    below_floor (whether the two datasets are closer to each other than one of them is to itself).
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
    """Compare one source with every other on every target: corrected resampled t-test and plain paired t-test.

    Columns target, source_a, source_b, is_baseline (b was pretrained on the target), difference (AUC of a minus b), p,
    p_adjusted (Holm within the target), p_uncorrected (plain t-test, which assumes independent folds), low, high. The tables
    do not hold the sizes of the folds; k equal folds have one held-out image for k - 1 of training.
    """
    rows = []
    for target, here in scores.groupby("target", sort=False):
        wide = here.pivot(index="fold", columns="source", values="auc")
        n_folds = len(wide)
        for source in here["source"].unique():
            if source != best:
                difference = (wide[best] - wide[source]).to_numpy()
                found = paired_tests.nadeau_bengio(difference, 1 / (n_folds - 1))
                plain_t = found.t * np.sqrt(1 + n_folds / (n_folds - 1))  # its variance lacks the ratio
                plain = 2 * stats.t.sf(abs(plain_t), found.df)
                rows.append((target, best, source, source == target, found.mean, found.p, plain, found.low, found.high))
    columns = ["target", "source_a", "source_b", "is_baseline", "difference", "p", "p_uncorrected", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_adjusted=table.groupby("target")["p"].transform(lambda p: paired_tests.holm(p)))


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank the sources that ran on every target: columns of `inference.ranks`, and pairs (all; no baselines)."""
    parts = {"all": scores, "no baselines": scores[~scores["is_baseline"]]}
    return pd.concat([inference.ranks(part).assign(pairs=name) for name, part in parts.items()], ignore_index=True)


def chapter_numbers(profile: str) -> dict[str, Any] | None:
    """Return the numbers of the chapter *Published results*, from the run `published/all`; None without that run.

    By name: correlations (row by measure and pairs), draws, spread (of r over random draws: mean, sd, low, high, n, share_below
    the published r), floor and tests (rows of `noise_floor` and `fold_tests`), ranks (p, critical difference and mean ranks by
    pairs), predictions (by evidence: a row per measure over all targets), left_out (by evidence: rows of rule and regret), limits
    (a row by evidence), aucs (targets and rows of the published table).
    """
    if not results.is_done(profile, f"{STEP}/all"):
        return None
    found = {name: pd.read_csv(paths.run_dir(profile, STEP, "all") / f"{name}.csv") for name in TABLES}
    rows, measures = found["correlations"].to_dict("records"), found["correlations"]["measure"].unique()
    r, recorded = found["random_draws"]["r"], found["draws"].set_index("file")["recorded_r"]
    low, high = np.quantile(r, [0.025, 0.975])
    spread = {"mean": r.mean(), "sd": r.std(ddof=1), "low": low, "high": high, "n": len(r)}
    left_out = found["left_out"].groupby(["evidence", "rule"], sort=False)["regret"].agg(["mean", "max", "size"])
    return {
        "correlations": {name: {row["pairs"]: row for row in rows if row["measure"] == name} for name in measures},
        "draws": found["draws"].to_dict("records"),
        "spread": spread | {"share_below": (r < recorded[COMMITTED]).mean()},
        "floor": found["noise_floor"].to_dict("records"),
        "tests": found["fold_tests"].to_dict("records"),
        "ranks": {name: _ranking(part) for name, part in found["ranks"].groupby("pairs", sort=False)},
        "predictions": _predictions(found["associations"], found["associations_within"], found["against_rules"]),
        "limits": found["limits"].set_index("evidence").to_dict("index"),
        "left_out": {
            name: part.to_dict("records") for name, part in left_out.reset_index().groupby("evidence", sort=False)
        },
        "aucs": _as_published(profile),
    }


def _as_published(profile: str) -> dict[str, Any]:
    """Return targets and a row of cells per source: mean and sd (ddof 0, as published) of AUC, mean score, is_baseline."""
    folds = results.optional(profile, f"{STEP}/all/aucs.csv", columns=FOLDS)
    cells = folds.groupby(["source", "target"], sort=False).agg(
        mean=("auc", "mean"), sd=("auc", lambda auc: auc.std(ddof=0)), score=("transfer_score", "mean"),
        is_baseline=("is_baseline", "any"), n=("auc", "size"),
    )  # fmt: skip
    names, targets = datasets.titles() | TITLES, list(dict.fromkeys(folds["target"]))
    found = {pair: cell.to_dict() for pair, cell in cells.iterrows()}
    rows = [
        {"title": names[source], "cells": [found.get((source, target)) for target in targets]}
        for source in dict.fromkeys(folds["source"])
    ]
    return {"targets": [names[target] for target in targets], "rows": rows}


def _ranking(part: pd.DataFrame) -> dict[str, Any]:
    facts = part.iloc[0][["friedman_p", "critical_difference", "n_targets"]].to_dict()
    return facts | {"n_sources": len(part), "mean_ranks": part.set_index("source")["mean_rank"].to_dict()}


def _predictions(
    associations: pd.DataFrame, within: pd.DataFrame, against: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """Return by evidence a row per measure over all targets, lowest regret first.

    p_within permutes within targets; versus holds the difference in regret to each rule, by the rule's name.
    """
    lost = against[against["statistic"] == "regret"].set_index(["evidence", "measure", "rule"]).sort_index()
    keys = ["evidence", "measure", "statistic"]
    over_all = associations[associations["target"] == ALL]
    other = within[within["target"] == ALL].set_index(keys)["p"].rename("p_within")
    joined = over_all.join(other, on=keys)
    found: dict[str, list[dict[str, Any]]] = {}
    for (evidence, measure), part in joined.groupby(["evidence", "measure"], sort=False):
        facts = {row["statistic"]: row for row in part.to_dict("records")}
        first = part.iloc[0]
        found.setdefault(evidence, []).append(
            {"measure": measure, "title": BASELINES.get(measure, TITLES.get(measure, measure)),
             "kind": first["kind"], "uses_labels": bool(first["uses_labels"]), "n": int(first["n"]), **facts,
             "versus": lost.loc[(evidence, measure)].to_dict("index") if first["kind"] == "measure" else {}}
        )  # fmt: skip
    return {evidence: sorted(rows, key=lambda row: row["regret"]["value"]) for evidence, rows in found.items()}
