"""ImageNet (ILSVRC 2012), Tiny ImageNet, and STI-10, ten textural synsets; classes are WordNet ids (wnids).

ImageNet: ``imagenet/[train/]<wnid>/*.JPEG`` or ``imagenet/[train/]<wnid>.tar``, the tars in ``ILSVRC2012_img_train.tar``, which
stay packed. STI-10: ``sti10/<wnid>/*`` or ``sti10/<wnid>.tar``, also among other wnids.
Tiny ImageNet: ``tiny-imagenet-200/train/<wnid>/images/*.JPEG``, or ``imagenet64/imagenet/<wnid>/*.JPEG`` for a part of it.
"""

import re
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from catscans_lib.datasets.cards import IMAGENET_TERMS, DatasetInfo, Download
from catscans_lib.datasets.layouts import class_images, native_dir
from catscans_lib.errors import InputError
from catscans_lib.images.listing import IMAGE_SUFFIXES, Listing, Problem, Row, make_listing, stem

WNID = r"n\d{8}"
STI10 = {
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
Found = Iterator[tuple[str, str, str]]  # wnid, name without suffix, path below the root


def read(data_dir: Path) -> Listing:
    """List the images of every wnid, from its folder or its tar. No groups."""
    place = native_dir(data_dir, "imagenet/train", "imagenet")
    problems: list[Problem] = []
    found = images(place, data_dir, problems)
    rows = [Row(f"{wnid}/{name}", path, wnid, f"{wnid}/{name}", _split(name)) for wnid, name, path in found]
    return make_listing(rows, problems, place, root=data_dir)


def read_sti10(data_dir: Path) -> Listing:
    """List the images of the ten synsets of STI-10; missing synsets are reported. No groups, no splits."""
    folder = native_dir(data_dir, "sti10")
    problems: list[Problem] = []
    found = images(folder, data_dir, problems, STI10)
    rows = [Row(f"{wnid}/{name}", path, STI10[wnid], f"{wnid}/{name}", "") for wnid, name, path in found]
    for wnid, name in STI10.items():
        if not (folder / wnid).is_dir() and not (folder / f"{wnid}.tar").is_file():
            problems.append(Problem(f"sti10/{wnid}", f"no such folder or tar, the synset of {name}"))
    return make_listing(rows, problems, folder, root=data_dir, classes=tuple(STI10.values()))


def read_tiny(data_dir: Path) -> Listing:
    """List the training images of Tiny ImageNet. Their numbers are its own, not those of ImageNet. No groups, no splits."""
    folder = native_dir(data_dir, "tiny-imagenet-200/train", "imagenet64/imagenet")
    found = sorted(folder.glob("n????????/images/*.JPEG")) or sorted(folder.glob("n????????/*.JPEG"))
    places = [(path.stem, path.relative_to(data_dir).as_posix(), path.relative_to(folder).parts[0]) for path in found]
    return make_listing([Row(*place, place[0], "") for place in places], [], folder, root=data_dir)


def images(place: Path, root: Path, problems: list[Problem], wnids: Collection[str] | None = None) -> Found:
    """Yield (wnid, name without suffix, path below `root`) of every image; other files are appended to `problems`.

    `place` has a folder ``<wnid>`` or a file ``<wnid>.tar`` for each wnid. With `wnids`, other wnids are ignored.
    """
    for wnid, path in class_images(place, root, problems, expected=WNID, only=wnids):
        yield wnid, stem(path), path
    for tar in sorted(place.glob("n????????.tar")):
        is_wanted = re.fullmatch(WNID, tar.stem) and (wnids is None or tar.stem in wnids)
        if is_wanted and not (place / tar.stem).is_dir():
            yield from _in_tar(tar, tar.relative_to(root).as_posix(), problems)


def _split(name: str) -> str:
    """The official split, which the file name tells even if a subset mixed the folders."""
    return "val" if name.startswith("ILSVRC2012_val_") else "train" if re.fullmatch(rf"{WNID}_\d+", name) else ""


def _in_tar(tar: Path, below: str, problems: list[Problem]) -> Found:
    """Images of the wnid that the tar is named after."""
    wnid, empty = tar.stem, True
    for name, at, size in _members(tar):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES or not name.isprintable():
            problems.append(Problem(f"{below}:{wnid}/{name}", f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"))
            continue
        empty = False
        yield wnid, stem(name), f"{below}:{wnid}/{Path(name).name}:{at}+{size}"
    if empty:
        problems.append(Problem(f"{below}:{wnid}", "tar of a wnid without images"))


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and length of every regular file in an uncompressed tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > path.stat().st_size:
                    raise tarfile.ReadError("unexpected end of data")
                if member.isreg():
                    yield member.name, member.offset_data, member.size
    except (tarfile.TarError, EOFError) as error:
        advice = "It must be an uncompressed tar. Download it again, or unpack it to folders."
        raise InputError(f"Cannot read '{path}': {error}. {advice}") from error


CARD = DatasetInfo(
    name="imagenet",
    title="ImageNet",
    modality="natural images of objects",
    classes=(),  # wnids, 732 to 1,300 images each
    n_classes=1000,
    n_images=1_281_167,  # ILSVRC 2012 training images
    group=None,
    licence=IMAGENET_TERMS,
    url="https://www.image-net.org",
    citation="russakovsky2015",
    read=read,
    files=("imagenet",),
    by_hand="""Register at https://www.image-net.org/signup.php and accept the terms.
On the page of ILSVRC 2012, download 'Training images (Task 1 & 2)', 138 GB.
Unpack ILSVRC2012_img_train.tar in DATA/imagenet/train. The tars in it, one for each wnid, may stay packed.
To use ImageNet only through published weights, no images are needed: pretrain.sources.imagenet: {weights: keras}.""",
)
STI10_CARD = DatasetInfo(
    name="sti10",
    title="STI-10",
    modality="natural images of textures and materials",
    classes=tuple(STI10.values()),  # the study's choice; the image URLs it used no longer exist
    n_images=8_060,  # as noted in the study's loader
    group=None,
    licence=IMAGENET_TERMS,
    url="https://github.com/vcheplygina/cats-scans",
    citation="vandenbrandt2021",
    part_of="imagenet",
    read=read_sti10,
    files=("sti10",),
    by_hand="""The study's own list of images is no longer available; the synsets are.
Register at https://www.image-net.org/signup.php and accept the terms.
Download the tar of each wnid (ImageNet-21k): """
    + ", ".join(f"{wnid} ({name})" for wnid, name in STI10.items())
    + """.
Put the tars into DATA/sti10 as they are; the study had 806 images of each.""",
)
SECOND_CARD = replace(
    CARD, name="imagenet1k", title="ImageNet-1k", part_of="imagenet"
)  # for a source with another network
TINY_CARD = replace(
    CARD,
    name="imagenet64",
    title="Tiny ImageNet (64 px)",
    modality="natural images of objects, 64 px",
    n_classes=200,
    n_images=100_000,  # 500 training images of each class
    citation="le2015",
    part_of="imagenet",
    read=read_tiny,
    files=("tiny-imagenet-200/train", "imagenet64"),
    by_hand="",
    downloads=(
        Download(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "md5:90528d7ca1a48142e341f4ef8d21d0de", unpack=True
        ),
    ),
)
