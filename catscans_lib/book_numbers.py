"""Every number that the book prints, read from the result tables of one profile; nothing is typed by hand."""

from typing import Any

import pandas as pd
import yaml

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import demo
from catscans_lib.evaluation import tables as evaluation

MODES = {"fine_tune": "fine-tuning", "linear_probe": "linear probe"}
RUN_STEPS = ("ingest", "overlaps", "pretrain", "transfer", "evaluate", "stability", "feature_maps")


def numbers(profile: str) -> dict[str, Any]:
    """Return what the chapters are rendered with.

    Parameters
    ----------
    profile : str
        Name of a grid in ``params/``; its results may cover any part of that grid.

    Returns
    -------
    dict
        ``profile``, ``demo`` (bool), ``settings`` (key, value pairs of the grid), ``datasets`` (card and what ingest
        found), ``overlaps`` (rows of two datasets that share images; None without the run), ``targets`` (folds and one
        answer per mode), ``modes`` (mode to title), ``results`` (mode to rows of the AUC table), ``runs`` (step to
        records), ``seconds`` (sum over runs), ``factors`` (truth of the demo world).
    """
    aucs = _table(profile, "tables/aucs.csv", columns=[*evaluation.KEYS, "auc"])
    scores = _table(profile, "tables/transfer_scores.csv")
    runs = {step: records for step in RUN_STEPS if (records := _records(profile, step))}
    targets = [target for target in datasets.known() if target in set(aucs["target"])]
    modes = {mode: title for mode, title in MODES.items() if mode in set(aucs["mode"])}
    named = {run["name"] for step in ("ingest", "pretrain") for run in runs.get(step, [])} | set(aucs["source"])
    return {
        "profile": profile,
        "demo": profile == "demo",
        "settings": _flat(yaml.safe_load(paths.params_path(profile).read_text(encoding="utf-8"))),
        "datasets": [_dataset(profile, name) for name in datasets.known() if name in named],
        "overlaps": _overlaps(profile) if "overlaps" in runs else None,
        "targets": [_target(profile, target, aucs, scores, modes) for target in targets],
        "modes": modes,
        "results": {mode: _rows(profile, aucs, scores, mode, targets) for mode in modes},
        "runs": runs,
        "seconds": sum(run["seconds"] for records in runs.values() for run in records),
        "factors": demo.shared_factors() if profile == "demo" else None,
    }


def _table(profile: str, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Return one table of the profile; empty, with these columns, where it was not made or has no rows."""
    path = paths.results_dir(profile) / name
    if not path.exists() or not path.read_text(encoding="utf-8").strip():
        return pd.DataFrame(columns=columns)
    return results.read_table(path)


def _flat(settings: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted key, value) pairs."""
    if isinstance(settings, dict):
        return [
            pair for key, value in settings.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(settings, list):
        return [(prefix, ", ".join(map(str, settings)))]
    return [(prefix, str(settings))]


def _records(profile: str, step: str) -> list[dict[str, Any]]:
    """Return the record of every finished run of a step, with the place of its page."""
    names = results.finished(profile, step)
    return [
        {**results.record(profile, f"{step}/{name}"), "name": name, "page": _page(profile, step, name)}
        for name in names
    ]


def _dataset(profile: str, name: str) -> dict[str, Any]:
    """Return the card of a dataset beside what ingest found of it; a source that came as weights is not ingested."""
    kinds = ("summary", "problems", "duplicates", "near_duplicates", "split_groups", "formats", "decoding")
    found = {kind: _table(profile, f"ingest/{name}/{kind}.csv") for kind in kinds}
    summary, formats = found["summary"], found["formats"]
    per_class = summary.groupby("class", sort=False)["n_images"].sum().to_dict() if len(summary) else {}
    return {
        "name": name,
        "card": datasets.get(name),
        "ingested": paths.run_dir(profile, "ingest", name).exists(),
        "n_found": sum(per_class.values()),
        "per_class": per_class,
        "decoding": found["decoding"]["mean_difference"].mean() if len(found["decoding"]) else None,
        "modes": formats.groupby("mode")["n_images"].sum().to_dict() if len(formats) else {},
        "problems": found["problems"].to_dict("records"),
        "n_duplicates": len(found["duplicates"]),
        "n_near_duplicates": len(found["near_duplicates"]),
        "n_split_groups": len(found["split_groups"]),
        "page": _page(profile, "ingest", name),
    }


def _overlaps(profile: str) -> list[dict[str, Any]]:
    """Return dataset, other (titles), n_identical and n_alike of every two datasets that share an image."""
    titles = datasets.titles()
    counts = _table(profile, "overlaps/all/counts.csv", columns=["dataset", "other", "n_identical", "n_alike"])
    shared = counts[(counts["n_identical"] > 0) | (counts["n_alike"] > 0)]
    return shared.assign(dataset=shared["dataset"].map(titles), other=shared["other"].map(titles)).to_dict("records")


def _page(profile: str, step: str, name: str) -> str:
    """Return the place of a run's notebook in the book, or nothing where there is none to show."""
    shown = (paths.run_dir(profile, step, name) / f"{step}.ipynb").exists()
    return f"runs/{step}/{name}.ipynb" if shown else ""


def _target(
    profile: str, target: str, aucs: pd.DataFrame, scores: pd.DataFrame, modes: dict[str, str]
) -> dict[str, Any]:
    folds = _table(profile, f"folds/{target}.csv")
    answers = [_answer(aucs[aucs["target"] == target], scores, mode) for mode in modes]
    return {
        "name": target,
        "card": datasets.get(target),
        "n_images": len(folds),
        "n_groups": folds["group"].nunique() if len(folds) else 0,
        "n_folds": folds["fold"].nunique() if len(folds) else 0,
        "n_classes": folds["label"].nunique() if len(folds) else 0,
        "answers": [answer for answer in answers if answer],
    }


def _answer(aucs: pd.DataFrame, scores: pd.DataFrame, mode: str) -> dict[str, Any] | None:
    """Say which source was best for one target in one mode, against what, over which runs.

    Differences are paired: the same folds and seeds, never means of different ones.
    """
    wide = aucs.pivot_table(index=["fold", "seed"], columns=["mode", "source"], values="auc")
    sources = [source for at, source in wide.columns if at == mode and source != "none"]
    if not sources:
        return None
    means = wide[mode][sources].mean().sort_values(ascending=False, kind="stable")
    best = means.index[0]
    auc = wide[mode, best].dropna()
    target = aucs["target"].iloc[0]
    return {
        "mode": mode,
        "mode_title": MODES[mode],
        "best": best,
        "title": datasets.titles()[best],
        **_spread(auc),
        "n_folds": auc.index.get_level_values("fold").nunique(),
        "n_seeds": auc.index.get_level_values("seed").nunique(),
        "n_sources": len(sources),
        "score": _score(scores, best, target, mode),
        "baseline": _versus(wide, mode, best, (mode, "none")),
        "longer": _versus(wide, mode, best, ("fine_tune_long", "none")) if mode == "fine_tune" else None,
        "runner_up": _versus(wide, mode, best, (mode, means.index[1])) if len(means) > 1 else None,
    }


def _spread(values: pd.Series) -> dict[str, Any]:
    """Return mean, standard deviation (ddof 1; NaN for one value) and count."""
    return {"mean": values.mean(), "sd": values.std(ddof=1), "n": int(values.count())}


def _versus(wide: pd.DataFrame, mode: str, best: str, other: tuple[str, str]) -> dict[str, Any] | None:
    """Compare the best source with another column over the folds and seeds that both have."""
    if other not in wide.columns:
        return None
    pairs = wide[[(mode, best), other]].dropna()
    difference = pairs[mode, best] - pairs[other]
    return {
        "source": other[1],
        "title": datasets.titles()[other[1]],
        **_spread(pairs[other]),
        "difference": _spread(difference),
        "n_better": int((difference > 0).sum()),
    }


def _score(scores: pd.DataFrame, source: str, target: str, mode: str) -> dict[str, Any] | None:
    """Return mean, sd and n of the transfer score (per cent) of one cell, or None."""
    if not len(scores):
        return None
    rows = scores.query("source == @source and target == @target and mode == @mode")
    return _spread(rows["transfer_score"]) if len(rows) else None


def _rows(
    profile: str, aucs: pd.DataFrame, scores: pd.DataFrame, mode: str, targets: list[str]
) -> list[dict[str, Any]]:
    """Return the AUC table of one mode: a row per source, a cell (or None) per target, the baselines last."""
    summary = evaluation.summary(aucs).set_index(["source", "target", "mode"])
    keys = [(source, mode, datasets.titles()[source]) for source in datasets.known()]
    keys += [("none", mode, "random weights, same budget")]
    keys += [("none", "fine_tune_long", "random weights, longer budget")] if mode == "fine_tune" else []
    rows = []
    for source, at, title in keys:
        cells = [_cell(profile, summary, scores, source, target, at) for target in targets]
        if any(cells):
            rows.append({"source": source, "title": title, "cells": cells})
    for column in range(len(targets)):
        cells = [row["cells"][column] for row in rows if row["source"] != "none" and row["cells"][column]]
        for cell in cells:
            cell["best"] = cell["mean"] == max(other["mean"] for other in cells)
    return rows


def _cell(
    profile: str, summary: pd.DataFrame, scores: pd.DataFrame, source: str, target: str, mode: str
) -> dict[str, Any] | None:
    if (source, target, mode) not in summary.index:
        return None
    row = summary.loc[(source, target, mode)]
    return {
        "mean": row["auc_mean"],
        "sd": row["auc_sd"],
        "n": int(row["n"]),
        "score": _score(scores, source, target, mode) if source != "none" else None,
        "best": False,
        "page": _page(profile, "transfer", f"{source}--{target}"),
    }
