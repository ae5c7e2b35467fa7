"""Two datasets of the preceding thesis that need more than their folders: retinas graded in a table, blood cells."""

from dataclasses import replace
from pathlib import Path

from catscans_lib.datasets import label_tables, layouts
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem
from catscans_lib.images.tables import read_csv

ORIGINALS = "original_pictures.csv"


def read_diabetic_retinopathy(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the retinas in ``trainLabels.csv`` (image, level); a patient's eyes, ``10_left`` and ``10_right``, form a group."""
    folder = layouts.native_dir(data_dir, *card.places)
    path = folder / "trainLabels.csv"
    table = read_csv(path, ("image", "level"))
    if unknown := sorted(set(table["level"]) - set("01234")):
        raise InputError(f"'{path}' has the level '{unknown[0]}'; known are 0 to 4. Download it again.")
    below = (folder / "train").relative_to(data_dir).as_posix()
    label = table["level"].astype(int).map(dict(enumerate(card.classes)))
    group = table["image"].str.rsplit("_", n=1).str[0]
    rows = table[[]].assign(path=f"{below}/" + table["image"] + ".jpeg", label=label, group=group)
    return label_tables.from_table(rows, data_dir, path, card.classes)


def read_bloodcell(card: DatasetInfo, data_dir: Path) -> Listing:
    """List ``dataset2-master/images/{TRAIN,TEST}/<class>/*.jpeg``; the folder TEST_SIMPLE is left out.

    The group is the original photograph by ``dataset2-master/original_pictures.csv`` (path, group), images without a row in it
    are left out; without the table, every image is its own group.
    """
    import pandas as pd

    folder = layouts.native_dir(data_dir, *card.places)
    listing = layouts.from_folder(folder, data_dir, classes=card.classes)
    path, below = folder.parent / ORIGINALS, folder.parent.relative_to(data_dir).as_posix()
    if not path.is_file():
        said = Problem(f"{below}/{ORIGINALS}", "no such file, so the original photographs are unknown; only a source")
        return replace(listing, problems=pd.concat([listing.problems, pd.DataFrame([said])], ignore_index=True))
    table = read_csv(path, ("path", "group"), "Its columns are path and group.")
    groups = table.set_index(f"{below}/" + table["path"])["group"]
    rows = listing.images.assign(group=listing.images["path"].map(groups))
    is_known = rows["group"].notna()
    if not is_known.any():
        form = rows["path"][0].removeprefix(f"{below}/")
        raise InputError(f"'{path}' names none of the {len(rows)} images found. Its paths look like '{form}'.")
    left_out = rows.loc[~is_known, ["path"]].assign(problem=f"no original photograph in {ORIGINALS}; left out")
    problems = pd.concat([listing.problems, left_out], ignore_index=True)
    return replace(listing, images=rows[is_known].reset_index(drop=True), problems=problems)
