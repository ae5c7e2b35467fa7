"""AUCs of our own runs on real images, which `benchmarks/own_evidence.py` writes to `evidence/`."""

import pandas as pd

from catscans_lib.evaluation import intervals, tables
from catscans_lib.evidence import studies

CELLS = ["study", *tables.CELL, *intervals.INTERVALS, "n_failed"]


def aucs() -> pd.DataFrame:
    """Return the mean AUC of every source, target and mode of our own studies with its interval; empty without any."""
    files = sorted((studies.folder() / "more").glob(f"{studies.OWN}*_aucs.csv"))
    return pd.concat([pd.DataFrame(columns=CELLS), *map(pd.read_csv, files)], ignore_index=True)
