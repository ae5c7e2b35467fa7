"""What a reader of a native layout returns, and the steps the readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images.decode import Slice

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
PACKED = re.compile(r"(.+\.tar):(.+):(\d+)\+(\d+)")
# Where images lie in an array and not in files of their own: paths such as "train_X.bin:00000017" -> an image for each,
# in order, uint8 (height, width, 3) in RGB.
Pixels = Callable[[Sequence[str]], Iterator[np.ndarray]]


class Row(NamedTuple):
    """One image: unique id, path below the listing's root, class name, group and native split ("" where none)."""

    image_id: str
    path: str
    label: str
    group: str
    split: str


class Problem(NamedTuple):
    """One thing left out: path below the listing's root, and why."""

    path: str
    problem: str


@dataclass(frozen=True)
class Listing:
    """The images of one dataset as found on disk; nothing is decoded yet.

    Attributes
    ----------
    images : pandas.DataFrame
        One row per image, sorted by the unique `image_id`: image_id, path (posix, below `root`), label, group (images
        that must share a fold; the image_id where there is no such unit), split ("" where none).
    classes : tuple of str
        The classes that have an image, in the order of the card, or sorted where the folders name them.
    problems : pandas.DataFrame
        path, problem: what was left out and why.
    root : pathlib.Path
        The folder that paths are below.
    pixels : callable or None
        Reads the images where they are not files; see `Pixels`.
    joins_near_duplicates : bool
        Whether images that look the same are one group: where nothing else tells what belongs together.
    """

    images: pd.DataFrame
    classes: tuple[str, ...]
    problems: pd.DataFrame
    root: Path
    pixels: Pixels | None = None
    joins_near_duplicates: bool = False

    def file(self, path: str) -> Path | Slice:
        """Return where the bytes of an image lie: a file, or a part of a tar file."""
        return file_place(self.root, path)


def native_dir(data_dir: Path, *places: str) -> Path:
    """Return the first of `places` (folders below the data folder) that exists.

    Raises
    ------
    InputError
        If the data folder or every place is missing; the message names what was expected and what is there.
    """
    wanted = " or ".join(f"'{place}'" for place in places)
    if not data_dir.is_dir():
        raise InputError(f"No data folder '{data_dir}'. Set DATA=folder to the folder that holds {wanted}.")
    for place in places:
        if (data_dir / place).is_dir():
            return data_dir / place
    found = ", ".join(sorted(entry.name for entry in data_dir.iterdir() if not entry.name.startswith("."))) or "nothing"
    raise InputError(f"No folder {wanted} in the data folder '{data_dir}', which holds {found}. Set DATA=folder.")


def image_names(folder: Path, below: str, problems: list[Problem]) -> list[str]:
    """Return the names of the images in a folder, sorted; what else lies there becomes a problem.

    Hidden files and text files (licences, attributions) are passed over without a word.
    """
    names = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        suffix = Path(entry.name).suffix.lower()
        if entry.name.startswith(".") or suffix == ".txt":
            continue
        if not entry.name.isprintable():  # also catches names that are not UTF-8, which no CSV could hold
            problems.append(Problem(f"{below}/{entry.name!a}", "file name is not printable text; rename it"))
        elif suffix not in IMAGE_SUFFIXES or not entry.is_file():
            problems.append(Problem(f"{below}/{entry.name}", f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"))
        else:
            names.append(entry.name)
    return names


def class_images(
    parent: Path, root: Path, problems: list[Problem], expected: str = ".+", only: Collection[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (label, path below `root`) for every image in the class folders of `parent`.

    A folder whose name does not match `expected` (a regular expression) or that holds no image becomes a problem; with
    `only`, other folders that match are passed over without a word.
    """
    for folder in sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        below = folder.relative_to(root).as_posix()
        if not re.fullmatch(expected, folder.name):
            problems.append(Problem(below, f"not a class folder, its name should match {expected}; left out"))
            continue
        if only is not None and folder.name not in only:
            continue
        names = image_names(folder, below, problems)
        if not names:
            problems.append(Problem(below, "class folder without an image"))
        for name in names:
            yield folder.name, f"{below}/{name}"


def make_listing(
    rows: Iterable[Row],
    problems: Iterable[Problem],
    where: Path,
    *,
    root: Path,
    classes: tuple[str, ...] = (),
    pixels: Pixels | None = None,
) -> Listing:
    """Sort the rows, keep the first image of every id, and drop the classes that have no image.

    `where` is what was searched, as an error names it; paths are below `root`.

    Raises
    ------
    InputError
        If no image is left.
    """
    import pandas as pd

    images = pd.DataFrame(rows, columns=Row._fields, dtype=str).sort_values(["image_id", "path"], ignore_index=True)
    problems = pd.DataFrame(problems, columns=Problem._fields, dtype=str)
    if images.empty:
        first = f" First problem: {problems.path[0]}: {problems.problem[0]}." if len(problems) else ""
        raise InputError(
            f"No image found in '{where}'.{first} Give the folder that holds the images; that of published datasets is "
            "set by DATA=folder."
        )
    again = images["image_id"].duplicated()
    twice = images.loc[again, ["path"]].assign(problem="same name as another image of its folder; left out")
    images = images[~again].reset_index(drop=True)
    found = set(images["label"])
    empty = [Problem("", f"class {label} has no image") for label in classes if label not in found]
    problems = pd.concat([problems, twice, pd.DataFrame(empty, columns=Problem._fields, dtype=str)], ignore_index=True)
    return Listing(images, tuple(c for c in classes or sorted(found) if c in found), problems, root, pixels)


def stem(path: str) -> str:
    """File name without folder and suffix."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def in_array(path: str, index: int) -> str:
    """Return how the path of an image in an array is written: `train_X.bin:00000017`."""
    return f"{path}:{index:08d}"


def array_place(path: str) -> tuple[str, int]:
    """Return file and index of an image in an array; the inverse of `in_array`."""
    file, _, index = path.rpartition(":")
    return file, int(index)


def in_tar(path: str, member: str, start: int, length: int) -> str:
    """Return how the path of an image in a tar file is written: `train.tar:n01440764/n01440764_1.JPEG:1536+83456`."""
    return f"{path}:{member}:{start}+{length}"


def file_place(root: Path, path: str) -> Path | Slice:
    """Return where the bytes of an image lie; the inverse of `in_tar` where the path is of that form."""
    if match := PACKED.fullmatch(path):
        return Slice(root / match[1], int(match[3]), int(match[4]))
    return root / path


def file_name(path: str) -> str:
    """File name with suffix, of a file or of a member of a tar."""
    match = PACKED.fullmatch(path)
    return (match[2] if match else path).rsplit("/", 1)[-1]


def read_csv(path: Path, columns: Sequence[str], advice: str = "Download it again.") -> pd.DataFrame:
    """Read a table as text; InputError, with `advice` at its end, when it cannot be read or lacks one of `columns`."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise InputError(f"Cannot read '{path}': {error}. {advice}") from error
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"'{path}' lacks {', '.join(missing)}; it has {', '.join(table)}. {advice}")
    return table
