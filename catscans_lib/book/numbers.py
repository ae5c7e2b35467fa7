"""Every number that the book prints, read from the result tables of one profile; nothing is typed by hand."""

from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.book import auc_tables, axes, measure_tables
from catscans_lib.datasets import demo
from catscans_lib.evaluation import learning
from catscans_lib.evaluation.tables import CELL
from catscans_lib.evidence import chapters
from catscans_lib.grid import profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.images.findings import NO_FINDING
from catscans_lib.runs.records.tables import flat

INTEGRITY = ("problems", "losses", "duplicates", "near_duplicates", "split_groups")


def numbers(profile: str) -> dict[str, Any]:
    """Return the variables of the chapters' templates; results may cover any part of the profile's grid.

    ``overlaps`` and ``stability`` are None without the run; ``factors`` is the ground truth of the demo; ``answers`` are those
    of the first mode. The others come from `auc_tables`, `measure_tables`, `evidence` and `axes`.
    """
    runs = {step: records for step in STEPS if (records := _records(profile, step))}
    grid = profiles.read(profile)
    evaluated = auc_tables.numbers(profile)
    named = {run["name"] for step in ("ingest", "pretrain") for run in runs.get(step, [])} | evaluated["sources"]
    shown = [name for name in datasets.known() if name in named]
    pretrained = [name for name in shown if results.is_done(profile, f"pretrain/{name}")]
    found = {
        "profile": profile,
        "demo": (is_demo := profiles.is_demo(profile)),
        "settings": list(flat(grid).items()),
        "datasets": [_dataset(profile, name) for name in shown],
        "overlaps": _overlaps(profile) if "overlaps" in runs else None,
        "excluded": _excluded(profile, shown),
        "stability": _stability(profile) if "stability" in runs else None,
        "runs": runs,
        "seconds": sum(run["seconds"] for records in runs.values() for run in records),
        "factors": demo.shared_factors().replace(datasets.titles()) if is_demo else None,
        "budgets": [_budget(profile, name) for name in pretrained if name in evaluated["sources"]],
        **evaluated,
        **measure_tables.numbers(profile, evaluated["modes"], grid["primary"]),
        "evidence": chapters.numbers(profile),
        **axes.numbers(profile),
    }
    mode = next(iter(found["modes"]), "")
    answers = [a | {"target": t["card"].title} for t in found["targets"] for a in t["answers"] if a["mode"] == mode]
    return found | {"answers": answers}


def _records(profile: str, step: str) -> list[dict[str, Any]]:
    """Return the record of every finished run of a step, with its name, duration and page."""
    return [
        results.record(profile, f"{step}/{name}") | {"name": name, "page": auc_tables.page(profile, step, name)}
        for name in results.finished(profile, step)
    ]


def _dataset(profile: str, name: str) -> dict[str, Any]:
    """Return the card of a dataset and what ingest found; a source that came as weights is not ingested."""
    kinds = ("summary", "formats", *INTEGRITY)
    found = {kind: results.optional(profile, f"ingest/{name}/{kind}.csv") for kind in kinds}
    summary, formats = found["summary"], found["formats"]
    record = results.record(profile, f"ingest/{name}") if results.is_done(profile, f"ingest/{name}") else {}
    per_class = summary.groupby("class", sort=False)["n_images"].sum().to_dict() if len(summary) else {}
    return {
        "name": name,
        "card": datasets.get(name),
        "ingested": paths.run_dir(profile, "ingest", name).exists(),
        "resize": record.get("parameters", {}).get("resize", "squash"),
        "notes": record.get("notes", []),
        "n_found": record.get("n_images", sum(per_class.values())),
        "per_class": per_class,
        "modes": formats.groupby("mode")["n_images"].sum().to_dict() if len(formats) else {},
        "sizes": formats.groupby("size")["n_images"].sum().nlargest(3).to_dict() if len(formats) else {},
        **{kind: found[kind].to_dict("records") for kind in INTEGRITY},
        "page": auc_tables.page(profile, "ingest", name),
    }


def _budget(profile: str, source: str) -> dict[str, Any]:
    """Return the data and budget of a source's pretraining; what is unknown, as for published weights, is NaN.

    n_seen are the images that training saw, repetitions included; validation_loss is that of the epoch that was kept, and
    constant_loss that of a network that learned nothing.
    """
    record, card = results.record(profile, f"pretrain/{source}"), datasets.get(source)
    settings = record["parameters"]
    facts = {"source": source, "title": profiles.titles(profile)[source], "weights": settings["weights"]}
    if settings["weights"]:
        facts |= {"n_images": card.n_images, "n_classes": card.count_classes()}
        return facts | dict.fromkeys(("epochs", "n_seen", "learning_rate", "validation_loss", "constant_loss"), np.nan)
    history = results.table(profile, "pretrain", source, "history")
    ingested = results.record(profile, f"ingest/{source}")
    n_per_class = results.table(profile, "ingest", source, "summary").groupby("class")["n_images"].sum()
    splits = [n_per_class]  # into classes that exclude each other
    if ingested.get("multi_label"):
        n_per_class = n_per_class.drop(NO_FINDING, errors="ignore")
        splits = [np.array([n, ingested["n_images"] - n]) for n in n_per_class]
    curve = history[(history["split"] == "validation") & (history["metric"] == "loss")].set_index("epoch")["value"]
    return facts | {
        "n_images": record["n_images"],
        "n_classes": int((n_per_class > 0).sum()),
        "epochs": int(history["epoch"].max()),
        "n_seen": record["n_images"] * (1 - settings["validation_share"]) * history["epoch"].max(),
        "learning_rate": history["learning_rate"].iloc[0],
        "validation_loss": np.nan if curve.empty else curve.min() if settings["patience"] else curve.iloc[-1],
        "constant_loss": np.mean([learning.constant_loss(n, settings["class_weights"] == "balanced") for n in splits]),
    }


def _overlaps(profile: str) -> list[dict[str, Any]]:
    """Return dataset, other (titles), n_identical and n_alike of every two datasets that share an image."""
    titles, columns = datasets.titles(), ["dataset", "other", "n_identical", "n_alike"]
    counts = results.optional(profile, "overlaps/all/counts.csv", columns)
    shared = counts[(counts["n_identical"] > 0) | (counts["n_alike"] > 0)]
    return shared.assign(dataset=shared["dataset"].map(titles), other=shared["other"].map(titles)).to_dict("records")


def _excluded(profile: str, sources: list[str]) -> list[dict[str, Any]]:
    """Return source (title) and by target (title) n_removed, n_groups, for every source that was trained on its images."""
    titles, rows = profiles.titles(profile), []
    for source in sources:
        removed = results.optional(profile, f"pretrain/{source}/removed.csv", ["target"])
        if len(removed):
            by_target = removed.set_index(removed["target"].map(titles)).to_dict("index")
            rows.append({"source": titles[source], "by_target": by_target})
    return rows


def _stability(profile: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of summary (a verdict per source, target and mode) and seed_spread, with titles."""
    titles, found = profiles.titles(profile), {}
    failed = learning.failures(results.optional(profile, "tables/learning.csv", [*CELL, "verdict"]))
    for name, stem in (("summary", "stability_summary"), ("seed_spread", "seed_spread")):
        path = paths.run_dir(profile, "stability", "all") / f"{stem}.csv"
        table = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame()
        for column, title in (("source", "title"), ("target", "target_title")):
            if column in table:
                table[title] = table[column].map(titles)
        found[name] = table.to_dict("records")
    for row in found["summary"]:  # a network that learns nothing is stable, too
        row["verdict"] = failed.get((row["source"], row["target"], row["mode"]), row["verdict"])
    return found
