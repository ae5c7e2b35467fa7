"""Skin lesions of the ISIC archive: the challenges of 2018 (task 3, HAM10000) and 2017 (part 3), as downloaded.

``ISIC2018_Task3_Training_Input/*.jpg`` with ``ISIC2018_Task3_Training_GroundTruth.csv`` (one-hot) and the lesions in
``ISIC2018_Task3_Training_LesionGroupings.csv`` or HAM10000's own ``HAM10000_metadata.csv``; ``ISIC-2017_Training_Data/*.jpg``
with ``ISIC-2017_Training_Part3_GroundTruth.csv``.
Age, sex and site come from ``HAM10000_metadata.csv`` and ``ISIC-2017_Training_Data_metadata.csv``, where they are there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catscans_lib.datasets import label_tables
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.datasets.layouts import native_dir
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, stem
from catscans_lib.images.tables import numbers, one_hot, read_csv

if TYPE_CHECKING:
    import pandas as pd

HAM10000 = "HAM10000_metadata.csv"


def read_2018(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the images with exactly one class and a lesion; other images and rows are reported."""
    folder = native_dir(data_dir, *card.places)
    truth = _find(folder.parent, "ISIC2018_Task3_Training_GroundTruth.csv")
    table = read_csv(truth, ("image", *card.classes)).drop_duplicates()
    labels, faults = one_hot(table, card.classes)
    found = _find(folder.parent, "ISIC2018_Task3_Training_LesionGroupings.csv", HAM10000)
    image = "image_id" if found.name == HAM10000 else "image"
    lesions = read_csv(found, (image, "lesion_id")).set_index(image)["lesion_id"].to_dict()
    rows = table[["image"]].assign(label=labels, fault=faults, group=[lesions.get(one, "") for one in table["image"]])
    unknown = rows["group"] == ""
    rows.loc[unknown, ["label", "fault"]] = "", "no lesion_id, so it cannot be kept in one fold"
    rows = _with_details(card, rows, folder.parent / HAM10000, found.parent / HAM10000)
    return _listing(card, data_dir, folder, truth, rows)


def read_2017(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the images; those of neither of the two classes in the table are nevi."""
    folder = native_dir(data_dir, *card.places)
    path = folder.parent / "ISIC-2017_Training_Part3_GroundTruth.csv"
    table = read_csv(path, ("image_id", *card.classes[:2])).rename(columns={"image_id": "image"})
    neither = numbers(table[card.classes[0]]) + numbers(table[card.classes[1]]) == 0
    table[card.classes[2]] = neither.astype(int).astype(str)
    labels, faults = one_hot(table, card.classes)
    rows = table[["image"]].assign(label=labels, fault=faults)
    rows = _with_details(card, rows, folder.parent / f"{folder.name}_metadata.csv")
    return _listing(card, data_dir, folder, path, rows)


def _with_details(card: DatasetInfo, rows: pd.DataFrame, *paths: Path) -> pd.DataFrame:
    """Add what the card's `details` name and the publisher's table of patients (the first that exists) has, by image."""
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return rows
    table = read_csv(path, ("image_id",)).drop_duplicates("image_id").set_index("image_id")
    named = {name: column for name, column in card.reading["details"].items() if column in table}
    return rows.assign(**{name: rows["image"].map(table[column]).fillna("") for name, column in named.items()})


def _listing(card: DatasetInfo, data_dir: Path, folder: Path, source: Path, rows: pd.DataFrame) -> Listing:
    """List the images of a table with the columns image, label, fault and optionally group; their ids are the archive's."""
    rows = rows.assign(path=folder.relative_to(data_dir).as_posix() + "/" + rows["image"] + ".jpg")
    listing = label_tables.from_table(rows.drop(columns="image"), data_dir, source, card.classes)
    ids = listing.images["path"].map(stem)
    groups = listing.images["group"] if "group" in rows else ids
    return replace(listing, images=listing.images.assign(image_id=ids, group=groups))


def _find(root: Path, *names: str) -> Path:
    """Return the first of these files, here or one folder below."""
    found = [path for name in names for path in (root / name, *sorted(root.glob(f"*/{name}"))) if path.is_file()]
    if not found:
        raise InputError(
            f"No {' or '.join(names)} in '{root}'. Download it from the ISIC 2018 task 3 page and put it there."
        )
    return found[0]
