"""The evaluation as the book shows it: the best source of each target, AUC tables, comparisons."""

from typing import Any

import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.evaluation import inference, learning
from catscans_lib.evaluation.tables import CELL, KEYS
from catscans_lib.grid import profiles
from catscans_lib.grid.schema import Primary
from catscans_lib.images import findings

MODES = {"fine_tune": "fine-tuning", "linear_probe": "linear probe"}
COLUMNS = {
    "aucs": [*KEYS, "auc"],
    "auc_intervals": ["source", "target", "mode", "low", "high", "n_seeds", "n_groups", "few_groups", "method"],
    "comparisons": inference.COLUMNS,
    "gains": inference.GAINS,
    "completeness": ["source", "target", "done"],
    "learning": [*CELL, "verdict"],
    "ranks": inference.RANKS,
    "rank_pairs": inference.RANK_PAIRS,
}
Cells = dict[tuple[str, str, str], dict[str, Any]]  # by source, target and mode
TITLES = {  # of what each source is compared with, besides the other sources
    "fine_tune": "random weights, same budget",
    "fine_tune_long": "random weights, longer budget",
    "linear_probe": "random features, logistic regression",
}
TESTS = {
    "nadeau_bengio": "Nadeau and Bengio's corrected resampled t-test over folds",
    "bootstrap": "the bootstrap over groups of images",
}
UNKNOWN = {"low": float("nan"), "high": float("nan"), "n_groups": 0, "few_groups": False}


def numbers(profile: str) -> dict[str, Any]:
    """Return the variables of the chapters' templates that come from the evaluation.

    ``missing`` are unfinished runs of the grid, ``few_groups`` the titles of targets with too few groups in a fold.
    """
    found = {name: results.optional(profile, f"tables/{name}.csv", columns) for name, columns in COLUMNS.items()}
    failed = learning.failures(found["learning"])
    aucs, titles = found["aucs"], profiles.titles(profile)
    targets = [target for target in datasets.known() if target in set(aucs["target"])]
    primary = Primary(**profiles.read(profile)["primary"])
    in_order = sorted(MODES, key=lambda mode: mode != primary.mode)
    modes = {mode: MODES[mode] for mode in in_order if mode in set(aucs["mode"])}
    ranked = {name: found[name] for name in ("ranks", "rank_pairs")}
    missing = found["completeness"][~found["completeness"]["done"].astype(bool)]
    cells = _cells(profile, found, failed)
    return {
        "sources": set(aucs["source"]),
        "targets": [_target(profile, t, [_answer(t, mode, found, cells, titles) for mode in modes]) for t in targets],
        "modes": modes,
        "results": {mode: _rows(mode, targets, cells, titles) for mode in modes},
        "few_groups": [titles[t] for t in targets if any(cells[key]["few_groups"] for key in cells if key[1] == t)],
        "primary_test": TESTS[primary.test],
        "margin": primary.margin,
        "missing": [{"source": titles[row.source], "target": titles[row.target]} for row in missing.itertuples()],
        "ranks": {
            mode: {name: rows[rows["mode"] == mode].replace(titles).to_dict("records") for name, rows in ranked.items()}
            for mode in ranked["ranks"]["mode"].unique()
        },
    }


def _cells(profile: str, found: dict[str, pd.DataFrame], failed: dict[tuple, str]) -> Cells:
    """Return mean AUC, its 95 % interval, gain (None for baselines), and page of every cell.

    `failed` maps cells whose network did not learn to the words that say so. A gain has gain, low, high, verdict (of the
    primary test) and transfer_score (in percent).
    """
    means = found["aucs"].groupby(CELL, sort=False)["auc"].mean()
    intervals = found["auc_intervals"].set_index(CELL)[list(UNKNOWN)].to_dict("index")
    gains = found["gains"].set_index(CELL).to_dict("index")
    cells = {}
    for key, mean in means.items():
        facts = {"mean": mean, "gain": gains.get(key), "best": False, "failed": failed.get(key)}
        facts["page"] = page(profile, "transfer", f"{key[0]}--{key[1]}")
        cells[key] = facts | intervals.get(key, UNKNOWN)
    return cells


def page(profile: str, step: str, name: str) -> str:
    """Return the place of a run's notebook in the book; "" if the run has none."""
    exists = (paths.run_dir(profile, step, name) / f"{step}.ipynb").exists()
    return f"runs/{step}/{name}.ipynb" if exists else ""


def _target(profile: str, target: str, answers: list[dict[str, Any] | None]) -> dict[str, Any]:
    folds = results.optional(profile, f"folds/{target}.csv", ["group", "fold", "label"])
    return {
        "name": target,
        "card": datasets.get(target),
        "n_images": len(folds),
        "n_groups": folds["group"].nunique(),
        "n_folds": len(set(folds["fold"]) - {0}),
        "n_classes": findings.matrix(folds["label"]).shape[1],
        "answers": [answer for answer in answers if answer],
    }


def _answer(
    target: str, mode: str, found: dict[str, pd.DataFrame], cells: Cells, titles: dict[str, str]
) -> dict[str, Any] | None:
    """Return the best source of a target in one mode against the baselines and the next best; None without AUCs."""
    aucs = found["aucs"][found["aucs"]["target"] == target]
    wide = aucs.pivot_table(index=["fold", "seed"], columns=["mode", "source"], values="auc")
    trained = [source for at, source in wide.columns if at == mode and source != "none"]
    sources = [source for source in trained if not cells[source, target, mode]["failed"]]
    if not sources:
        return None
    means = wide[mode][sources].mean().sort_values(ascending=False, kind="stable")
    best = means.index[0]
    runs, table = wide[mode, best].dropna().index, found["comparisons"]
    compared = table[(table["target"] == target) & (table["mode"] == mode)]
    tests = _tests(compared, best)

    def versus(other: str, way: str = mode) -> dict[str, Any] | None:
        if (way, other) not in wide.columns:
            return None
        title = TITLES[way] if other == "none" else titles[other]
        facts = {"source": other, "title": title, "failed": cells[other, target, way]["failed"]}
        if facts["failed"]:
            return facts
        difference = (wide[mode, best] - wide[way, other]).dropna()  # over the folds and seeds that both have
        facts |= {"difference": {"mean": difference.mean(), "n": len(difference)}, "n_better": (difference > 0).sum()}
        return facts | tests.get(other if way == mode else inference.BASELINES[way], {})

    return {
        "mode": mode,
        "mode_title": MODES[mode],
        "best": best,
        "title": titles[best],
        **{name: cells[best, target, mode][name] for name in ("mean", "low", "high", "page")},
        "n_folds": runs.get_level_values("fold").nunique(),
        "n_seeds": runs.get_level_values("seed").nunique(),
        "n_sources": len(trained),
        "baseline": versus("none"),
        "longer": versus("none", "fine_tune_long") if mode == "fine_tune" else None,
        "random_features": versus("none", "linear_probe") if mode == "fine_tune" else None,
        "runner_up": versus(means.index[1]) if len(means) > 1 else None,
        "others": [versus(other) for other in means.index[1:]],
        "pairs": _verdicts(compared),
    }


def _tests(compared: pd.DataFrame, best: str) -> dict[str, dict[str, Any]]:
    """Return the tests of the best source minus each other one that it was compared with, by the other's name.

    low, high, p, p_adjusted and verdict of the primary test; image_low and image_high of the bootstrap over groups of images.
    """
    rows = inference.oriented(compared, best, first=True)
    facts = rows[rows["role"] == "primary"].set_index("other")[["low", "high", "p", "p_adjusted", "verdict"]]
    of_images = rows[rows["test"] == "bootstrap"].set_index("other")[["low", "high"]].add_prefix("image_")
    return facts.join(of_images).to_dict("index")


def _verdicts(compared: pd.DataFrame) -> dict[str, int]:
    """Count the pairs of sources: all, known (one is better), equivalent, open."""
    baselines = ["none", *inference.BASELINES.values()]
    is_source = ~compared[["source_a", "source_b"]].isin(baselines).any(axis=1)
    verdicts = compared.loc[is_source & (compared["role"] == "primary"), "verdict"]
    kinds = verdicts.where(verdicts.isin(["equivalent", "open"]), "known").value_counts()
    return {"all": len(verdicts)} | kinds.reindex(["known", "equivalent", "open"], fill_value=0).to_dict()


def _rows(mode: str, targets: list[str], cells: Cells, titles: dict[str, str]) -> list[dict[str, Any]]:
    """Return the AUC table of one mode: a row per source, a cell (or None) per target, the baselines last."""
    keys = [(source, mode, titles[source]) for source in datasets.known()]
    ways = [mode, "fine_tune_long", "linear_probe"] if mode == "fine_tune" else [mode]
    keys += [("none", way, TITLES[way]) for way in ways]
    rows = [
        {"source": source, "title": title, "cells": [cells.get((source, target, at)) for target in targets]}
        for source, at, title in keys
    ]
    for column in zip(*(row["cells"] for row in rows if row["source"] != "none"), strict=True):
        learned = [cell for cell in column if cell and not cell["failed"]]
        for cell in learned:
            cell["best"] = cell["mean"] == max(other["mean"] for other in learned)
    return [row for row in rows if any(row["cells"])]
