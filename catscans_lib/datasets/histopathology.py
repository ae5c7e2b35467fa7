"""Histopathology: PatchCamelyon and KimiaPath960 as downloaded.

PCam: ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5[.gz]`` and ``*_meta.csv``. The study's two datasets are parts
of its 327,680 patches, drawn by class with a seed: 100,000 in `pcam_middle` and 10,000 in `pcam_small`. The study drew one from
the other; here they share no slide.
KimiaPath960: ``kimia_path_960/*.tif``; the first letter of a file name is its class.
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

from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.datasets.layouts import from_names, native_dir
from catscans_lib.errors import InputError
from catscans_lib.images import listing, tables
from catscans_lib.images.listing import Listing, Problem, Row, in_array, make_listing

if TYPE_CHECKING:
    import h5py

CLASSES = ("normal", "tumour")
TISSUES = tuple("ABCDEFGHIJKLMNOPQRST")
N_MIDDLE, N_SMALL, N_ALL = 100_000, 10_000, 327_680
SLIDES_OF_SMALL = N_SMALL / (N_MIDDLE + N_SMALL)  # share of the patches on the slides of `pcam_small`
SEED = 2  # the study's
BLOCK = 1024  # patches read at once: 28 MB


def read_part(data_dir: Path, n_patches: int, *, is_small: bool) -> Listing:
    """List `n_patches` of 327,680 patches, or the same share of those found, by class in a seeded order.

    The slides are divided between the two parts first, so that each part has about its share of either class. A class has
    fewer patches where the slides of the part do not have enough. Where slides are unknown, patches are divided.
    """
    from catscans_lib.images import folds  # loads scikit-learn, which starting a command must not

    found, rng, chosen = read_pcam(data_dir), np.random.default_rng(SEED), []
    label = found.images["label"]
    of_small = folds.part(label, folds.linked(found.images, ["group"]), SLIDES_OF_SMALL, SEED)
    for name in CLASSES:
        rows = rng.permutation(np.flatnonzero((label == name) & (of_small == is_small)))
        chosen.append(rows[: (label == name).sum() * n_patches // N_ALL])
    rows = np.sort(np.concatenate(chosen))
    if len(rows) == 0:
        share = f"{n_patches:,} of {N_ALL:,}"
        raise InputError(f"{len(found.images)} patches are too few for this part of PCam; it takes {share}.")
    return replace(found, images=found.images.iloc[rows].reset_index(drop=True))


def read_pcam(data_dir: Path) -> Listing:
    """List every patch; the slide is the group."""
    folder = native_dir(data_dir, "pcam", "pcamv1", "PCam")
    below = folder.relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    rows: list[Row] = []
    for split in ("train", "valid", "test"):
        images = f"camelyonpatch_level_2_split_{split}_x.h5"
        if _found(folder / images) is None:
            problems.append(Problem(f"{below}/{images}", f"no such file, so the {split} patches are missing"))
        else:
            rows += _rows(folder / images, f"{below}/{images}", split, problems)
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES, pixels=partial(_pixels, data_dir))


def read_kimia960(data_dir: Path) -> Listing:
    """List the images of KimiaPath960. No groups, no split."""
    folder = native_dir(data_dir, "kimia_path_960", "KimiaPath960")
    return from_names(folder, data_dir, TISSUES, r"([A-T])(?![A-Z]).*", "<one letter, A to T><number>")


def _rows(images: Path, place: str, split: str, problems: list[Problem]) -> list[Row]:
    """Rows of one split, whose patches are in the file `images`."""
    with _opened(images) as file:
        shape, dtype = file["x"].shape, file["x"].dtype
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise InputError(f"'{images}' does not hold patches uint8 (n, height, width, 3). Download it again.")
    labels = _labels(images.with_name(images.name.replace("_x.h5", "_y.h5")), images.name, shape[0])
    meta = images.with_name(images.name.replace("_x.h5", "_meta.csv"))
    ids = [f"{split}_{index:06d}" for index in range(len(labels))]
    if meta.is_file():
        slides = list(tables.read_csv(meta, ["wsi"])["wsi"])
        if len(slides) != len(ids):
            raise InputError(f"'{meta}' has {len(slides)} rows for {len(ids)} patches. Download both again.")
    else:
        slides = ids
        said = "no such file, so patches of one slide may lie in different folds"
        problems.append(Problem(place.replace("_x.h5", "_meta.csv"), said))
    places = (in_array(place, index) for index in range(len(ids)))
    names = (CLASSES[label] for label in labels)
    return [Row(*row, split) for row in zip(ids, places, names, slides, strict=True)]


def _labels(path: Path, images: str, n: int) -> np.ndarray:
    """Labels, shape (n,): 1 if the centre of 32 x 32 pixels has a tumour pixel, else 0."""
    with _opened(path) as file:
        codes = file["y"][:].ravel()
    if wrong := sorted(set(codes.tolist()) - {0, 1}):
        raise InputError(f"'{path}' has the label {wrong[0]}; known are 0 and 1. Download it again.")
    if len(codes) != n:
        raise InputError(f"'{images}' holds {n} patches and '{path.name}' {len(codes)} labels. Download both again.")
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


_CHECKSUMS = {
    "train_x.h5.gz": "sha256:d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c",
    "train_y.h5.gz": "sha256:b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a",
    "train_meta.csv": "md5:5a3dd671e465cfd74b5b822125e65b0a",
    "valid_x.h5.gz": "sha256:f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2",
    "valid_y.h5.gz": "sha256:ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c",
    "valid_meta.csv": "md5:67589e00a4a37ec317f2d1932c7502ca",
    "test_x.h5.gz": "sha256:79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245",
    "test_y.h5.gz": "sha256:0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef",
    "test_meta.csv": "md5:3455fd69135b66734e1008f3af684566",
}
_FILES = "https://zenodo.org/records/2546921/files/camelyonpatch_level_2_split_"
_BOTH = {
    "modality": "H&E histopathology of lymph nodes, 96 px patches",
    "classes": CLASSES,  # published as 0 and 1: a tumour pixel in the centre 32 x 32
    "group": "slide",  # column wsi of the published meta files
    "licence": "CC0 1.0",
    "url": "https://github.com/basveeling/pcam",
    "citation": "veeling2018",
    "part_of": "pcam",
    "files": ("pcam", "pcamv1", "PCam"),
    "downloads": tuple(Download(_FILES + name, checksum, folder="pcam") for name, checksum in _CHECKSUMS.items()),
}
_MIDDLE = partial(read_part, n_patches=N_MIDDLE, is_small=False)
_SMALL = partial(read_part, n_patches=N_SMALL, is_small=True)
PCAM_MIDDLE = DatasetInfo(name="pcam_middle", title="PCam-middle", n_images=N_MIDDLE, read=_MIDDLE, **_BOTH)
PCAM_SMALL = DatasetInfo(name="pcam_small", title="PCam-small", n_images=N_SMALL, read=_SMALL, **_BOTH)
KIMIA960 = DatasetInfo(
    name="kimia960",
    title="KimiaPath960",
    modality="histopathology of several tissues, 308 x 168 px patches",
    classes=TISSUES,
    n_images=960,
    n_per_class=dict.fromkeys(TISSUES, 48),
    group=None,  # each class is one slide, so no fold can hold out slides of a class
    licence="none stated; made available for research",
    url="https://kimialab.uwaterloo.ca/kimia/index.php/pathology-images-kimia-path960/",
    citation="kumar2017",
    read=read_kimia960,
    files=("kimia_path_960", "KimiaPath960"),
    by_hand="""Fill in the form on the home page; the address of the archive comes by mail.
Unpack it so that the 960 .tif files lie in DATA/kimia_path_960.""",
)
