"""The images of one dataset as found on disk: names, labels and groups; nothing is decoded."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images.decode import Slice

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
# An image in a tar file: "train.tar:n01440764/n01440764_1.JPEG:1536+83456" (tar, member, first byte, length)
TAR_MEMBER = re.compile(r"(.+\.tar):(.+):(\d+)\+(\d+)")
# Reads images that lie in an array: paths such as "train_X.bin:00000017" -> uint8 (height, width, 3) RGB images, in order.
Pixels = Callable[[Sequence[str]], Iterator[np.ndarray]]


class Row(NamedTuple):
    """One image: unique id, path below the listing's root, class name, group, and published split ("": none)."""

    image_id: str
    path: str
    label: str
    group: str
    split: str


class Problem(NamedTuple):
    """One file or row that was left out: path below the listing's root, and why."""

    path: str
    problem: str


@dataclass(frozen=True)
class Listing:
    """The images of one dataset: the columns of `Row`, sorted by the unique image_id.

    Images of one group must share a fold; where groups are unknown, the group is the image_id.
    """

    images: pd.DataFrame
    classes: tuple[str, ...]  #: classes that have an image, in the order of the dataset's card, or sorted
    problems: pd.DataFrame  #: path, problem: what was left out and why
    root: Path  #: the folder that paths are relative to
    pixels: Pixels | None = None  #: reads images that are not files
    joins_near_duplicates: bool = False  #: make near duplicates a group, where copies exist but groups are unknown


def image_names(folder: Path, below: str, problems: list[Problem]) -> list[str]:
    """Return the sorted names of the images in a folder; other files become problems, hidden and .txt files are ignored."""
    names = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        suffix = Path(entry.name).suffix.lower()
        if entry.name.startswith(".") or suffix == ".txt":
            continue
        if not entry.name.isprintable():  # also catches names that are not UTF-8, which a CSV cannot hold
            problems.append(Problem(f"{below}/{entry.name!a}", "file name is not printable text; rename it"))
        elif suffix not in IMAGE_SUFFIXES or not entry.is_file():
            problems.append(Problem(f"{below}/{entry.name}", f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"))
        else:
            names.append(entry.name)
    return names


def make_listing(
    rows: Iterable[Row],
    problems: Iterable[Problem],
    searched: Path,
    *,
    root: Path,
    classes: tuple[str, ...] = (),
    pixels: Pixels | None = None,
) -> Listing:
    """Sort the rows, keep the first image of each id, and drop classes without images.

    InputError if no image is left; the message names `searched`, the folder or file that was read.
    """
    import pandas as pd

    images = pd.DataFrame(rows, columns=Row._fields, dtype=str).sort_values(["image_id", "path"], ignore_index=True)
    problems = pd.DataFrame(problems, columns=Problem._fields, dtype=str)
    if images.empty:
        first = f" First problem: {problems.path[0]}: {problems.problem[0]}." if len(problems) else ""
        advice = "Give the folder that holds the images; for published datasets, set DATA=folder."
        raise InputError(f"No image found in '{searched}'.{first} {advice}")
    again = images["image_id"].duplicated()
    repeated = images.loc[again, ["path"]].assign(problem="same name as another image in its folder; left out")
    images = images[~again].reset_index(drop=True)
    found = set(images["label"])
    absent = [Problem("", f"class {label} has no image") for label in classes if label not in found]
    absent = pd.DataFrame(absent, columns=Problem._fields, dtype=str)
    problems = pd.concat([problems, repeated, absent], ignore_index=True)
    return Listing(images, tuple(c for c in classes or sorted(found) if c in found), problems, root, pixels)


def stem(path: str) -> str:
    """Return the file name without folder and suffix."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def in_array(path: str, index: int) -> str:
    """Return the path of an image in an array: `train_X.bin:00000017`."""
    return f"{path}:{index:08d}"


def array_place(path: str) -> tuple[str, int]:
    """Return file and index of an image in an array; the inverse of `in_array`."""
    file, _, index = path.rpartition(":")
    return file, int(index)


def file_or_slice(root: Path, path: str) -> Path | Slice:
    """Return where the bytes of an image below `root` lie: a file, or a slice of a tar file."""
    if match := TAR_MEMBER.fullmatch(path):
        return Slice(root / match[1], int(match[3]), int(match[4]))
    return root / path


def read_csv(path: Path, columns: Sequence[str], advice: str = "Download it again.") -> pd.DataFrame:
    """Read a table as text; InputError, which ends with `advice`, if it cannot be read or lacks one of `columns`."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise InputError(f"Cannot read '{path}': {error}. {advice}") from error
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"'{path}' lacks {', '.join(missing)}; it has {', '.join(table)}. {advice}")
    return table
