"""AUCs of our own runs on real images, which `benchmarks/own_evidence.py` writes to `evidence/`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from catscans_lib import results
from catscans_lib.evaluation import intervals, tables
from catscans_lib.evidence import studies

FILES = {"size_curves": "sizes", "variance_components": "variance", "external_drops": "external"}  # shorter names
CELLS = ["study", *tables.CELL, *intervals.INTERVALS, "n_failed"]


def aucs() -> pd.DataFrame:
    """Return the mean AUC of every source, target and mode of our own studies with its interval; empty without any."""
    files = sorted((studies.folder() / "more").glob(f"{studies.OWN}*_aucs.csv"))
    return pd.concat([pd.DataFrame(columns=CELLS), *map(pd.read_csv, files)], ignore_index=True)


def axis_path(table: str) -> Path:
    """Return the file of a table over an axis of the grid, such as `size_curves`."""
    return studies.folder() / "more" / f"{studies.OWN}{FILES.get(table, table)}.csv"


def of_axis(table: str, columns: Sequence[str] = ("mode",)) -> pd.DataFrame:
    """Return a table over an axis of the grid of our own runs; empty with `columns` without any."""
    return results.read_table(path) if (path := axis_path(table)).is_file() else pd.DataFrame(columns=list(columns))


def beside_published(ours: pd.DataFrame, study: str = "medmnist") -> pd.DataFrame:
    """Return our AUCs of a published study's targets beside its own.

    `ours` is `auc_intervals`. Columns of it, published (the study's AUC with the same source, ImageNet's weights whatever their
    name; NaN without one), best and best_source (its highest AUC of the target). Fine-tuning only.
    """
    path = studies.folder() / f"{study}.csv"
    published = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["source", "target", "value"])
    best = published.loc[published.groupby("target")["value"].idxmax()].set_index("target")
    of = published.set_index(["target", "source"])["value"]
    here = ours[ours["target"].isin(best.index) & (ours["mode"] == "fine_tune")]
    keys = pd.MultiIndex.from_arrays([here["target"], here["source"].replace("imagenet1k", "imagenet")])
    found = of.reindex(keys).to_numpy(float)
    best_of = best.loc[here["target"]]
    return here.assign(published=found, best=best_of["value"].to_numpy(float), best_source=best_of["source"].to_numpy())
