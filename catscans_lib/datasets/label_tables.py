"""The images of a table with a row for each: where their files lie, and rows that say no single label."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catscans_lib.images.listing import Listing, Problem, Row, class_key, make_listing, no_image, stem
from catscans_lib.images.tables import NO_GROUP, NO_LABEL

if TYPE_CHECKING:
    import pandas as pd


class Files:
    """Finds the files that a table names, in the folders `folders` below `root`."""

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self._root, self._folders = root, folders or ("",)
        self._names: dict[str, dict[str, list[str]]] = {}  # by folder and name without suffix
        self._foreign = ""  # folder of another computer that paths begin with

    def find(self, text: str) -> list[str]:
        """Return the files that `text` may name, as paths below `root` without repetitions; empty if no file matches.

        Understands backslashes, `..`, missing suffixes, and absolute paths of another computer whose last parts exist here.
        """
        for path in dict.fromkeys((text, text.replace("\\", "/").removeprefix(self._foreign))):
            if found := self._in_folders(path):
                return found
        text = text.replace("\\", "/")
        if re.match(r"/|[A-Za-z]:/", text):
            parts = text.split("/")
            for start in range(1, len(parts)):
                if found := self._in_folders("/".join(parts[start:])):
                    self._foreign = "/".join(parts[:start]) + "/"
                    return found
        return []

    def unlisted(self, listed: Iterable[str]) -> list[str]:
        """Return the images in the folders that were looked into whose paths are not among `listed`."""
        found = ((folder, names) for folder, by_stem in self._names.items() for names in by_stem.values())
        paths = {posixpath.join(folder, name) for folder, names in found for name in names}
        return sorted(path for path in paths - set(listed) if stem(path) != path.rsplit("/", 1)[-1])

    def _in_folders(self, text: str) -> list[str]:
        found = {}
        for folder in self._folders:
            path = posixpath.normpath(posixpath.join(folder, text))
            within, name = posixpath.split(path.removeprefix(f"{self._root.as_posix()}/"))
            same = self._in_folder(within).get(stem(name), [])
            if name not in same and stem(name) == name:  # without a suffix
                found |= {posixpath.join(within, one): None for one in same}
            elif name in same:
                found[posixpath.join(within, name)] = None
        return list(found)

    def _in_folder(self, folder: str) -> dict[str, list[str]]:
        """Return the names of the files in a folder, by name without suffix."""
        if folder not in self._names:
            self._names[folder] = {}
            with suppress(OSError):  # no such folder
                for entry in os.scandir(self._root / folder):
                    if entry.is_file():
                        self._names[folder].setdefault(stem(entry.name), []).append(entry.name)
        return self._names[folder]


def from_table(
    table: pd.DataFrame, root: Path, source: Path, classes: tuple[str, ...] = (), *, files: Files | None = None,
    problems: Iterable[Problem] = (), multi_label: bool = False,
) -> Listing:  # fmt: skip
    """List the images of a table with path (below `root`) and label, and optionally group, split and fault; all text.

    Further columns are details of the listing. All rows of an image that is listed with different values are left out. An image
    whose group is blank or a word such as "unknown" is a group of its own. `source` is the file of the table, for messages; with
    `files`, images that the table does not list are noted. With `multi_label`, labels are as in `images.findings`.
    """
    found, problems = files or Files(root), list(problems)
    by_path: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        paths = found.find(row["path"]) if row["path"] else []
        if len(paths) == 1:
            by_path.setdefault(paths[0], []).append(row)
        else:
            said = f"may be {' or '.join(paths)}" if paths else "in the table, but there is no such file"
            problems.append(Problem(row["path"] or f"{source.name}: row {number}", f"{said}; left out"))
    rows, ungrouped, n_repeated, labels = [], [], 0, set() if multi_label else set(table["label"])
    for path, same in by_path.items():
        values = {(class_key(row["label"]), row.get("group"), row.get("split")) for row in same}
        fault = "listed twice with different values" if len(values) > 1 else _fault(same[0], labels)
        if fault := fault or no_image(root / path):
            problems += [Problem(path, f"{fault}; left out")] * len(same)
            continue
        row, image_id = same[0], posixpath.join(posixpath.dirname(path), stem(path))
        n_repeated += len(same) - 1
        group = row.get("group", image_id)
        if group.lower() in NO_GROUP:
            ungrouped.append(group)
            group = image_id
        rows.append(Row(image_id, path, row["label"], group, row.get("split", "")))
    notes = [f"{n_repeated:,} rows repeat another row; each image is read once."] if n_repeated else []
    if ungrouped:
        words = ", ".join(f"'{word}'" for word in sorted(set(ungrouped)))
        notes.append(f"{len(ungrouped):,} images have no group ({words}): each of them is a group of its own.")
    if files and (others := files.unlisted(by_path)):
        notes.append(f"{len(others):,} images in the same folders are not in the table, such as '{others[0]}'.")
    problems += [Problem("", note) for note in notes]
    import pandas as pd

    listing = make_listing(rows, problems, source, root=root, classes=classes, multi_label=multi_label)
    if not (names := [name for name in table if name not in ("path", "label", "group", "split", "fault")]):
        return listing
    details = [{"path": path, **{name: same[0][name] for name in names}} for path, same in by_path.items()]
    return replace(listing, details=listing.images[["path"]].merge(pd.DataFrame(details), on="path"))


def _fault(row: dict[str, str], labels: set[str]) -> str:
    """Why the label of a row cannot be used; "" if it can."""
    if fault := row.get("fault") or "no label" * (row["label"].lower() in NO_LABEL):
        return fault
    parts = re.split(r"\s*([|;,])\s*", row["label"])
    several = len(parts) > 1 and set(parts[::2]) <= labels
    return f"several labels ('{row['label']}'), which need --multi-label '{parts[1]}'" if several else ""
