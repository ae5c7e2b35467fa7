"""AUCs of our own runs on real images, which `benchmarks/own_evidence.py` writes to `evidence/`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from catscans_lib import results
from catscans_lib.evaluation import intervals, tables
from catscans_lib.evidence import studies

AXES = {
    "size_curves": "sizes",
    "variance_components": "variance",
    "external_drops": "external",
}  # shorter names of files
CELLS = ["study", *tables.CELL, *intervals.INTERVALS, "n_failed"]


def aucs() -> pd.DataFrame:
    """Return the mean AUC of every source, target and mode of our own studies with its interval; empty without any."""
    files = sorted((studies.folder() / "more").glob(f"{studies.OWN}*_aucs.csv"))
    return pd.concat([pd.DataFrame(columns=CELLS), *map(pd.read_csv, files)], ignore_index=True)


def axis_path(table: str) -> Path:
    """Return the file of a table over an axis of the grid, such as `size_curves`."""
    return studies.folder() / "more" / f"{studies.OWN}{AXES.get(table, table)}.csv"


def of_axis(table: str, columns: Sequence[str] = ("mode",)) -> pd.DataFrame:
    """Return a table over an axis of the grid of our own runs; empty with `columns` without any."""
    return results.read_table(path) if (path := axis_path(table)).is_file() else pd.DataFrame(columns=list(columns))
