"""PatchCamelyon as the study worked with it, one PNG a patch: ``pcam/png/{index}_label={y}.png``; made from HDF5, and back.

The index runs through train, valid and test. The names tell neither slide nor split, so the conversion writes both to
``pcam/png.csv`` (index, split, row, wsi); with it the PNGs are read as if they were the HDF5 files.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from catscans_lib.datasets.pcam import files
from catscans_lib.datasets.pcam.files import CLASSES, SPLITS
from catscans_lib.errors import InputError
from catscans_lib.images.listing import (
    Listing,
    Problem,
    Row,
    image_names,
    in_array,
    make_listing,
)

NAME = re.compile(r"(\d+)_label=([01])\.png")
TABLE = "png.csv"
COLUMNS = ("index", "split", "row", "wsi")
PUBLISHED = (("train", 262_144), ("valid", 32_768), ("test", 32_768))  # patches


def read(folder: Path, data_dir: Path) -> Listing:
    """List the patches in ``folder/png``; with the table beside it also their slides and splits."""
    below = (folder / "png").relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    known = _table(folder)
    if known is None:
        problems.append(Problem(below, "PNGs do not tell the slide, so patches of one slide may lie in two folds"))
    rows = []
    for name in image_names(folder / "png", below, problems):
        match = NAME.fullmatch(name)
        index = int(match[1]) if match else -1
        if match is None:
            problems.append(Problem(f"{below}/{name}", "not named {index}_label={0 or 1}.png; left out"))
        elif known is None:
            rows.append(Row(f"{index:06d}", f"{below}/{name}", CLASSES[int(match[2])], f"{index:06d}", ""))
        elif index not in known:
            problems.append(Problem(f"{below}/{name}", f"has no row in {TABLE}; left out"))
        else:
            split, row, slide = known[index]
            image_id = f"{split}_{row:06d}"
            rows.append(Row(image_id, f"{below}/{name}", CLASSES[int(match[2])], slide or image_id, split))
    return make_listing(rows, problems, folder / "png", root=data_dir, classes=CLASSES)


def to_png(folder: Path) -> int:
    """Write the patches of ``folder/*.h5`` to ``folder/png``; return how many. Nothing is there until all are.

    Raises
    ------
    InputError
        If there is a folder png already, or the HDF5 files are missing or broken.
    """
    if (folder / "png").exists():
        raise InputError(f"'{folder / 'png'}' is there already. Delete it first.")
    splits = [split for split in SPLITS if files.found(folder / f"{files.stem(split)}_x.h5")]
    if not splits:
        raise InputError(f"No '{files.stem('train')}_x.h5' in '{folder}'. Download PCam first.")
    part = folder / ".png.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    tables = []
    start = 0
    for split in splits:
        table, codes = _rows(folder, split, start)
        images = files.pixels(folder, [in_array(f"{files.stem(split)}_x.h5", row) for row in table["row"]])
        for index, code, image in zip(table["index"], codes, images, strict=True):
            Image.fromarray(image).save(part / f"{index}_label={code}.png")
        tables.append(table)
        start += len(table)
    pd.concat(tables).to_csv(folder / TABLE, index=False)
    part.rename(folder / "png")
    return start


def to_h5(folder: Path) -> int:
    """Write the PNGs in ``folder/png`` to ``folder/*_{x,y}.h5`` and ``*_meta.csv``; return how many patches.

    Without the table (PNGs that the study's own code made) the split follows from the index where all 327,680 are there;
    a part of them becomes training patches.

    Raises
    ------
    InputError
        If there are HDF5 files already, or PNGs are missing, of different sizes or not as the table says.
    """
    if there := [path for split in SPLITS if (path := files.found(folder / f"{files.stem(split)}_x.h5"))]:
        raise InputError(f"'{there[0]}' is there already. Delete it first.")
    if not (folder / "png").is_dir():
        raise InputError(f"No folder 'png' in '{folder}'.")
    names = _names(folder / "png")
    known = _table(folder)
    table = _assumed(sorted(names)) if known is None else _frame(known)
    if differing := set(table["index"]) ^ set(names):
        raise InputError(f"'{folder / TABLE}' and the PNGs in 'png' differ, such as in index {min(differing)}.")
    for split, rows in table.groupby("split"):
        rows = rows.sort_values("row")
        stem = folder / files.stem(split)
        _write(
            Path(f"{stem}_x.h5"), "x", _decoded(folder / "png", [names[index] for index in rows["index"]]), len(rows)
        )
        codes = [np.full((1, 1, 1), int(NAME.fullmatch(names[index])[2]), np.uint8) for index in rows["index"]]
        _write(Path(f"{stem}_y.h5"), "y", iter(codes), len(rows))
        if known is not None and rows["wsi"].ne("").all():
            rows[["wsi"]].to_csv(f"{stem}_meta.csv", index=False)
    return len(table)


def _rows(folder: Path, split: str, start: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The table's rows and the labels of one split, whose first patch has the index `start`."""
    stem = files.stem(split)
    n = files.n_patches(folder / f"{stem}_x.h5")
    slides = files.slides(folder / f"{stem}_meta.csv", n) or [""] * n
    table = pd.DataFrame({"index": range(start, start + n), "split": split, "row": range(n), "wsi": slides})
    return table, files.labels(folder / f"{stem}_y.h5", n)


def _table(folder: Path) -> dict[int, tuple[str, int, str]] | None:
    """Split, row and slide by index; None where there is no table."""
    path = folder / TABLE
    if not path.is_file():
        return None
    table = pd.read_csv(path, keep_default_na=False, dtype={"wsi": str})
    if tuple(table) != COLUMNS or not set(table["split"]) <= set(SPLITS):
        raise InputError(
            f"'{path}' is not the table of a conversion: {', '.join(COLUMNS)}. Delete it, or convert again."
        )
    return dict(zip(table["index"], zip(table["split"], table["row"], table["wsi"], strict=True), strict=True))


def _frame(known: dict[int, tuple[str, int, str]]) -> pd.DataFrame:
    return pd.DataFrame([(index, *rest) for index, rest in known.items()], columns=COLUMNS)


def _assumed(indices: list[int]) -> pd.DataFrame:
    """The table of PNGs that came without one."""
    n_all = sum(n for _, n in PUBLISHED)
    splits = [split for split, n in PUBLISHED for _ in range(n)] if indices == list(range(n_all)) else "train"
    table = pd.DataFrame({"index": indices, "split": splits})
    return table.assign(row=table.groupby("split").cumcount(), wsi="")


def _names(folder: Path) -> dict[int, str]:
    """File name of every patch by its index."""
    names = [path.name for path in folder.iterdir() if NAME.fullmatch(path.name)]
    found = {int(NAME.fullmatch(name)[1]): name for name in names}
    if len(found) < len(names) or not names:
        raise InputError(f"'{folder}' holds {len(names)} patches with {len(found)} different indices.")
    return found


def _decoded(folder: Path, names: list[str]) -> Iterator[np.ndarray]:
    size = None
    for name in names:
        with Image.open(folder / name) as image:
            patch = np.asarray(image.convert("RGB"))
        size = size or patch.shape
        if patch.shape != size:
            raise InputError(f"'{folder / name}' is {patch.shape}, the patches before it are {size}.")
        yield patch


def _write(path: Path, name: str, rows: Iterator[np.ndarray], n: int) -> None:
    """Write a dataset row by row, a block at a time; the file appears only when it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            first = next(rows)
            dataset = file.create_dataset(name, (n, *first.shape), np.uint8)
            block = [first]
            for number, row in enumerate(rows, start=2):
                block.append(row)
                if len(block) == files.BLOCK:
                    dataset[number - len(block) : number] = np.stack(block)
                    block = []
            if block:
                dataset[n - len(block) :] = np.stack(block)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
