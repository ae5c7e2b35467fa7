"""From a dataset's files, or the demo generator, to the image store and the fold table."""

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from catscans_lib import datasets, paths
from catscans_lib.datasets.settings import Ingest
from catscans_lib.images import folds, store


def store_dataset(settings: Ingest, path: Path) -> pd.DataFrame:
    """Write the image store of a dataset, and return what was left out (path, problem).

    InputError if the dataset's folder is missing or no image can be read.
    """
    if settings.data == "demo":
        from catscans_lib.datasets import demo

        images, table, classes = demo.make(settings.dataset, n_images=settings.n_images, size_px=settings.size_px)
        store.write_arrays(path, images, table, classes, dataset=settings.dataset, size_px=settings.size_px)
        return pd.DataFrame(columns=["path", "problem"])
    is_below = datasets.get(settings.dataset).is_below_data_dir
    listing = datasets.read(settings.dataset, paths.data_dir() if is_below else Path())
    n_processes = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    undecodable = store.write(
        path, listing, dataset=settings.dataset, size_px=settings.size_px, n_processes=n_processes
    )
    return pd.concat([listing.problems, undecodable], ignore_index=True)


def published_counts(settings: Ingest) -> Mapping[str, int]:
    """Return the published number of images of each class; empty for the demo and where none are published."""
    return datasets.get(settings.dataset).n_per_class if settings.data == "native" else {}


def save_folds(table: pd.DataFrame, settings: Ingest, path: Path) -> pd.DataFrame:
    """Divide a target into folds, save the table and return it."""
    made = folds.make(table, n_folds=settings.n_folds, seed=settings.fold_seed, max_images=settings.max_images)
    folds.write(path, made)
    return made
