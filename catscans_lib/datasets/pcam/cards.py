"""PatchCamelyon as downloaded: ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5[.gz]`` and ``*_meta.csv``.

The study's two datasets are parts of its 327,680 patches: `pcam_middle` 100,000 and `pcam_small` 10,000, drawn by class with
a seed. The study drew them from each other's patches; here no patch is in both.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.datasets.pcam import files
from catscans_lib.datasets.pcam.files import CLASSES, SPLITS
from catscans_lib.errors import InputError
from catscans_lib.images.listing import (
    Listing,
    Problem,
    Row,
    in_array,
    make_listing,
    native_dir,
)

FOLDERS = ("pcam", "pcamv1", "PCam")
N_MIDDLE, N_SMALL, N_ALL = 100_000, 10_000, 327_680
SEED = 2  # the study's own


def read_middle(data_dir: Path) -> Listing:
    """List the patches of PCam-middle: 100,000, or the same share of what is there."""
    return _subset(read_all(data_dir), 0, N_MIDDLE)


def read_small(data_dir: Path) -> Listing:
    """List the patches of PCam-small: 10,000, or the same share of what is there; none of them is in PCam-middle."""
    return _subset(read_all(data_dir), N_MIDDLE, N_MIDDLE + N_SMALL)


def read_all(data_dir: Path) -> Listing:
    """List every patch, of the PNGs where there are any, else of the HDF5 files."""
    folder = native_dir(data_dir, *FOLDERS)
    below = folder.relative_to(data_dir).as_posix()
    if (folder / "png").is_dir():
        from catscans_lib.datasets.pcam import png

        return png.read(folder, data_dir)
    problems: list[Problem] = []
    rows: list[Row] = []
    for split in SPLITS:
        images = f"{files.stem(split)}_x.h5"
        if files.found(folder / images) is None:
            problems.append(Problem(f"{below}/{images}", f"no such file, so the {split} patches are missing"))
            continue
        rows += _rows(folder, below, split, problems)
    pixels = partial(files.pixels, data_dir)
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES, pixels=pixels)


def _rows(folder: Path, below: str, split: str, problems: list[Problem]) -> list[Row]:
    stem = files.stem(split)
    n = files.n_patches(folder / f"{stem}_x.h5")
    labels = files.labels(folder / f"{stem}_y.h5", n)
    slides = files.slides(folder / f"{stem}_meta.csv", n)
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
    return replace(listing, images=listing.images.iloc[rows].reset_index(drop=True))


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
    "downloads": tuple(Download(_FILES + name, checksum, folder="pcam") for name, checksum in _CHECKSUMS.items()),
}
MIDDLE = DatasetInfo(name="pcam_middle", title="PCam-middle", n_images=N_MIDDLE, read=read_middle, **_BOTH)
SMALL = DatasetInfo(name="pcam_small", title="PCam-small", n_images=N_SMALL, read=read_small, **_BOTH)
