"""PatchCamelyon as downloaded: ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5[.gz]`` and ``*_meta.csv``.

The study's two datasets are parts of its 327,680 patches: `pcam_middle` 100,000 and `pcam_small` 10,000, drawn by class with
a seed. The study drew them from each other's patches; here no patch is in both.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from catscans_lib.datasets.listing import (
    Listing,
    Problem,
    Row,
    array_place,
    image_names,
    in_array,
    make_listing,
    native_dir,
)
from catscans_lib.errors import InputError

CLASSES = ("normal", "tumour")
SPLITS = ("train", "valid", "test")
N_MIDDLE, N_SMALL, N_ALL = 100_000, 10_000, 327_680
SEED = 2  # the study's own
BLOCK = 1024  # rows read at once: 28 MB
PNG = re.compile(r"(\d+)_label=([01])\.png")


def read_middle(data_dir: Path) -> Listing:
    """List the patches of PCam-middle: 100,000, or the same share of what is there."""
    return _subset(_all(data_dir), 0, N_MIDDLE)


def read_small(data_dir: Path) -> Listing:
    """List the patches of PCam-small: 10,000, or the same share of what is there; none of them is in PCam-middle."""
    return _subset(_all(data_dir), N_MIDDLE, N_MIDDLE + N_SMALL)


def _all(data_dir: Path) -> Listing:
    folder = native_dir(data_dir, "pcam", "pcamv1", "PCam")
    below = folder.relative_to(data_dir).as_posix()
    if (folder / "png").is_dir():
        return _from_png(folder / "png", f"{below}/png")
    problems: list[Problem] = []
    rows: list[Row] = []
    for split in SPLITS:
        stem = f"camelyonpatch_level_2_split_{split}"
        if _found(folder / f"{stem}_x.h5") is None:
            problems.append(Problem(f"{below}/{stem}_x.h5", f"no such file, so the {split} patches are missing"))
            continue
        rows += _rows(folder, below, split, problems)
    return make_listing(rows, problems, folder, CLASSES, partial(_pixels, data_dir))


def _rows(folder: Path, below: str, split: str, problems: list[Problem]) -> list[Row]:
    stem = f"camelyonpatch_level_2_split_{split}"
    n, labels = _shape(folder / f"{stem}_x.h5")[0], _labels(folder / f"{stem}_y.h5")
    if len(labels) != n:
        raise InputError(
            f"'{stem}_x.h5' holds {n} patches and '{stem}_y.h5' {len(labels)} labels. Download both again."
        )
    slides = _slides(folder / f"{stem}_meta.csv", n)
    if slides is None:
        slides = [f"{split}_{index:06d}" for index in range(n)]
        problems.append(
            Problem(f"{below}/{stem}_meta.csv", "no such file, so patches of one slide may lie in two folds")
        )
    place = f"{below}/{stem}_x.h5"
    return [
        Row(f"{split}_{index:06d}", in_array(place, index), CLASSES[label], slide, split)
        for index, (label, slide) in enumerate(zip(labels, slides, strict=True))
    ]


def _shape(path: Path) -> tuple[int, ...]:
    shape = _read(path, "x", lambda dataset: dataset.shape if dataset.dtype == np.uint8 else ())
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"'{path}' holds no patches uint8 (n, height, width, 3). Download it again.")
    return shape


def _labels(path: Path) -> np.ndarray:
    labels = _read(path, "y", lambda dataset: dataset[:].ravel())
    if not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"'{path}' has labels {sorted(set(labels.tolist()))[:5]}; known are 0 and 1. Download it again."
        )
    return labels.astype(int)


def _found(path: Path) -> Path | None:
    """The file, or else its packed form as it was downloaded, or else None."""
    packed = path.with_name(path.name + ".gz")
    return next((here for here in (path, packed) if here.is_file()), None)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, or read it out of its packed form from front to back; nothing is unpacked to the disk."""
    here = _found(path)
    if here is None:
        raise InputError(f"No '{path}', packed (.gz) or unpacked. Download it.")
    try:
        with ExitStack() as stack:
            source = stack.enter_context(gzip.open(here)) if here.suffix == ".gz" else here
            yield stack.enter_context(h5py.File(source, "r"))
    except (OSError, EOFError, KeyError, zlib.error) as error:
        raise InputError(f"Cannot read '{here}': {error}. Download it again.") from error


def _read(path: Path, name: str, what: Callable[[h5py.Dataset], Any]) -> Any:
    with _opened(path) as file:
        return what(file[name])


def _slides(path: Path, n: int) -> list[str] | None:
    """Slide of every patch (column wsi), or None where the file is missing."""
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "wsi" not in table or len(table) != n:
        raise InputError(
            f"'{path}' has {len(table)} rows and columns {', '.join(table)}; {n} rows with wsi are needed."
        )
    return list(table["wsi"])


def _pixels(data_dir: Path, paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Read patches in the order of the file, a block at a time: single rows through HDF5 are slow."""
    for file, places in groupby(map(array_place, paths), key=lambda place: place[0]):
        with _opened(data_dir / file) as opened:
            for start, block in groupby((index for _, index in places), key=lambda index: index // BLOCK * BLOCK):
                patches = opened["x"][start : start + BLOCK]
                yield from (patches[index - start] for index in block)


def _from_png(folder: Path, below: str) -> Listing:
    """The form the study worked with: one PNG a patch, ``{index}_label={y}.png``; it knows no slides."""
    problems = [Problem(below, "PNGs do not tell the slide, so patches of one slide may lie in two folds")]
    rows = []
    for name in image_names(folder, below, problems):
        if match := PNG.fullmatch(name):
            image_id = f"{int(match[1]):06d}"
            rows.append(Row(image_id, f"{below}/{name}", CLASSES[int(match[2])], image_id, ""))
        else:
            problems.append(Problem(f"{below}/{name}", "not named {index}_label={0 or 1}.png; left out"))
    return make_listing(rows, problems, folder, CLASSES)


def _subset(listing: Listing, start: int, stop: int) -> Listing:
    """Cut the part from `start` to `stop` (of the complete set's 327,680) out of each class, in a seeded order."""
    rng = np.random.default_rng(SEED)
    chosen = []
    for label in CLASSES:
        rows = rng.permutation(np.flatnonzero(listing.images["label"] == label))
        chosen.append(rows[len(rows) * start // N_ALL : len(rows) * stop // N_ALL])
    rows = np.sort(np.concatenate(chosen))
    if len(rows) == 0:
        raise InputError(
            f"{len(listing.images)} patches are too few for this part of PCam; it takes {stop - start} of {N_ALL}."
        )
    return Listing(listing.images.iloc[rows].reset_index(drop=True), listing.classes, listing.problems, listing.pixels)
