"""Describable Textures Dataset as downloaded: ``dtd/images/<class>/*.jpg`` and ``dtd/labels/{train,val,test}1.txt``.

Some of its images are copies, recompressed or in other colours; near duplicates are one group.
"""

from dataclasses import replace
from pathlib import Path

from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.datasets.layouts import class_images, native_dir
from catscans_lib.images.listing import Listing, Problem, Row, make_listing, stem


def read(data_dir: Path) -> Listing:
    """List the images of every class folder, with the first of the ten official splits if its files exist."""
    folder = native_dir(data_dir, "dtd/images")
    splits = _splits(folder.parent / "labels")
    problems: list[Problem] = []
    rows = []
    for label, path in class_images(folder, data_dir, problems):
        image_id = f"{label}/{stem(path)}"
        rows.append(Row(image_id, path, label, image_id, splits.pop(image_id, "")))
    below = folder.relative_to(data_dir).as_posix()
    problems += [Problem(f"{below}/{left}.jpg", "in an official split, but there is no such file") for left in splits]
    return replace(make_listing(rows, problems, folder, root=data_dir), joins_near_duplicates=True)


def _splits(folder: Path) -> dict[str, str]:
    """Split of every image (class/name) in the files of split 1; the other nine reshuffle the same images."""
    found = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}1.txt"
        if path.is_file():
            names = (line.strip() for line in path.read_text().splitlines())
            found |= {name.rsplit(".", 1)[0]: split for name in names if name}
    return found


WORDS = (
    "banded", "blotchy", "braided", "bubbly", "bumpy", "chequered", "cobwebbed", "cracked", "crosshatched",
    "crystalline", "dotted", "fibrous", "flecked", "freckled", "frilly", "gauzy", "grid", "grooved", "honeycombed",
    "interlaced", "knitted", "lacelike", "lined", "marbled", "matted", "meshed", "paisley", "perforated", "pitted",
    "pleated", "polka-dotted", "porous", "potholed", "scaly", "smeared", "spiralled", "sprinkled", "stained",
    "stratified", "striped", "studded", "swirly", "veined", "waffled", "woven", "wrinkled", "zigzagged",
)  # fmt: skip
CARD = DatasetInfo(
    name="dtd",
    title="Describable Textures (DTD)",
    modality="natural images of textures",
    classes=(),  # the folder names, so a part of the words is enough
    n_per_class=dict.fromkeys(WORDS, 120),
    group="near duplicates",
    licence="available for research; no standard licence",
    url="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    citation="cimpoi2014",
    read=read,
    files=("dtd/images", "dtd/labels"),
    downloads=(
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            checksum="md5:fff73e5086ae6bdbea199a49dfb8a4c1",
            n_bytes=625_239_812,
            unpack=True,
        ),
    ),
)
