"""ImageNet's synsets by WordNet id (wnid): folders ``<wnid>/*``, or uncompressed tars ``<wnid>.tar``, which stay packed."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from catscans_lib.datasets import layouts
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.errors import InputError
from catscans_lib.images.listing import IMAGE_SUFFIXES, Listing, Row, stem


def read(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the images of every wnid from its folder or, without one, from its tar; `names` in the card has the class of each."""
    folder, names = layouts.native_dir(data_dir, *card.places), card.reading.get("names", {})
    tars = {tar.relative_to(data_dir).as_posix(): tar for tar in sorted(folder.glob("n????????.tar"))}
    packed = {below: tar for below, tar in tars.items() if not (folder / tar.stem).is_dir()}
    rows = []
    for below, tar in packed.items():
        if card.classes and tar.stem not in names:
            continue
        for member in _members(tar):
            image_id = f"{tar.stem}/{stem(member.name)}"
            path = f"{below}:{tar.stem}/{member.name}:{member.offset_data}+{member.size}"
            rows.append(Row(image_id, path, names.get(tar.stem, tar.stem), image_id, ""))
    listing = layouts.from_folder(folder, data_dir, classes=card.classes, names=names, more=rows)
    return replace(listing, problems=listing.problems[~listing.problems["path"].isin(tars)])


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the images in an uncompressed tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > path.stat().st_size:
                    raise tarfile.ReadError("unexpected end of data")
                if member.isreg() and member.name.lower().endswith(IMAGE_SUFFIXES):
                    yield member
    except (tarfile.TarError, EOFError) as error:
        advice = "It must be an uncompressed tar. Download it again, or unpack it to folders."
        raise InputError(f"Cannot read '{path}': {error}. {advice}") from error
