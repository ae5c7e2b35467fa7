"""PatchCamelyon's HDF5 files, packed or unpacked: patches, labels and slides of one split, read in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images.listing import array_place

if TYPE_CHECKING:
    import h5py

CLASSES = ("normal", "tumour")
SPLITS = ("train", "valid", "test")
BLOCK = 1024  # rows read at once: 28 MB


def stem(split: str) -> str:
    """Return how the names of a split's files begin."""
    return f"camelyonpatch_level_2_split_{split}"


def found(path: Path) -> Path | None:
    """Return the file, or else its packed form as it was downloaded, or else None."""
    packed = path.with_name(path.name + ".gz")
    return next((here for here in (path, packed) if here.is_file()), None)


def n_patches(path: Path) -> int:
    """Return how many patches a file ``*_x.h5`` holds; InputError when it holds something else."""
    shape = _read(path, "x", lambda dataset: dataset.shape if dataset.dtype == np.uint8 else ())
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"'{path}' holds no patches uint8 (n, height, width, 3). Download it again.")
    return shape[0]


def labels(path: Path, n: int) -> np.ndarray:
    """Return the labels of a file ``*_y.h5``, shape (n,): 1 where a tumour pixel is in the centre of 32 x 32, else 0."""
    codes = _read(path, "y", lambda dataset: dataset[:].ravel())
    if not np.isin(codes, (0, 1)).all():
        raise InputError(
            f"'{path}' has labels {sorted(set(codes.tolist()))[:5]}; known are 0 and 1. Download it again."
        )
    if len(codes) != n:
        images = path.name.replace("_y.h5", "_x.h5")
        raise InputError(f"'{images}' holds {n} patches and '{path.name}' {len(codes)} labels. Download both again.")
    return codes.astype(int)


def slides(path: Path, n: int) -> list[str] | None:
    """Return the slide of every patch (column wsi of ``*_meta.csv``), or None where the file is missing."""
    if not path.is_file():
        return None
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "wsi" not in table or len(table) != n:
        raise InputError(
            f"'{path}' has {len(table)} rows and columns {', '.join(table)}; {n} rows with wsi are needed."
        )
    return list(table["wsi"])


def pixels(data_dir: Path, paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Read patches in the order of the file, a block at a time: single rows through HDF5 are slow."""
    for file, places in groupby(map(array_place, paths), key=lambda place: place[0]):
        with _opened(data_dir / file) as opened:
            for start, block in groupby((index for _, index in places), key=lambda index: index // BLOCK * BLOCK):
                patches = opened["x"][start : start + BLOCK]
                yield from (patches[index - start] for index in block)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, or read it out of its packed form from front to back; nothing is unpacked to the disk."""
    import h5py

    here = found(path)
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
