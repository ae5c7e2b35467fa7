"""The images of one dataset as found on disk: names, labels and groups; nothing is decoded."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images import findings
from catscans_lib.images.dicom import is_dicom

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2", ".dcm",
)  # fmt: skip
NIFTI = (
    "a NIfTI volume; save its slices as images first: nibabel.load(file).get_fdata()[:, :, i] with the Python package "
    "nibabel, then PIL.Image.fromarray(slice.astype('float32')).save('slice.tif'); one patient is one group"
)
RUBBISH = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}
MASK = re.compile(
    r"(.+?)[ _.-](?:masks?|seg|segmentations?|ground[ _-]?truth|gt|annotations?)(?:[ _-]?\d+)?", re.IGNORECASE
)
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
    """The images of one dataset, sorted by the unique image_id; those of one group must share a fold (the image_id: unknown)."""

    images: pd.DataFrame
    classes: tuple[str, ...]  #: classes that have an image, in the order of the dataset's card, or sorted
    problems: pd.DataFrame  #: path, problem: what was left out and why
    root: Path  #: the folder that paths are relative to
    pixels: Pixels | None = None  #: reads images that are not files
    joins_near_duplicates: bool = False  #: make near duplicates a group, where copies exist but groups are unknown
    multi_label: bool = False  #: an image may have several classes (findings) or none, see `images.findings`
    details: pd.DataFrame | None = None  #: path, and columns that describe images, such as sex, age, site, device


def image_names(folder: Path, below: str, problems: list[Problem], *, skip_folders: bool = False) -> list[str]:
    """Return the sorted names of the images in a folder; other files, but not hidden ones, and masks become problems."""
    names = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        is_folder = skip_folders and Path(entry.path).is_dir()  # unlike entry.is_dir(), not an error at a loop of links
        if is_folder or is_rubbish(entry.name) or entry.name.lower().endswith(".txt"):
            continue
        if fault := name_fault(entry.name):
            problems.append(Problem(f"{below}/{entry.name!a}".lstrip("/"), f"{fault}; left out"))
        elif said := no_image(Path(entry.path)):
            problems.append(Problem(f"{below}/{entry.name}".lstrip("/"), said))
        else:
            names.append(entry.name)
    stems = set(map(stem, names))
    masks = [name for name in names if (match := MASK.fullmatch(stem(name))) and match[1] in stems]
    problems += [Problem(f"{below}/{name}".lstrip("/"), "mask of another image; left out") for name in masks]
    return sorted(set(names) - set(masks)) if masks else names


def no_image(file: Path) -> str:
    """Return why a file is no image; "" if it is one, by its suffix or because it begins as DICOM files do."""
    if not file.is_file():  # opening a pipe would wait for ever
        return "a link to nothing" if file.is_symlink() else "not an ordinary file"
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return ""
    if file.name.lower().endswith((".nii", ".nii.gz")):
        return NIFTI
    with suppress(OSError), file.open("rb") as opened:
        if is_dicom(opened.read(132)):
            return ""
    return f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"


def is_rubbish(name: str) -> bool:
    """Return whether a file or folder is hidden or was made by a file manager or an archiver."""
    return name.startswith(".") or name.lower() in RUBBISH


def name_fault(name: str) -> str:
    """Return why the name of a file or folder cannot be used; "" if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8; rename it"  # neither a CSV nor a store can hold it
    return "name has control characters; rename it" if any(unicodedata.category(one) == "Cc" for one in name) else ""


def class_key(label: str) -> str:
    """Return what spellings of one class have in common: not case, spaces, _ and -, Unicode form, or the .0 of a number.

    >>> class_key("Basal_cell  CARCINOMA") == class_key("basal-cell carcinoma"), class_key("1.0")
    (True, '1')
    """
    label = re.sub(r"(\d+)\.0+", r"\1", label) if re.fullmatch(r"\s*\d+\.0+\s*", label) else label
    text = unicodedata.normalize("NFC", label.casefold())
    text = "".join(one for one in text if unicodedata.category(one) != "Cf")  # invisible, such as a zero-width space
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", text.strip())


def make_listing(
    rows: Iterable[Row], problems: Iterable[Problem], searched: Path, *, root: Path, classes: tuple[str, ...] = (),
    pixels: Pixels | None = None, multi_label: bool = False,
) -> Listing:  # fmt: skip
    """Sort the rows, keep the first of each id, drop classes without images; InputError, naming `searched`, if none is left.

    Without `classes`, different spellings of one class (`class_key`) are read as the most frequent one, and noted.
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
    if not multi_label:  # the sign separates findings: a class may not have it in its name
        images["label"] = images["label"].str.replace(findings.SEPARATOR, "¦", regex=False)
    if not classes:
        images, notes = _one_spelling(images)
        problems = pd.concat([problems, notes], ignore_index=True)
    found = set(findings.each(images["label"])) - ({findings.NO_FINDING} if multi_label else set())
    absent = [("", f"class {label} has no image") for label in classes if label not in found]
    absent = pd.DataFrame(absent, columns=Problem._fields, dtype=str)
    problems = pd.concat([problems, repeated, absent], ignore_index=True)
    classes = tuple(c for c in classes or sorted(found) if c in found)
    return Listing(images, classes, problems, root, pixels, multi_label=multi_label)


def _one_spelling(images: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    spellings: dict[str, list[str]] = {}
    for label in findings.each(images["label"]).value_counts(sort=True).index:
        spellings.setdefault(class_key(label), []).append(label)
    why = "as they differ only in spelling"
    several = [same for same in spellings.values() if len(same) > 1]
    notes = [Problem("", f"Read as one class, '{same[0]}', {why}: {', '.join(map(repr, same))}.") for same in several]
    names = {one: same[0] for same in spellings.values() for one in same}
    labels = {text: findings.joined(map(names.get, text.split(findings.SEPARATOR))) for text in set(images["label"])}
    return images.assign(label=images["label"].map(labels)), pd.DataFrame(notes, columns=Problem._fields, dtype=str)


def stem(path: str) -> str:
    """Return the file name without folder and suffix of an image; names of DICOM files may consist of numbers and dots."""
    name = path.rsplit("/", 1)[-1]
    return next((name[: -len(one)] for one in IMAGE_SUFFIXES if name.lower().endswith(one)), name)


def in_array(path: str, index: int) -> str:
    """Return the path of an image in an array: `train_X.bin:00000017`."""
    return f"{path}:{index:08d}"


def array_place(path: str) -> tuple[str, int]:
    """Return file and index of an image in an array; the inverse of `in_array`."""
    file, _, index = path.rpartition(":")
    return file, int(index)
