"""Layouts that several datasets share: class folders, and file names that tell the class."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from catscans_lib.datasets import folders
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem, Row, image_names, make_listing, stem


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

    With `classes`, images in other folders are reported. `splits` is as in `folders.find`. `group` returns the group of a path
    below the class folder, without suffix (a file name, where classes have no folders); images for which it returns None are
    reported and left out.
    """
    problems: list[Problem] = []
    rows = []
    for split, label, below, path in folders.find(folder, root, problems, splits):
        if classes and label not in classes:
            problems.append(Problem(path, f"in no folder of a class; known: {', '.join(classes)}; left out"))
            continue
        within = posixpath.join(posixpath.dirname(below), stem(below))
        image_id = "/".join(filter(None, (split, label, within)))
        if image_group := group(within) if group else image_id:
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


def group_by_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function for `from_folder` that takes the group from a file name: the part of `pattern` in parentheses.

    A pattern with a slash is matched against the path below the class folder.

    >>> group_by_pattern(r"(person\\d+)_.*")("person7_bacteria_1")
    'person7'
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"'{pattern}' is not a regular expression: {error}.") from None
    if compiled.groups != 1:
        raise InputError(f"'{pattern}' has {compiled.groups} parts in parentheses; put exactly one around the group.")
    whole = "/" in pattern
    return lambda path: match[1] if (match := compiled.fullmatch(path if whole else path.rsplit("/", 1)[-1])) else None


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))
