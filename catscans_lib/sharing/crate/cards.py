"""The cards in a crate: the facts of a dataset as JSON, and a Markdown card of a network.

Markdown: sections of Mitchell et al. (2019), Model cards for model reporting.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.evaluation import learning
from catscans_lib.evaluation.tables import CELL
from catscans_lib.grid import profiles
from catscans_lib.networks import registry

COLUMNS = ["image_id", "label", "group"]
NO_FACTS = ("read", "by_hand", "is_below_data_dir")  # how a dataset is read, not what it is
SETTINGS = (
    "epochs", "batch_size", "optimiser", "learning_rate", "schedule", "dropout", "class_weights", "augmentation",
    "validation_share", "precision", "seed", "seeds",
)  # fmt: skip


def of_dataset(info: datasets.DatasetInfo, *, made_up: bool = False) -> dict[str, Any]:
    """Return the facts of a dataset's card, as JSON takes them; `citation` is the entry in BibTeX.

    `made_up` says that the demo world drew the images under the name of a real dataset.
    """
    if made_up:
        text = (
            f"Small images that this project's demo world draws under the name of {info.title}; their shared structure is "
            "known. They show no patients and nothing of the real dataset."
        )
        return {"name": info.name, "title": f"{info.title}, made up", "description": text, "licence": "MIT"}
    known = {one.name: getattr(info, one.name) for one in fields(info) if one.name not in NO_FACTS}
    known |= {"citation": _citation(info.citation), "downloads": [asdict(one) for one in info.downloads]}
    return {name: value for name, value in known.items() if value}


def images_csv(table: pd.DataFrame) -> bytes:
    """Return the table of the images that were used: columns image_id, label, group."""
    return table[COLUMNS].to_csv(index=False, lineterminator="\n").encode()


def _citation(key: str) -> str:
    """BibTeX entry in `book/references.bib`; "" if it is missing."""
    from pybtex.database import parse_file

    path = paths.root() / "book" / "references.bib"
    entries = parse_file(str(path), "bibtex").entries if path.is_file() else {}
    return entries[key].to_string("bibtex").strip() if key in entries else ""


def of_networks(profile: str) -> Iterator[tuple[str, str]]:
    """Yield `step/name` of every run with a saved network, and the network's card in Markdown.

    AUCs and intervals come from the profile's tables; without these tables the card says so.
    """
    from catscans_lib.book import templates

    for step in ("pretrain", "transfer"):
        for name in results.finished(profile, step):
            if (paths.run_dir(profile, step, name) / "model.keras").is_file():
                yield f"{step}/{name}", templates.rendered("_model_card.md", **_facts(profile, step, name))


def _facts(profile: str, step: str, name: str) -> dict[str, Any]:
    record = results.record(profile, f"{step}/{name}")
    parameters = record["parameters"]
    source, target = parameters["source"], parameters.get("target")
    known = parameters | ({"precision": record["precision"]} if "precision" in record else {})  # instead of "auto"
    intervals = results.optional(profile, "tables/auc_intervals.csv", columns=["source", "target", "mode"])
    is_asked = intervals["source"] == source
    is_asked &= (intervals["target"] == target) if target else True
    return {
        "profile": profile,
        "name": name,
        "record": record,
        "source": source,
        "target": target,
        "network": registry.find(parameters["backbone"]),
        "used": [datasets.get(key) for key in (target, source) if key and key != "none"],
        "settings": {key: known[key] for key in SETTINGS if key in known},
        "is_demo": profiles.is_demo(profile),
        "published": datasets.PUBLISHED,
        "titles": datasets.titles(),
        "rows": intervals[is_asked].to_dict("records"),
        "failed": learning.failures(results.optional(profile, "tables/learning.csv", [*CELL, "verdict"])),
        "saved": _saved_fold(profile, source, target, parameters["seeds"][-1]) if target else None,
    }


def _saved_fold(profile: str, source: str, target: str, seed: int) -> dict[str, Any] | None:
    """AUC of the saved network, which is that of the last fold and seed, on the images held out from it."""
    aucs = results.optional(profile, "tables/aucs.csv", columns=["source", "target", "mode", "seed"])
    rows = aucs.query("source == @source and target == @target and mode == 'fine_tune' and seed == @seed")
    return None if rows.empty else rows.loc[rows["fold"].idxmax()].to_dict()
