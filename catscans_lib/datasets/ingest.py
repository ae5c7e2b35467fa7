"""From a dataset's files, or the demo generator, to the image store and the fold table."""

import os
from pathlib import Path

import pandas as pd

from catscans_lib import datasets, paths
from catscans_lib.datasets import Ingest
from catscans_lib.errors import InputError
from catscans_lib.images import folds, store
from catscans_lib.images.listing import Problem


def store_dataset(settings: Ingest, path: Path) -> dict[str, pd.DataFrame]:
    """Write the image store of a dataset; InputError if its folder is missing or no image can be read.

    Returns problems (the files left out: path, problem) and details (image_id, and columns that describe images, such as sex).
    """
    if settings.data == "demo":
        from catscans_lib.datasets import demo

        images, table, classes = demo.make(settings.dataset, n_images=settings.n_images, size_px=settings.size_px)
        store.write_arrays(path, images, table, classes, dataset=settings.dataset, size_px=settings.size_px)
        return {"problems": pd.DataFrame(columns=Problem._fields), "details": pd.DataFrame(columns=["image_id"])}
    is_below = datasets.get(settings.dataset).is_below_data_dir
    folder = paths.given_dir("CATSCANS_DATA") if is_below else Path()
    listing = datasets.read(settings.dataset, folder, settings.size_px)
    n_processes = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    named = {"dataset": settings.dataset, "size_px": settings.size_px, "resize": settings.resize}
    undecodable = store.write(path, listing, **named, n_processes=n_processes)
    details = listing.images[["image_id", "path"]]
    details = details if listing.details is None else details.merge(listing.details, on="path")
    problems = pd.concat([listing.problems, undecodable], ignore_index=True)
    return {"problems": problems, "details": details.drop(columns="path")}


def save_folds(table: pd.DataFrame, settings: Ingest, path: Path, *, multi_label: bool = False) -> pd.DataFrame:
    """Divide a target into folds, save the table and return it; InputError if it may not be a target without groups."""
    card = datasets.get(settings.dataset)
    if settings.data == "native" and card.groups_from and (table["group"] == table["image_id"]).any():
        raise InputError(
            f"'{settings.dataset}' cannot be a target, as the {card.group} of its images is not known: images of one "
            f"{card.group} would be in several folds. {card.groups_from} Without it, use the dataset as a source only."
        )
    chosen = {"n_folds": settings.n_folds, "seed": settings.fold_seed, "max_images": settings.max_images}
    is_published = settings.split == "published"
    if is_published and settings.max_images:
        raise InputError("max_images draws images for folds of our own. Leave it out, or set folds.split: drawn.")
    made = folds.published(table) if is_published else folds.make(table, **chosen, multi_label=multi_label)
    with paths.atomic_write(path) as part:
        made.to_csv(part, index=False)
    return made
