"""What the chapter on the published results is rendered with, from the tables of its run."""

from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.evidence.tables import COMMITTED
from catscans_lib.transferability.associations import ALL
from catscans_lib.transferability.panel import BASELINES

STEP = "published"
TABLES = (
    "correlations", "draws", "random_draws", "noise_floor", "fold_tests", "ranks", "associations", "associations_within",
    "left_out",
)  # fmt: skip
FOLDS = ["source", "target", "fold", "auc", "transfer_score", "is_baseline"]
TITLES = {
    "experts": "experts' distance", "cosine_hessian": "Task2Vec: raw cosine", "cosine_symnorm": "Task2Vec: normalised cosine",
    "cosine_symnorm_eps0": "Task2Vec: normalised cosine, no ε", "entropy_symnorm": "Task2Vec: entropy",
    "jsd_masked": "Task2Vec: Jensen-Shannon", "kl_masked": "Task2Vec: Kullback-Leibler",
    "normalized_cosine_masked": "Task2Vec: masked normalised cosine", "correlation_var_masked": "Task2Vec: correlation",
    "log_euclid_masked": "Task2Vec: log-Euclidean", "fu": "FU", "leep": "LEEP", "logme": "LogME", "ncti": "NCTI",
    "nleep": "NLEEP", "parc": "PARC", "sfda": "SFDA",
}  # fmt: skip


def numbers(profile: str) -> dict[str, Any] | None:
    """Return what the chapter is rendered with, from the tables of the run `published/all`; None without that run.

    Returns
    -------
    dict
        ``correlations`` (measure to pairs to row), ``draws``, ``spread`` (of r over random draws: mean, sd, low, high, n,
        share_below the published one), ``floor`` (rows of `noise_floor`), ``tests`` (rows of `fold_tests`), ``ranks`` (pairs
        to p, critical difference and mean ranks), ``predictions`` (evidence to a row for every measure over all targets, by
        statistic), ``left_out`` (evidence to rows of rule and mean regret), ``aucs`` (targets and rows of the published table).
    """
    if not results.is_done(profile, f"{STEP}/all"):
        return None
    found = {name: pd.read_csv(paths.run_dir(profile, STEP, "all") / f"{name}.csv") for name in TABLES}
    rows = found["correlations"].to_dict("records")
    r, recorded = found["random_draws"]["r"], found["draws"].set_index("file")["recorded_r"]
    low, high = np.quantile(r, [0.025, 0.975])
    spread = {"mean": r.mean(), "sd": r.std(ddof=1), "low": low, "high": high, "n": len(r)}
    return {
        "correlations": {name: {row["pairs"]: row for row in rows if row["measure"] == name} for name in _unique(rows)},
        "draws": found["draws"].to_dict("records"),
        "spread": spread | {"share_below": (r < recorded[COMMITTED]).mean()},
        "floor": found["noise_floor"].to_dict("records"),
        "tests": found["fold_tests"].to_dict("records"),
        "ranks": {name: _ranking(part) for name, part in found["ranks"].groupby("pairs", sort=False)},
        "predictions": _predictions(found["associations"], found["associations_within"]),
        "left_out": _left_out(found["left_out"]),
        "aucs": _as_published(profile),
    }


def _as_published(profile: str) -> dict[str, Any]:
    """Return targets and, by source, a cell per target: mean and sd (ddof 0, as published) of AUC, mean score, is_baseline."""
    folds = results.optional(profile, f"{STEP}/all/aucs.csv", columns=FOLDS)
    cells = folds.groupby(["source", "target"], sort=False).agg(
        mean=("auc", "mean"), sd=("auc", lambda auc: auc.std(ddof=0)), score=("transfer_score", "mean"),
        is_baseline=("is_baseline", "any"), n=("auc", "size"),
    )  # fmt: skip
    names, targets = datasets.titles() | TITLES, list(dict.fromkeys(folds["target"]))
    rows = [
        {
            "title": names[source],
            "cells": [cells.loc[(source, t)].to_dict() if (source, t) in cells.index else None for t in targets],
        }
        for source in dict.fromkeys(folds["source"])
    ]
    return {"targets": [names[target] for target in targets], "rows": rows}


def _unique(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["measure"] for row in rows))


def _ranking(part: pd.DataFrame) -> dict[str, Any]:
    facts = part.iloc[0][["friedman_p", "critical_difference", "n_targets"]].to_dict()
    return facts | {"n_sources": len(part), "mean_ranks": part.set_index("source")["mean_rank"].to_dict()}


def _predictions(associations: pd.DataFrame, within: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Per evidence a row for each measure over all targets, lowest regret first; p_within: sources permuted within targets."""
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
             "kind": first["kind"], "n": int(first["n"]), **facts}
        )  # fmt: skip
    return {evidence: sorted(rows, key=lambda row: row["regret"]["value"]) for evidence, rows in found.items()}


def _left_out(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    means = table.groupby(["evidence", "rule"], sort=False)["regret"].agg(["mean", "max", "size"]).reset_index()
    return {evidence: part.to_dict("records") for evidence, part in means.groupby("evidence", sort=False)}
