"""PatchCamelyon as downloaded: ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5[.gz]`` and ``*_meta.csv``.

The study's two datasets are parts of its 327,680 patches, drawn by class with a seed: 100,000 in `pcam_middle` and 10,000 in
`pcam_small`. The study drew one from the other; here they share no slide.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.datasets.layouts import native_dir
from catscans_lib.errors import InputError
from catscans_lib.images import listing, tables
from catscans_lib.images.listing import Listing, Problem, Row, in_array, make_listing

if TYPE_CHECKING:
    import h5py

CLASSES = ("normal", "tumour")
N_MIDDLE, N_SMALL, N_ALL = 100_000, 10_000, 327_680
SLIDES_OF_SMALL = N_SMALL / (N_MIDDLE + N_SMALL)  # share of the patches on the slides of `pcam_small`
SEED = 2  # the study's
BLOCK = 1024  # patches read at once: 28 MB


def read(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the card's number of patches of 327,680, or the same share of those found, by class in a seeded order.

    The slides (the patches, if unknown) are first divided between the two parts by their share of either class.
    """
    from catscans_lib.images import folds  # loads scikit-learn, which starting a command must not

    found, rng, chosen = read_all(native_dir(data_dir, *card.places), data_dir), np.random.default_rng(SEED), []
    label = found.images["label"]
    of_small = folds.part(label, folds.linked(found.images, ["group"]), SLIDES_OF_SMALL, SEED)
    for name in CLASSES:
        rows = rng.permutation(np.flatnonzero((label == name) & (of_small == card.reading.get("is_small", False))))
        chosen.append(rows[: (label == name).sum() * card.n_images // N_ALL])
    rows = np.sort(np.concatenate(chosen))
    if len(rows) == 0:
        share = f"{card.n_images:,} of {N_ALL:,}"
        raise InputError(f"{len(found.images)} patches are too few for this part of PCam; it takes {share}.")
    return replace(found, images=found.images.iloc[rows].reset_index(drop=True))


def read_all(folder: Path, data_dir: Path) -> Listing:
    """List every patch; the slide is the group."""
    below = folder.relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    rows: list[Row] = []
    for split in ("train", "valid", "test"):
        images = f"camelyonpatch_level_2_split_{split}_x.h5"
        if _found(folder / images) is None:
            problems.append(Problem(f"{below}/{images}", f"no such file, so the {split} patches are missing"))
        else:
            rows += _rows(folder / images, f"{below}/{images}", split)
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES, pixels=partial(_pixels, data_dir))


def _rows(images: Path, place: str, split: str) -> list[Row]:
    """Rows of one split, whose patches are in the file `images`."""
    with _opened(images) as file:
        shape, dtype = file["x"].shape, file["x"].dtype
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise InputError(f"'{images}' does not hold patches uint8 (n, height, width, 3). Download it again.")
    labels = _labels(images.with_name(images.name.replace("_x.h5", "_y.h5")), images.name, shape[0])
    meta = images.with_name(images.name.replace("_x.h5", "_meta.csv"))
    ids = [f"{split}_{index:06d}" for index in range(len(labels))]
    slides = list(tables.read_csv(meta, ["wsi"])["wsi"])
    if len(slides) != len(ids):
        raise InputError(f"'{meta}' has {len(slides)} rows for {len(ids)} patches. Download both again.")
    places = (in_array(place, index) for index in range(len(ids)))
    names = (CLASSES[label] for label in labels)
    return [Row(*row, split) for row in zip(ids, places, names, slides, strict=True)]


def _labels(path: Path, images: str, n: int) -> np.ndarray:
    """Labels, shape (n,): 1 if the centre of 32 x 32 pixels has a tumour pixel, else 0."""
    with _opened(path) as file:
        codes = file["y"][:].ravel()
    if len(codes) != n or not np.isin(codes, (0, 1)).all():
        found = f"{len(codes)} labels from {codes.min()} to {codes.max()}, not 0 and 1"
        raise InputError(f"'{images}' holds {n} patches and '{path.name}' {found}. Download both again.")
    return codes.astype(int)


def _pixels(data_dir: Path, paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Read patches in the order of the file, a block at a time, because single rows are slow."""
    for file, places in groupby(map(listing.array_place, paths), key=lambda place: place[0]):
        with _opened(data_dir / file) as opened:
            for start, block in groupby((index for _, index in places), key=lambda index: index // BLOCK * BLOCK):
                patches = opened["x"][start : start + BLOCK]
                yield from (patches[index - start] for index in block)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, or read its compressed form as a stream; nothing is unpacked to disk."""
    import h5py

    if (here := _found(path)) is None:
        raise InputError(f"No '{path}', compressed (.gz) or not. Download it.")
    try:
        with ExitStack() as stack:
            source = stack.enter_context(gzip.open(here)) if here.suffix == ".gz" else here
            try:
                file = stack.enter_context(h5py.File(source, "r"))
            except ValueError as error:  # Python 3.13 closes a compressed file that ends too early
                raise EOFError(str(error)) from error
            yield file
    except (OSError, EOFError, KeyError, zlib.error) as error:
        raise InputError(f"Cannot read '{here}': {error}. Download it again.") from error


def _found(path: Path) -> Path | None:
    """The file, or its compressed form as downloaded, or None."""
    return next((here for here in (path, path.with_name(path.name + ".gz")) if here.is_file()), None)
