"""Two forms that images come in: class folders, and a table of paths and labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from catscans_lib.errors import InputError
from catscans_lib.images.listing import (
    IMAGE_SUFFIXES,
    Listing,
    Problem,
    Row,
    class_images,
    make_listing,
    stem,
)

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def from_folder(
    folder: Path,
    root: Path,
    *,
    classes: tuple[str, ...] = (),
    expected: str = ".+",
    group: Callable[[str], str | None] | None = None,
) -> Listing:
    """List the images of class folders, ``<class>/*`` or ``<split>/<class>/*``.

    Parameters
    ----------
    folder, root : pathlib.Path
        The folder that holds the class folders or the splits; paths are written below `root`.
    classes : tuple of str
        Their fixed order; sorted when empty.
    expected : str
        Regular expression for the names of class folders; others are reported.
    group : callable, optional
        Group of a file name without suffix; an image for which it returns None is reported and left out.
    """
    problems: list[Problem] = []
    rows = []
    for split, image_id, label, path in _found(folder, root, problems, expected):
        unit = image_id if group is None else group(stem(path))
        if unit is None:
            problems.append(Problem(path, "no group in the file name; left out"))
        else:
            rows.append(Row(image_id, path, label, unit, split))
    return make_listing(rows, problems, folder, root=root, classes=classes)


def from_table(table: pd.DataFrame, root: Path, where: Path, classes: tuple[str, ...] = ()) -> Listing:
    """List the images of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns path (of an image file, below `root`) and label, and if known group and split; all text.
    root : pathlib.Path
    where : pathlib.Path
        What the table was read from, as errors name it.
    """
    problems: list[Problem] = []
    rows = []
    table = table.map(str.strip)
    twice = table["path"].duplicated(keep=False) & ~table.duplicated(keep=False)
    has_group, has_split = "group" in table, "split" in table
    for row, differs in zip(table.drop_duplicates().to_dict("records"), twice[~table.duplicated()], strict=True):
        path = Path(row["path"]).as_posix()
        if said := _wrong(row, root / path, differs):
            problems.append(Problem(path, f"{said}; left out"))
            continue
        image_id = path[: -len(Path(path).suffix)]
        rows.append(
            Row(
                image_id, path, row["label"], row["group"] if has_group else image_id, row["split"] if has_split else ""
            )
        )
    return make_listing(rows, problems, where, root=root, classes=classes)


def _found(folder: Path, root: Path, problems: list[Problem], expected: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield split, image_id, label and path of every image."""
    inside = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    if inside and all(entry.name.lower() in SPLITS for entry in inside):
        parts = [(SPLITS[entry.name.lower()], entry) for entry in inside]
    else:
        parts = [("", folder)]
    for split, part in parts:
        for label, path in class_images(part, root, problems, expected):
            yield split, "/".join(filter(None, (split, label, stem(path)))), label, path


def _wrong(row: dict[str, str], file: Path, differs: bool) -> str:
    """What is wrong with one row of a table, or nothing."""
    if differs:
        return "listed twice with different values"
    if not row["label"]:
        return "no label"
    if "group" in row and not row["group"]:
        return "no group, so it cannot be kept in one fold"
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        return f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"
    return "" if file.is_file() else "in the table, but there is no such file"


def by_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function for `from_folder` that takes the group from a file name by a regular expression.

    >>> by_pattern(r"(person\\d+)_.*")("person7_bacteria_1")
    'person7'

    Raises
    ------
    InputError
        If it is no regular expression with one part in parentheses.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"'{pattern}' is no regular expression: {error}.") from None
    if compiled.groups != 1:
        raise InputError(
            f"'{pattern}' has {compiled.groups} parts in parentheses; one is needed, around what names the group."
        )
    return lambda name: match[1] if (match := compiled.fullmatch(name)) else None
