"""ImageNet (ILSVRC 2012) as downloaded: ``imagenet/[train/]<wnid>/*.JPEG``, or the tar of one tar per WordNet id.

The tar (``ILSVRC2012_img_train.tar``, 138 GB) is read where it is; nothing is unpacked to the disk.
"""

import re
from pathlib import Path

from catscans_lib.datasets import synsets
from catscans_lib.datasets.cards import IMAGENET_TERMS, DatasetInfo
from catscans_lib.images.listing import Listing, Problem, Row, make_listing, native_dir

TAR = "ILSVRC2012_img_train.tar"


def read(data_dir: Path) -> Listing:
    """List the images of every wnid, of the folders where there are any, else of the tar. No groups."""
    place = _tar(data_dir) or native_dir(data_dir, "imagenet/train", "imagenet")
    problems: list[Problem] = []
    rows = []
    for wnid, name, path in synsets.images(place, data_dir, problems):
        image_id = f"{wnid}/{name}"
        rows.append(Row(image_id, path, wnid, image_id, _split(name)))
    return make_listing(rows, problems, place, root=data_dir)


def _tar(data_dir: Path) -> Path | None:
    """The tar of tars, where it is there and no folder of a wnid is."""
    if any(place for folder in ("imagenet/train", "imagenet") for place in (data_dir / folder).glob("n????????/")):
        return None
    return next((path for path in (data_dir / "imagenet" / TAR, data_dir / TAR) if path.is_file()), None)


def _split(name: str) -> str:
    # The file name keeps the official split even where a subset mixed the folders.
    if name.startswith("ILSVRC2012_val_"):
        return "val"
    return "train" if re.fullmatch(r"n\d{8}_\d+", name) else ""


CARD = DatasetInfo(
    name="imagenet",
    title="ImageNet",
    modality="natural images of objects",
    classes=(),  # 1,000 WordNet ids in the complete set, 732 to 1,300 images each
    n_images=1_281_167,  # ILSVRC 2012 training images
    group=None,
    licence=IMAGENET_TERMS,
    url="https://www.image-net.org",
    citation="russakovsky2015",
    read=read,
    by_hand="""Register at https://www.image-net.org/signup.php and accept the terms.
On the page of ILSVRC 2012, download 'Training images (Task 1 & 2)', 138 GB.
Put ILSVRC2012_img_train.tar into DATA/imagenet as it is, or unpack it to DATA/imagenet/train/<wnid>/*.JPEG.
For a source that only passes on its weights nothing is needed: pretrain.sources.imagenet: {weights: keras}.""",
)
