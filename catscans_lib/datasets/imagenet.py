"""ImageNet (ILSVRC 2012) as downloaded: one folder of JPEGs per WordNet id, ``imagenet/[train/]<wnid>/*.JPEG``."""

import re
from pathlib import Path

from catscans_lib.datasets.listing import Listing, Problem, Row, class_images, make_listing, native_dir, stem


def read(data_dir: Path) -> Listing:
    """List the images of every wnid folder; other folders are reported. No groups."""
    folder = native_dir(data_dir, "imagenet/train", "imagenet")
    problems: list[Problem] = []
    rows = []
    for label, path in class_images(folder, data_dir, problems, expected=r"n\d{8}"):
        image_id = f"{label}/{stem(path)}"
        rows.append(Row(image_id, path, label, image_id, _split(stem(path))))
    return make_listing(rows, problems, folder)


def _split(name: str) -> str:
    # The file name keeps the official split even where a subset mixed the folders.
    if name.startswith("ILSVRC2012_val_"):
        return "val"
    return "train" if re.fullmatch(r"n\d{8}_\d+", name) else ""
