"""Every number that the book prints, read from the result tables of one profile; nothing is typed by hand."""

from typing import Any

import pandas as pd
import yaml

from catscans_lib import datasets, paths, results
from catscans_lib.book import answer, auc_tables, measure_tables
from catscans_lib.datasets import demo
from catscans_lib.evidence import analyses
from catscans_lib.grid.steps import STEPS
from catscans_lib.sweep import costs


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
        found), ``overlaps`` (rows of two datasets that share images; None without the run),
        ``stability`` (rows of its tables; None without the run), ``runs`` (step to records),
        ``seconds`` (sum over runs), ``factors`` (truth of the demo world), and what `auc_tables.numbers`
        and `measure_tables.numbers` return; ``published`` (see `published.numbers`); ``answer`` (three sentences) and
        ``extremes`` (mode to a figure in words).
    """
    runs = {step: records for step in STEPS if (records := _records(profile, step))}
    evaluated = auc_tables.numbers(profile)
    named = {run["name"] for step in ("ingest", "pretrain") for run in runs.get(step, [])} | evaluated["sources"]
    found = {
        "profile": profile,
        "demo": profile == "demo",
        "settings": _flat(yaml.safe_load(paths.params_path(profile).read_text(encoding="utf-8"))),
        "datasets": [_dataset(profile, name) for name in datasets.known() if name in named],
        "overlaps": _overlaps(profile) if "overlaps" in runs else None,
        "stability": _stability(profile) if "stability" in runs else None,
        "runs": runs,
        "seconds": sum(run["seconds"] for records in runs.values() for run in records),
        "factors": demo.shared_factors() if profile == "demo" else None,
        **evaluated,
        **measure_tables.numbers(profile, evaluated["modes"]),
        "published": analyses.chapter_numbers(profile),
    }
    return found | {"answer": answer.sentences(found), "extremes": answer.extremes(found)}


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
    records = {name: results.record(profile, f"{step}/{name}") for name in results.finished(profile, step)}
    return [
        record | {"name": name, "seconds": costs.seconds_of(record), "page": auc_tables.page(profile, step, name)}
        for name, record in records.items()
    ]


def _dataset(profile: str, name: str) -> dict[str, Any]:
    """Return the card of a dataset beside what ingest found of it; a source that came as weights is not ingested."""
    kinds = ("summary", "problems", "duplicates", "near_duplicates", "split_groups", "formats", "decoding")
    found = {kind: results.optional(profile, f"ingest/{name}/{kind}.csv") for kind in kinds}
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
        "sizes": formats.groupby("size")["n_images"].sum().nlargest(3).to_dict() if len(formats) else {},
        **{
            kind: found[kind].to_dict("records")
            for kind in ("problems", "duplicates", "near_duplicates", "split_groups")
        },
        "page": auc_tables.page(profile, "ingest", name),
    }


def _overlaps(profile: str) -> list[dict[str, Any]]:
    """Return dataset, other (titles), n_identical and n_alike of every two datasets that share an image."""
    titles = datasets.titles()
    counts = results.optional(
        profile, "overlaps/all/counts.csv", columns=["dataset", "other", "n_identical", "n_alike"]
    )
    shared = counts[(counts["n_identical"] > 0) | (counts["n_alike"] > 0)]
    return shared.assign(dataset=shared["dataset"].map(titles), other=shared["other"].map(titles)).to_dict("records")


def _stability(profile: str) -> dict[str, list[dict[str, Any]]]:
    """Return rows of summary (a verdict per source, target and mode), seed_spread and rank_agreement, with titles to print."""
    titles, folder = datasets.titles(), paths.run_dir(profile, "stability", "all")
    places = {"summary": "stability_summary", "seed_spread": "seed_spread", "rank_agreement": "rank_agreement"}
    found = {}
    for name, stem in places.items():
        path = folder / f"{stem}.csv"
        table = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame()
        for column, title in (("source", "title"), ("target", "target_title")):
            if column in table:
                table[title] = table[column].map(titles)
        found[name] = table.to_dict("records")
    return found
