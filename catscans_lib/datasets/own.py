"""A user's own datasets: a card each in ``params/datasets/<name>.yaml``, written by ``catscans dataset add`` or by hand."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import Field

from catscans_lib import paths
from catscans_lib.datasets import layouts, medmnist
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.errors import InputError, Strict, validated
from catscans_lib.images.listing import Listing, read_csv

if TYPE_CHECKING:
    import pandas as pd

SETTLED_NS = (
    2 * 10**9
)  # a folder that has changed less long ago may change again within one tick of its file system's clock
NAME = r"[a-z][a-z0-9_]*"
Text = Annotated[str, Field(min_length=1)]


class OwnCard(Strict):
    """What a card says.

    `form` is "folder" (``<class>/*`` or ``<split>/<class>/*``), "table" (a CSV) or "arrays" (MedMNIST's ``.npz``); `place`
    is where it lies, absolute or below DATA. A table's columns are named; its paths are from the table on, or from `image_dir`
    beside it, and get the `suffix` (".jpg") where they have none; a folder's groups come out of the file names by
    `group_pattern`; `class_names` are those of the labels 0, 1, ... of arrays. A selection of another dataset under the same
    image ids says so with `part_of`.
    """

    title: Text
    form: Literal["folder", "table", "arrays"]
    place: Text
    path_column: Text = "path"
    label_column: Text = "label"
    group_column: Text | None = None
    split_column: Text | None = None
    image_dir: Text | None = None
    suffix: Text | None = None
    group_pattern: Text | None = None
    class_names: list[str] = Field(default_factory=list)
    group: Text | None = None
    modality: Text = "own images"
    licence: Text = "not stated"
    url: str = ""
    n_per_class: dict[str, int] = Field(default_factory=dict)
    part_of: Text | None = None

    def read(self, data_dir: Path) -> Listing:
        """List the images; paths are below the folder that the card names, or in which its file lies."""
        place = data_dir / self.place
        if not (place.is_dir() if self.form == "folder" else place.is_file()):
            kind = "folder" if self.form == "folder" else "file"
            raise InputError(f"No {kind} '{place}', which the card of '{self.title}' names. Correct its place.")
        if self.form == "arrays":
            return medmnist.from_npz(place, self.class_names)
        if self.form == "table":
            return layouts.from_table(self._table(place), place.parent, place)
        group = layouts.by_pattern(self.group_pattern) if self.group_pattern else None
        return layouts.from_folder(place, place, group=group)

    def _table(self, place: Path) -> pd.DataFrame:
        columns = {"path": self.path_column, "label": self.label_column}
        columns |= {"group": self.group_column} if self.group_column else {}
        columns |= {"split": self.split_column} if self.split_column else {}
        table = read_csv(
            place, list(columns.values()), "Name its columns: --path-column and so on; in a card path_column and so on."
        )
        table = table[list(columns.values())].set_axis(list(columns), axis=1)
        paths_below = [
            (Path(self.image_dir or "") / (path.strip() + (self.suffix or ""))).as_posix() for path in table["path"]
        ]
        return table.assign(path=paths_below)


def form_of(place: Path) -> str:
    """Return the `form` of what lies somewhere; InputError where it is none of those known."""
    if place.is_dir():
        return "folder"
    forms = {".csv": "table", ".npz": "arrays"}
    if not place.is_file() or place.suffix.lower() not in forms:
        got = f"'{place}' is no such thing" if place.exists() else f"There is no '{place}'"
        raise InputError(f"{got}. Give a folder with a folder for each class, a .csv with path and label, or an .npz.")
    return forms[place.suffix.lower()]


def names() -> tuple[str, ...]:
    """Return the names there are cards for, sorted; none outside a project's folder."""
    try:
        folder = paths.own_cards_dir()
        changed = folder.stat().st_mtime_ns
    except (InputError, FileNotFoundError):
        return ()
    is_settled = time.time_ns() - changed > SETTLED_NS
    return _listed(folder, changed) if is_settled else _listed.__wrapped__(folder, changed)


@lru_cache(maxsize=8)
def _listed(folder: Path, changed: int) -> tuple[str, ...]:
    """List a folder once as long as nothing comes or goes there: a grid of thousands of runs asks for every one."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml") if re.fullmatch(NAME, path.stem)))


def text(name: str) -> str:
    """Return a card as it is written."""
    return (paths.own_cards_dir() / f"{name}.yaml").read_text(encoding="utf-8")


def load(name: str) -> OwnCard:
    """Return a card's content; InputError that names the place where it is faulty."""
    return _read(text(name), f"params/datasets/{name}.yaml")


@lru_cache(maxsize=1024)
def _read(written: str, where: str) -> OwnCard:
    try:
        return validated(OwnCard, yaml.safe_load(written), where)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not readable as YAML: {error}") from None


def card(name: str) -> DatasetInfo:
    """Return a card in the form of the published ones."""
    own = load(name)
    return DatasetInfo(
        name=name,
        title=own.title,
        modality=own.modality,
        classes=(),
        n_images=sum(own.n_per_class.values()) or None,
        group=own.group,
        licence=own.licence,
        url=own.url,
        citation="",
        read=own.read,
        n_per_class=own.n_per_class,
        is_below_data_dir=not Path(own.place).is_absolute(),
        part_of=own.part_of,
    )


def add(name: str, own: OwnCard, listing: Listing, *, taken: Collection[str]) -> Path:
    """Write the card of a dataset, with the images of each class that were found; return its path.

    Raises
    ------
    InputError
        If the name cannot be one or is among those `taken`, or fewer than two classes have an image.
    """
    path = paths.own_cards_dir() / f"{name}.yaml"
    if not re.fullmatch(NAME, name) or name == "none":
        raise InputError(
            f"'{name}' cannot be the name of a dataset: small letters, digits and _ are known, a letter first."
        )
    if name in taken:
        raise InputError(f"There is a dataset '{name}' already. Take another name.")
    if len(listing.classes) < 2:
        raise InputError(f"'{own.place}' has one class, {listing.classes[0]}; at least two are needed.")
    counts = listing.images["label"].value_counts()
    content = own.model_copy(update={"n_per_class": {label: int(counts[label]) for label in listing.classes}})
    path.parent.mkdir(parents=True, exist_ok=True)
    written = yaml.safe_dump(content.model_dump(exclude_defaults=True), sort_keys=False, allow_unicode=True)
    path.write_text(
        f"# A dataset of one's own. n_per_class: images found when it was added.\n{written}", encoding="utf-8"
    )
    return path
