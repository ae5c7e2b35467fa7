"""Images of ImageNet by WordNet id (wnid): folders, tars, or a tar of tars; and subsets of them with a seed.

ImageNet comes as one tar of a tar per wnid (ILSVRC 2012), as single tars (``n04326547.tar``), and unpacked.
"""

import csv
import hashlib
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images.decode import read_bytes
from catscans_lib.images.listing import (
    IMAGE_SUFFIXES,
    Problem,
    class_images,
    file_name,
    file_place,
    in_tar,
    stem,
)

WNID = r"n\d{8}"
Found = Iterator[tuple[str, str, str]]


def images(place: Path, root: Path, problems: list[Problem], wnids: Collection[str] | None = None) -> Found:
    """Yield (wnid, name without suffix, path below `root`) of every image.

    Parameters
    ----------
    place : pathlib.Path
        A folder with a folder ``<wnid>`` or a file ``<wnid>.tar`` for each, or a tar with a ``<wnid>.tar`` for each.
    root : pathlib.Path
        `place` lies below it.
    problems : list of Problem
        What is no image, or no wnid, is appended.
    wnids : collection of str, optional
        Only these; others are passed over without a word.
    """
    below = place.relative_to(root).as_posix()
    if place.is_file():
        for name, start, length in _members(place, 0, place.stat().st_size):
            if (wnid := name.removesuffix(".tar")) != name and _is_wanted(wnid, wnids):
                yield from _in_tar(place, below, wnid, start, length, problems)
            elif not re.fullmatch(WNID, wnid):
                problems.append(Problem(f"{below}:{name}", "not the tar of a wnid, such as n01440764.tar; left out"))
        return
    for wnid, path in class_images(place, root, problems, expected=WNID, only=wnids):
        yield wnid, stem(path), path
    for tar in sorted(place.glob("n????????.tar")):
        if _is_wanted(tar.stem, wnids) and not (place / tar.stem).is_dir():
            yield from _in_tar(tar, f"{below}/{tar.name}", tar.stem, 0, tar.stat().st_size, problems)


def make_subset(
    place: Path, wnids: Sequence[str], folder: Path, *, n_per_class: int, seed: int, say: Callable[[str], None] = print
) -> list[str]:
    """Copy images of some wnids to ``folder/<wnid>/``, and write ``folder/subset.csv`` (wnid, name, sha256).

    Each wnid is drawn by itself, from its sorted names and the seed: another list of wnids leaves it as it is.

    Parameters
    ----------
    place : pathlib.Path
        As in `images`.
    n_per_class : int
        At most so many of each wnid; all of them where there are fewer, which is said.

    Returns
    -------
    list of str
        The wnids that have no image in `place`.

    Raises
    ------
    InputError
        If a wnid is not of the form n01440764, none is there, or the folder exists already.
    """
    if wrong := [wnid for wnid in wnids if not re.fullmatch(WNID, wnid)]:
        raise InputError(f"'{wrong[0]}' is no WordNet id; they look like n01440764.")
    if n_per_class < 1:
        raise InputError(f"At least one image per class is needed, got {n_per_class}.")
    if folder.exists():
        raise InputError(f"'{folder}' is there already. Give another folder, or delete it first.")
    if not place.exists():
        raise InputError(f"No '{place}'. Give a folder with a folder or tar per wnid, or a tar of such tars.")
    paths: dict[str, list[str]] = {}
    for wnid, _, path in images(place, place.parent, [], wnids):
        paths.setdefault(wnid, []).append(path)
    if not paths:
        raise InputError(f"None of {len(wnids)} wnids has an image in '{place}'.")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for wnid in sorted(paths):
        chosen = _drawn(wnid, sorted(paths[wnid]), n_per_class, seed)
        if len(chosen) < n_per_class:
            say(f"{wnid}: only {len(chosen)} images are there, {n_per_class} were asked for")
        _copy(place.parent, wnid, chosen, part)
    part.rename(folder)
    return [wnid for wnid in dict.fromkeys(wnids) if wnid not in paths]


def _is_wanted(wnid: str, wnids: Collection[str] | None) -> bool:
    return bool(re.fullmatch(WNID, wnid)) and (wnids is None or wnid in wnids)


def _in_tar(tar: Path, below: str, wnid: str, start: int, length: int, problems: list[Problem]) -> Found:
    """Images of the wnid's tar that lies in the file `tar` from `start` on."""
    empty = True
    for name, at, size in _members(tar, start, length):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES or not name.isprintable():
            problems.append(Problem(f"{below}:{wnid}/{name}", f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"))
            continue
        empty = False
        yield wnid, stem(name), in_tar(below, f"{wnid}/{Path(name).name}", at, size)
    if empty:
        problems.append(Problem(f"{below}:{wnid}", "tar of a wnid without an image"))


def _members(path: Path, start: int, length: int) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and length of every regular file in the tar that is `length` bytes of `path` from `start` on."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) and member.offset < start + length:
                    tar.members = []  # tarfile keeps them all: a gigabyte for a million images
                    if member.offset_data + member.size > start + length:
                        raise tarfile.ReadError("unexpected end of data")
                    if member.isreg():
                        yield member.name, member.offset_data, member.size
    except (tarfile.TarError, EOFError) as error:
        raise InputError(
            f"Cannot read '{path}': {error}. An uncompressed tar is needed; download it again, or unpack it to folders."
        ) from error


def _drawn(wnid: str, paths: list[str], n: int, seed: int) -> list[str]:
    """At most `n` of the paths, by wnid and seed, sorted."""
    rng = np.random.default_rng([seed, zlib.crc32(wnid.encode())])
    return sorted(paths[row] for row in rng.permutation(len(paths))[:n])


def _copy(root: Path, wnid: str, paths: list[str], folder: Path) -> None:
    (folder / wnid).mkdir(parents=True)
    with (folder / "subset.csv").open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if file.tell() == 0:
            table.writerow(["wnid", "name", "sha256"])
        for path in paths:
            data = read_bytes(file_place(root, path))
            (folder / wnid / file_name(path)).write_bytes(data)
            table.writerow([wnid, file_name(path), hashlib.sha256(data).hexdigest()])
