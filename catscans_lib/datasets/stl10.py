"""STL-10 as downloaded: ``stl10_binary/{train,test}_{X,y}.bin``; unlabelled images are not read.

Each image is three planes of 96 x 96 bytes (red, green, blue), each stored column by column; labels are bytes from 1.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.datasets.layouts import native_dir
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem, Row, array_place, in_array, make_listing

SHAPE = (3, 96, 96)


def read(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the labelled images of both splits; InputError if a file has the wrong length."""
    folder = native_dir(data_dir, *card.places)
    problems: list[Problem] = []
    rows = []
    for split in ("train", "test"):
        place = (folder / f"{split}_X.bin").relative_to(data_dir).as_posix()
        if not (folder / f"{split}_X.bin").is_file():
            problems.append(Problem(place, f"no such file, so the {split} images are missing"))
            continue
        labels = folder / f"{split}_y.bin"
        if not labels.is_file():
            raise InputError(f"No labels '{labels}' for '{split}_X.bin'. Download STL-10 again.")
        n, codes = (folder / f"{split}_X.bin").stat().st_size / np.prod(SHAPE), np.fromfile(labels, np.uint8)
        if len(codes) != n:
            said = f"'{split}_X.bin' holds {n:g} images and '{labels.name}' {len(codes)} labels"
            raise InputError(f"{said}, in '{folder}'. Download both again.")
        for index, code in enumerate(codes):
            if 1 <= code <= len(card.classes):
                image_id = f"{split}_{index:05d}"
                rows.append(Row(image_id, in_array(place, index), card.classes[code - 1], image_id, split))
            else:
                said = f"label {code}; known are 1 to {len(card.classes)}; left out"
                problems.append(Problem(in_array(place, index), said))

    def pixels(paths: Sequence[str]) -> Iterator[np.ndarray]:
        opened = cache(lambda file: np.memmap(data_dir / file, np.uint8, "r").reshape(-1, *SHAPE))
        for file, index in map(array_place, paths):
            yield opened(file)[index].transpose(2, 1, 0)

    return make_listing(rows, problems, folder, root=data_dir, classes=card.classes, pixels=pixels)
