"""STI-10: ten textural ImageNet synsets, from folders or tars of wnids or from the arrays the study kept.

``sti10/<wnid>/*`` or ``sti10/<wnid>.tar`` as cut out of ImageNet (other wnids may lie there too), or
``sti10/all_imgs.npy`` (n, height, width, 3) with ``sti10/all_labels.npy``. The study decoded its arrays with OpenCV, so
they are blue, green, red; they are turned round here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from catscans_lib.datasets import synsets
from catscans_lib.datasets.cards import IMAGENET_TERMS, DatasetInfo
from catscans_lib.errors import InputError
from catscans_lib.images.listing import (
    Listing,
    Problem,
    Row,
    array_place,
    in_array,
    make_listing,
    native_dir,
)

WNIDS = {
    "n04326547": "stone wall",
    "n02897820": "brick",
    "n03530642": "honeycomb",
    "n07840804": "egg",
    "n09416076": "rock",
    "n03309808": "fabric",
    "n09247410": "cloud",
    "n02999410": "chain",
    "n09376198": "ocean",
    "n11669921": "flower",
}
CLASSES = tuple(WNIDS.values())
IMAGES, LABELS = "all_imgs.npy", "all_labels.npy"


def read(data_dir: Path) -> Listing:
    """List the images of the ten synsets, from the arrays where there are any; missing synsets are reported by name."""
    folder = native_dir(data_dir, "sti10")
    if (folder / IMAGES).is_file():
        return _from_arrays(folder, data_dir)
    problems: list[Problem] = []
    rows = []
    for wnid, name, path in synsets.images(folder, data_dir, problems, WNIDS):
        image_id = f"{wnid}/{name}"
        rows.append(Row(image_id, path, WNIDS[wnid], image_id, ""))
    below = folder.relative_to(data_dir).as_posix()
    there = [wnid for wnid in WNIDS if (folder / wnid).is_dir() or (folder / f"{wnid}.tar").is_file()]
    missing = [wnid for wnid in WNIDS if wnid not in there]
    problems += [Problem(f"{below}/{wnid}", f"no such folder or tar, the synset of {WNIDS[wnid]}") for wnid in missing]
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES)


def _from_arrays(folder: Path, data_dir: Path) -> Listing:
    images, labels = _load(folder / IMAGES, mmap_mode="r"), _load(folder / LABELS)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise InputError(f"'{folder / IMAGES}' is {images.dtype} {images.shape}; known is uint8 (n, height, width, 3).")
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise InputError(f"'{folder / LABELS}' is {labels.shape} for {len(images)} images; one label each is needed.")
    place = (folder / IMAGES).relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    rows = []
    for index, label in enumerate(labels.ravel()):
        if name := _class_of(label):
            image_id = f"sti10_{index:05d}"
            rows.append(Row(image_id, in_array(place, index), name, image_id, ""))
        else:
            problems.append(
                Problem(in_array(place, index), f"label {label!r} is no synset, name or number 0 to 9; left out")
            )

    def pixels(paths: Sequence[str]) -> Iterator[np.ndarray]:
        for path in paths:
            yield images[array_place(path)[1]][:, :, ::-1]

    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES, pixels=pixels)


def _class_of(label: object) -> str | None:
    """Class of a stored label: a wnid, a name, or a number in the study's order."""
    text = str(label)
    if text.isdigit() and int(text) < len(CLASSES):
        return CLASSES[int(text)]
    return WNIDS.get(text) or (text if text in CLASSES else None)


def _load(path: Path, mmap_mode: str | None = None) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"No '{path.name}' in '{path.parent}'. Images and labels belong together.")
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except ValueError as error:
        raise InputError(
            f"Cannot read '{path}': {error} Arrays of Python objects are never unpickled; save plain numbers or text."
        ) from error


CARD = DatasetInfo(
    name="sti10",
    title="STI-10",
    modality="natural images of textures and materials",
    classes=CLASSES,  # the study's own choice; the image addresses it used are gone
    n_images=8_060,  # as noted in the study's loader
    group=None,
    licence=IMAGENET_TERMS,
    url="https://github.com/vcheplygina/cats-scans",
    citation="vandenbrandt2021",
    read=read,
    by_hand="""The study's own list of images cannot be had any more; the synsets can.
Register at https://www.image-net.org/signup.php and accept the terms.
Download the tar of each wnid (ImageNet-21k): """
    + ", ".join(f"{wnid} ({name})" for wnid, name in WNIDS.items())
    + """.
Put the tars into DATA/sti10 as they are, or draw 806 images of each: catscans dataset subset FOLDER DATA/sti10.""",
)
