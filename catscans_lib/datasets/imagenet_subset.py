"""Seeded subsets of ImageNet's synsets, copied to class folders."""

import csv
import hashlib
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from catscans_lib.datasets.imagenet import WNID, images
from catscans_lib.errors import InputError
from catscans_lib.images.decode import read_bytes
from catscans_lib.images.listing import TAR_MEMBER, file_or_slice


def make_subset(
    place: Path, wnids: Sequence[str], folder: Path, *, n_per_class: int, seed: int, say: Callable[[str], None] = print
) -> list[str]:
    """Copy images of some wnids to ``folder/<wnid>/``, and write ``folder/subset.csv`` (wnid, name, sha256).

    The draw of each wnid depends only on its sorted file names and the seed, not on the other wnids.

    Parameters
    ----------
    place : pathlib.Path
        As in `imagenet.images`.
    n_per_class : int
        At most so many of each wnid; `say` gets a line for each wnid that has fewer.

    Returns
    -------
    list of str
        The wnids that have no image in `place`.

    Raises
    ------
    InputError
        If a wnid does not look like n01440764, none is found, or the folder exists.
    """
    if wrong := [wnid for wnid in wnids if not re.fullmatch(WNID, wnid)]:
        raise InputError(f"'{wrong[0]}' is not a WordNet id; they look like n01440764.")
    if n_per_class < 1:
        raise InputError(f"At least one image per class is needed, got {n_per_class}.")
    if folder.exists():
        raise InputError(f"'{folder}' exists. Give another folder, or delete it first.")
    if not place.exists():
        raise InputError(f"No '{place}'. Give a folder with a folder or tar per wnid, or a tar of such tars.")
    found: dict[str, list[str]] = {}
    for wnid, _, path in images(place, place.parent, [], wnids):
        found.setdefault(wnid, []).append(path)
    if not found:
        raise InputError(f"None of {len(wnids)} wnids has an image in '{place}'.")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for wnid in sorted(found):
        chosen = _drawn(wnid, sorted(found[wnid]), n_per_class, seed)
        if len(chosen) < n_per_class:
            say(f"{wnid}: {len(chosen)} images found, {n_per_class} requested")
        _copy(place.parent, wnid, chosen, part)
    part.rename(folder)
    return [wnid for wnid in dict.fromkeys(wnids) if wnid not in found]


def _drawn(wnid: str, paths: list[str], n: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, zlib.crc32(wnid.encode())])
    return sorted(paths[row] for row in rng.permutation(len(paths))[:n])


def _copy(root: Path, wnid: str, paths: list[str], folder: Path) -> None:
    (folder / wnid).mkdir(parents=True)
    with (folder / "subset.csv").open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if file.tell() == 0:
            table.writerow(["wnid", "name", "sha256"])
        for path in paths:
            data = read_bytes(file_or_slice(root, path))
            name = TAR_MEMBER.sub(r"\2", path).rsplit("/", 1)[-1]
            (folder / wnid / name).write_bytes(data)
            table.writerow([wnid, name, hashlib.sha256(data).hexdigest()])
