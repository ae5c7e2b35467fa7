"""Layouts that several datasets share: class folders, file names that tell the class, and tables of paths and labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from catscans_lib.errors import InputError
from catscans_lib.images.listing import IMAGE_SUFFIXES, Listing, Problem, Row, image_names, make_listing, stem

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SPLITS["testing"] = "test"


def native_dir(data_dir: Path, *places: str) -> Path:
    """Return the first of `places` (folders below the data folder) that exists; InputError if none does."""
    wanted = " or ".join(f"'{place}'" for place in places)
    if not data_dir.is_dir():
        raise InputError(f"No data folder '{data_dir}'. Set DATA=folder to the folder that holds {wanted}.")
    for place in places:
        if (data_dir / place).is_dir():
            return data_dir / place
    found = ", ".join(sorted(entry.name for entry in data_dir.iterdir() if not entry.name.startswith("."))) or "nothing"
    raise InputError(f"No folder {wanted} in the data folder '{data_dir}', which holds {found}. Set DATA=folder.")


def class_images(
    parent: Path, root: Path, problems: list[Problem], expected: str = ".+", only: Collection[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (label, path below `root`) for every image in the class folders of `parent`.

    Empty folders and folders whose name does not match `expected` become problems; with `only`, other folders are ignored.
    """
    for folder in _folders(parent):
        below = folder.relative_to(root).as_posix()
        if not re.fullmatch(expected, folder.name):
            problems.append(Problem(below, f"not a class folder: its name does not match {expected}; left out"))
            continue
        if only is not None and folder.name not in only:
            continue
        names = image_names(folder, below, problems)
        if not names:
            problems.append(Problem(below, "class folder without images"))
        for name in names:
            yield folder.name, f"{below}/{name}"


def from_folder(
    folder: Path,
    root: Path,
    *,
    classes: tuple[str, ...] = (),
    splits: Mapping[str, str] | None = None,
    group: Callable[[str], str | None] | None = None,
) -> Listing:
    """List the images of class folders, ``<class>/*`` or ``<split>/<class>/*``; paths are relative to `root`.

    With `classes`, other folders are reported. `splits` maps folders to splits, and missing ones are reported; default:
    detect them by common names. `group` returns the group of a file name without suffix; images for which it returns None
    are reported and left out.
    """
    problems: list[Problem] = []
    rows = []
    if splits is None:
        inside = [entry.name for entry in _folders(folder)]
        has_splits = inside and all(name.lower() in SPLITS for name in inside)
        splits = {name: SPLITS[name.lower()] for name in inside} if has_splits else {"": ""}
    for name, split in splits.items():
        if not (folder / name).is_dir():
            problems.append(Problem((folder / name).relative_to(root).as_posix(), "no such folder"))
            continue
        for label, path in class_images(folder / name, root, problems, "|".join(classes) or ".+"):
            image_id = "/".join(filter(None, (split, label, stem(path))))
            if image_group := group(stem(path)) if group else image_id:
                rows.append(Row(image_id, path, label, image_group, split))
            else:
                problems.append(Problem(path, "no group in the file name; left out"))
    return make_listing(rows, problems, folder, root=root, classes=classes)


def from_names(folder: Path, root: Path, classes: tuple[str, ...], pattern: str, form: str) -> Listing:
    """List the images of one folder whose names without suffix match `pattern`, whose first group is the class in any case.

    `form` is the pattern in words, for the report on other files.
    """
    below = folder.relative_to(root).as_posix()
    labels = {label.lower(): label for label in classes}
    problems: list[Problem] = []
    rows = []
    for name in image_names(folder, below, problems):
        if match := re.fullmatch(pattern, stem(name), re.IGNORECASE):
            rows.append(Row(stem(name), f"{below}/{name}", labels[match[1].lower()], stem(name), ""))
        else:
            problems.append(Problem(f"{below}/{name}", f"not named {form}; left out"))
    return make_listing(rows, problems, folder, root=root, classes=classes)


def from_table(table: pd.DataFrame, root: Path, source: Path, classes: tuple[str, ...] = ()) -> Listing:
    """List the images of a table with path (below `root`) and label, and optionally group and split; all text.

    `source` is the file that the table was read from, for messages.
    """
    problems: list[Problem] = []
    rows = []
    table = table.map(str.strip)
    twice = table["path"].duplicated(keep=False) & ~table.duplicated(keep=False)
    for row, differs in zip(table.drop_duplicates().to_dict("records"), twice[~table.duplicated()], strict=True):
        path = Path(row["path"]).as_posix()
        if said := _problem(row, root / path, differs):
            problems.append(Problem(path, f"{said}; left out"))
        else:
            image_id = path[: -len(Path(path).suffix)]
            rows.append(Row(image_id, path, row["label"], row.get("group", image_id), row.get("split", "")))
    return make_listing(rows, problems, source, root=root, classes=classes)


def group_by_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function for `from_folder` that takes the group from a file name: the part of `pattern` in parentheses.

    >>> group_by_pattern(r"(person\\d+)_.*")("person7_bacteria_1")
    'person7'
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"'{pattern}' is not a regular expression: {error}.") from None
    if compiled.groups != 1:
        raise InputError(f"'{pattern}' has {compiled.groups} parts in parentheses; put exactly one around the group.")
    return lambda name: match[1] if (match := compiled.fullmatch(name)) else None


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _problem(row: dict[str, str], file: Path, differs: bool) -> str:
    """Why a row of a table cannot be used; "" if it can."""
    if differs:
        return "listed twice with different values"
    if not row["label"]:
        return "no label"
    if "group" in row and not row["group"]:
        return "no group, so it cannot be kept in one fold"
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        return f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}"
    return "" if file.is_file() else "in the table, but there is no such file"
