"""Tables about the axes of a grid, for the chapters: numbers of training images, pretraining seeds, networks,
other collections."""

from typing import Any

import pandas as pd

from catscans_lib import datasets, results
from catscans_lib.evaluation import backbones, drops, sizes, variance
from catscans_lib.evidence import own
from catscans_lib.grid import profiles
from catscans_lib.networks import registry
from catscans_lib.transferability import associations, similarity_tables

TABLES = {
    "size_curves": sizes.CURVES, "size_crossings": sizes.CROSSINGS, "size_measures": associations.SIZES,
    "variance_components": variance.COMPONENTS, "source_differences": variance.DIFFERENCES,
    "backbones": backbones.RANKS, "backbone_agreement": backbones.AGREEMENT,
    "crossing_coverage": ["design", "covered_pct", "se", "closed"],  # benchmarks/crossings.py
    **{f"external_{name}": [*columns, "test"] for name, columns in drops.TABLES.items()},
}  # fmt: skip
NAMES = (
    "source", "target", "other", "source_a", "source_b", "train", "test", "dataset", "best_inside", "best_outside", "best_source",
)  # fmt: skip
NETWORKS = ("backbone", "backbone_a", "backbone_b")


def numbers(profile: str) -> dict[str, Any]:
    """Return `beside` (rows of `own.beside_published`) and `axes`: rows by table, "here" of this profile, "own" of real images.

    Each name has a column with its title (source_title); components are in words.
    """
    here = {name: results.optional(profile, f"tables/{name}.csv", columns) for name, columns in TABLES.items()}
    real = {name: own.of_axis(name, columns) for name, columns in TABLES.items()}
    ours = results.optional(profile, "tables/auc_intervals.csv", ["source", "target", "mode", "auc", "low", "high"])
    beside = _rows({"beside": own.beside_published(ours)}, profiles.titles(profile))
    return beside | {"axes": {"here": _rows(here, profiles.titles(profile)), "own": _rows(real, datasets.titles())}}


def _rows(tables: dict[str, pd.DataFrame], titles: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    named = {column: titles | {"none": "random weights"} for column in NAMES}
    named |= {"measure": similarity_tables.titles(), "component": variance.WORDS}
    named |= {column: {name: network.title for name, network in registry.NETWORKS.items()} for column in NETWORKS}
    for table in tables.values():
        for column in set(named) & set(table):
            table[f"{column}_title"] = [named[column].get(name, name) for name in table[column]]
    return {name: table.to_dict("records") for name, table in tables.items()}
