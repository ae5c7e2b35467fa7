"""Layouts that several datasets share: class folders, and file names that tell the class."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from catscans_lib.datasets import folders
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem, Row, image_names, make_listing, stem

if TYPE_CHECKING:
    from catscans_lib.datasets.cards import DatasetInfo


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


def read_folders(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the images of a published dataset with one folder per class, ``<class>/*`` or ``<split>/<class>/*``.

    `reading` of the card may have `group_pattern` (see `group_by_pattern`), `names` (the class of each folder), and, for
    images in one folder, `class_pattern`: file names match it, and its part in parentheses is the class in any case. Near
    duplicates form a group if the card says so.
    """
    folder, reading = native_dir(data_dir, *card.places), card.reading
    if "class_pattern" in reading and not any(entry.is_dir() for entry in folder.iterdir()):
        below, labels = folder.relative_to(data_dir).as_posix(), {label.lower(): label for label in card.classes}
        problems, rows, pattern = [], [], reading["class_pattern"]
        for name in image_names(folder, below, problems):
            if match := re.fullmatch(pattern, stem(name), re.IGNORECASE):
                rows.append(Row(stem(name), f"{below}/{name}", labels[match[1].lower()], stem(name), ""))
            else:
                problems.append(Problem(f"{below}/{name}", f"its name does not match {pattern}; left out"))
        return make_listing(rows, problems, folder, root=data_dir, classes=card.classes)
    group = group_by_pattern(reading["group_pattern"]) if "group_pattern" in reading else None
    listing = from_folder(folder, data_dir, classes=card.classes, group=group, names=reading.get("names", {}))
    return replace(listing, joins_near_duplicates=card.group == "near duplicates")


def from_folder(
    folder: Path, root: Path, *, classes: tuple[str, ...] = (), group: Callable[[str], str | None] | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Listing:  # fmt: skip
    """List the images of class folders, ``<class>/*`` or ``<split>/<class>/*``; paths are relative to `root`.

    With `classes`, images in other folders are reported; `names` gives the class of a folder that has another name. `group`
    returns the group of a path below the class folder, without suffix (None: reported and left out).
    """
    problems: list[Problem] = []
    rows = []
    for split, class_folder, below, path in folders.find(folder, root, problems):
        label = names.get(class_folder, class_folder)
        if classes and label not in classes:
            problems.append(Problem(path, f"in no folder of a class; known: {', '.join(classes)}; left out"))
            continue
        within = posixpath.join(posixpath.dirname(below), stem(below))
        image_id = "/".join(filter(None, (split, class_folder, within)))
        if image_group := group(within) if group else image_id:
            rows.append(Row(image_id, path, label, image_group, split))
        else:
            problems.append(Problem(path, "no group in the file name; left out"))
    return make_listing(rows, problems, folder, root=root, classes=classes)


def group_by_pattern(pattern: str) -> Callable[[str], str | None]:
    """Return a function that takes the group from a file name: the (first) part of `pattern` in parentheses that matches.

    A pattern with a slash is matched against the path below the class folder.

    >>> group_by_pattern(r"(person\\d+)_.*")("person7_bacteria_1")
    'person7'
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"'{pattern}' is not a regular expression: {error}.") from None
    if not compiled.groups:
        raise InputError(f"'{pattern}' has no part in parentheses; put them around the group.")
    is_path = "/" in pattern

    def group(path: str) -> str | None:
        match = compiled.fullmatch(path if is_path else path.rsplit("/", 1)[-1])
        return match and next(filter(None, match.groups()), None)

    return group
