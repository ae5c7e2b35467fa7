"""A Markdown card for every saved network, from `book/_model_card.md`: what it learnt from, how well it does, its limits.

Sections follow Mitchell et al. (2019), Model cards for model reporting.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.grid import profiles
from catscans_lib.networks import registry

SETTINGS = (
    "epochs", "batch_size", "optimiser", "learning_rate", "schedule", "dropout", "class_weights", "augmentation",
    "validation_share", "precision", "seed", "seeds",
)  # fmt: skip


def cards(profile: str) -> Iterator[tuple[str, str]]:
    """Yield `step/name` of every run with a saved network, and the network's card in Markdown.

    AUCs and intervals come from the profile's tables; without these tables the card says so.
    """
    from catscans_lib.book import templates

    template = templates.template("_model_card.md", {})
    for step in ("pretrain", "transfer"):
        for name in results.finished(profile, step):
            if (paths.run_dir(profile, step, name) / "model.keras").is_file():
                yield f"{step}/{name}", template.render(_facts(profile, step, name))


def _facts(profile: str, step: str, name: str) -> dict[str, Any]:
    record = results.record(profile, f"{step}/{name}")
    parameters = record["parameters"]
    source, target = parameters["source"], parameters.get("target")
    known = parameters | {key: record[key] for key in ("precision",) if key in record}  # instead of "auto"
    return {
        "profile": profile,
        "name": name,
        "record": record,
        "source": source,
        "target": target,
        "network": registry.find(parameters["backbone"]),
        "used": [datasets.get(key) for key in (target, source) if key and key != "none"],
        "settings": {key: known[key] for key in SETTINGS if key in known},
        "is_demo": profiles.load(profile).data == "demo",
        "published": datasets.PUBLISHED,
        "titles": datasets.titles(),
        "rows": _intervals(profile, source, target),
        "saved": _saved_fold(profile, source, target, parameters["seeds"][-1]) if target else None,
    }


def _intervals(profile: str, source: str, target: str | None) -> list[dict[str, Any]]:
    found = results.optional(profile, "tables/auc_intervals.csv", columns=["source", "target", "mode", "method"])
    is_asked = (found["source"] == source) & found["method"].str.startswith("bootstrap")
    return found[is_asked & ((found["target"] == target) if target else True)].to_dict("records")


def _saved_fold(profile: str, source: str, target: str, seed: int) -> dict[str, Any] | None:
    """AUC of the very network that was saved: that of the last fold and seed, on the images held out from it."""
    aucs = results.optional(profile, "tables/aucs.csv", columns=["source", "target", "mode", "seed"])
    is_asked = (aucs["source"] == source) & (aucs["target"] == target) & (aucs["mode"] == "fine_tune")
    rows: pd.DataFrame = aucs[is_asked & (aucs["seed"] == seed)]
    return None if rows.empty else rows.loc[rows["fold"].idxmax()].to_dict()
