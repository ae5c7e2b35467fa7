"""A user's own datasets: a card each in ``params/datasets/<name>.yaml``, written by ``catscans dataset add`` or by hand."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from catscans_lib import paths
from catscans_lib.datasets import label_tables, layouts, medmnist
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.errors import InputError, Strict, and_more, read_yaml, validated, yaml_editor
from catscans_lib.images import findings, tables
from catscans_lib.images.listing import Listing, Problem

if TYPE_CHECKING:
    import pandas as pd

NAME = r"[a-z][a-z0-9_]*"
Text = Annotated[str, Field(min_length=1)]


class OwnCard(Strict):
    """The content of a card; `catscans dataset add --help` explains the fields.

    `place` is a folder or file, absolute or below DATA. `part_of` names the dataset from which the images were selected, if they
    keep its image ids and groups. `labels_as` is as in `DatasetInfo`.
    """

    title: Text
    form: Literal["folder", "table", "arrays"]
    place: Text
    path_column: Text = "path"
    label_column: Text = "label"
    multi_label: Text | None = None
    group_column: Text | None = None
    split_column: Text | None = None
    detail_columns: list[Text] = Field(default_factory=list)
    image_dir: Text | list[Text] | None = None
    group_pattern: Text | None = None
    class_names: list[str] = Field(default_factory=list)
    group: Text | None = None
    modality: Text = "own images"
    licence: Text = "not stated"
    url: str = ""
    n_per_class: dict[str, int] = Field(default_factory=dict)
    n_images: int | None = None  # where it is not the sum of the classes, as images have several findings
    part_of: Text | None = None
    labels_as: dict[str, dict[str, str | list[str]]] = Field(default_factory=dict)

    def read(self, data_dir: Path) -> Listing:
        """List the images; paths are relative to the card's folder, or to the folder of its file."""
        place = data_dir / self.place
        if not (place.is_dir() if self.form == "folder" else place.is_file()):
            kind = "folder" if self.form == "folder" else "file"
            raise InputError(f"No {kind} '{place}', which the card of '{self.title}' names. Correct its place.")
        if self.form == "arrays":
            return medmnist.from_npz(place, self.class_names, multi_label=self.multi_label is not None)
        if self.form == "table":
            table, problems = self._table(place)
            named = {"files": self._files(place), "problems": problems, "multi_label": self.multi_label is not None}
            return label_tables.from_table(table, place.parent, place, **named)
        group = layouts.group_by_pattern(self.group_pattern) if self.group_pattern else None
        return layouts.from_folder(place, place, group=group)

    def _table(self, place: Path) -> tuple[pd.DataFrame, list[Problem]]:
        """The columns path, label, and optionally group, split, fault and details."""
        columns = {"path": self.path_column, "group": self.group_column, "split": self.split_column}
        columns = {name: name for name in self.detail_columns} | {name: of for name, of in columns.items() if of}
        advice = "Name its columns: --path-column and so on; in a card path_column and so on."
        rows, problems = tables.read(place, list(columns.values()), advice)
        hot, several = [name.strip() for name in self.label_column.split(",")], self.multi_label is not None
        if len(hot) == 1 or not set(hot) <= set(rows):
            others = rows.drop(columns=list(columns.values()))
            is_there = self.label_column.lower() in map(str.lower, others)
            may_be_hot = self.label_column == "label" and not is_there
            hot = tables.one_hot_columns(others, multi_label=several) if may_be_hot else []
        table = rows[list(columns.values())].set_axis(list(columns), axis=1)
        if hot:
            labels, faults = tables.one_hot(rows, hot, multi_label=several)
            said = "Findings are those of these columns that are 1 (blank: 0)"
            said = said if several else "The label is the one of these columns that is 1"
            problems.append(Problem("", f"{said}: {', '.join(hot)}."))
        else:
            labels = tables.spelled(rows, place, [self.label_column], advice)[self.label_column]
            found = [findings.label(text.split(self.multi_label)) if several else (text, "") for text in labels]
            labels, faults = ([one[side] for one in found] for side in (0, 1))
        return table.assign(label=labels, fault=faults), problems

    def _files(self, place: Path) -> label_tables.Files:
        folders = [self.image_dir] if isinstance(self.image_dir, str) else self.image_dir or []
        if missing := [folder for folder in folders if not (place.parent / folder).is_dir()]:
            raise InputError(f"No folder '{missing[0]}' beside '{place}'; --image-dir is relative to the table.")
        return label_tables.Files(place.parent, folders)


def card_at(place: Path, /, **given: Any) -> OwnCard:
    """Return the card of a folder or file with further fields of an `OwnCard`; InputError if one is invalid."""
    forms = {".csv": "table", ".tsv": "table", ".txt": "table", ".npz": "arrays"}
    form = "folder" if place.is_dir() else forms.get(place.suffix.lower()) if place.is_file() else None
    if form is None:
        got = f"'{place}' has an unknown form" if place.exists() else f"No '{place}'"
        raise InputError(f"{got}. Give a folder with one folder per class, a .csv with path and label, or an .npz.")
    values = {"title": place.resolve().name, "form": form, "place": str(place.resolve())} | given
    return validated(OwnCard, values, f"'{place}'")


def names() -> tuple[str, ...]:
    """Return the sorted names of the user's own datasets; empty outside a project's folder."""
    try:
        return tuple(
            sorted(path.stem for path in paths.own_cards_dir().glob("*.yaml") if re.fullmatch(NAME, path.stem))
        )
    except InputError:
        return ()


def has(name: str) -> bool:
    """Return whether a user's own dataset has this name; a hundred times as fast as `names` with a hundred of them."""
    try:
        return bool(re.fullmatch(NAME, name)) and (paths.own_cards_dir() / f"{name}.yaml").is_file()
    except InputError:  # outside a project's folder
        return False


def card(name: str) -> DatasetInfo:
    """Return the card of an own dataset, in the form of published ones; InputError if it is invalid."""
    own = _own(name)
    same = own.model_dump(
        include={"title", "modality", "group", "licence", "url", "n_per_class", "n_images", "part_of", "labels_as"}
    )
    is_below = not Path(own.place).is_absolute()
    return DatasetInfo(name=name, citation="", reader="own.read", is_below_data_dir=is_below, **same)


def read(card: DatasetInfo, data_dir: Path) -> Listing:
    """List the images of an own dataset."""
    return _own(card.name).read(data_dir)


def places(name: str, data_dir: Path) -> list[tuple[str, Path]]:
    """Return the files and folders that hold an own dataset, each with its name below the card's place."""
    own = _own(name)
    place = data_dir / own.place
    files = own._files(place) if own.form == "table" and place.is_file() else None
    listed = {path for text in own._table(place)[0]["path"] for path in files.find(text)} if files else ()
    return [("", place), *((path, place.parent / path) for path in sorted(listed))]


def reading(name: str) -> dict[str, Any]:
    """Return what a card says about reading its dataset, without the place and what only a person reads."""
    return _own(name).model_dump(exclude={"place", "title", "modality", "licence", "url", "labels_as"})


def _own(name: str) -> OwnCard:
    path = paths.own_cards_dir() / f"{name}.yaml"
    return _card(path, path.stat().st_mtime_ns, path.stat().st_size)


@lru_cache(maxsize=1024)
def _card(path: Path, *version: int) -> OwnCard:
    return validated(OwnCard, read_yaml(path, f"params/datasets/{path.name}"), f"params/datasets/{path.name}")


def add(name: str, own: OwnCard, listing: Listing, *, taken: Collection[str]) -> Path:
    """Write the card of a dataset with the images per class; InputError if its name is invalid or taken, or it has one class."""
    if not re.fullmatch(NAME, name) or name == "none":
        form = "lower-case letters, digits and _, beginning with a letter"
        raise InputError(f"'{name}' cannot name a dataset: use {form}.")
    if name in taken:
        raise InputError(f"A dataset '{name}' exists. Choose another name.")
    if len(listing.classes) < 2:
        raise InputError(f"'{own.place}' has one class, {and_more(listing.classes)}; at least two are needed.")
    counts = findings.each(listing.images["label"]).value_counts()
    seen = {"n_per_class": {label: int(counts[label]) for label in listing.classes}}
    if listing.multi_label:
        seen |= {"multi_label": own.multi_label or findings.SEPARATOR, "n_images": len(listing.images)}
    content = own.model_copy(update=seen)
    path = paths.own_cards_dir() / f"{name}.yaml"
    with paths.atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        file.write("# An own dataset. n_per_class: images found when it was added.\n")
        yaml_editor().dump(content.model_dump(exclude_defaults=True), file)
    return path
