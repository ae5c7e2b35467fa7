"""The card of a dataset: what it is, its licence, its published counts, where it comes from and how it is read."""

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from catscans_lib.images.listing import Listing


@dataclass(frozen=True)
class Download:
    """One published file."""

    url: str  #: http or https
    checksum: str | None = None  #: "md5:..." or "sha256:..."; None if the publisher gives none
    n_bytes: int | None = None  #: exact size as published; the only check where there is no checksum
    folder: str = ""  #: folder below the data folder that the file is saved to or unpacked in
    unpack: bool = False  #: whether to unpack the zip or tar and delete it, even if the user put it there
    n_bytes_unpacked: int | None = None  #: limit for unpacking; None: 20 times the archive, at least 1 GiB
    name: str = ""  #: file name, if the URL does not end in it

    @property
    def file_name(self) -> str:
        """File name on disk and on a mirror."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


@dataclass(frozen=True)
class DatasetInfo:
    """Card of one dataset; its counts are those of the complete published dataset."""

    name: str  #: key in code and file names
    title: str  #: printed name
    modality: str  #: what the images show
    licence: str  #: terms of use
    url: str  #: home page
    citation: str  #: key in ``book/references.bib``
    reader: str  #: function of this room, of card and data folder, that lists the images: "layouts.read_folders"
    places: tuple[str, ...] = ()  #: folders below the data folder; the first that exists is read
    reading: Mapping[str, Any] = field(default_factory=dict)  #: what else the reader must know
    classes: tuple[str, ...] = ()  #: class names in their fixed order; empty if the folder names are the classes
    group: str | None = None  #: what must not be split between folds, such as patient; None if it is not recorded
    n_classes: int | None = None  #: published number of classes, if neither `classes` nor `n_per_class` lists them
    n_per_class: Mapping[str, int] = field(default_factory=dict)  #: published images of each class; empty if unknown
    n_images: int | None = None  #: images in the complete dataset; default: the sum of `n_per_class`, None if unknown
    downloads: tuple[Download, ...] = ()  #: published files; empty if they need a login
    by_hand: str = ""  #: steps for the user if there is nothing to download, one a line
    is_below_data_dir: bool = True  #: whether the dataset lies below the folder that DATA names
    #: name of the larger dataset whose image ids and groups it keeps; the same id is the same image in any size or format
    part_of: str | None = None
    keeps_ids: bool = True  #: False: made from `part_of` under other ids, so that images of both cannot be told apart
    #: by the name of another dataset: which of its classes, one or several, each class of this one corresponds to
    labels_as: Mapping[str, Mapping[str, str | Sequence[str]]] = field(default_factory=dict)
    #: patterns, below the data folder, of all files and folders that are read; a change there ingests the dataset again
    files: tuple[str, ...] = ()
    caveat: str = ""  #: known shortcuts and faults, shown wherever the dataset is a target; whole sentences
    groups_from: str = ""  #: how to get the groups, where the dataset is refused as a target without them

    def __post_init__(self) -> None:
        if self.n_images is None and self.n_per_class:
            object.__setattr__(self, "n_images", sum(self.n_per_class.values()))

    def read(self, data_dir: Path, size_px: int | None = None) -> Listing:
        """List the images, of files with at least `size_px` where there are several; InputError without images."""
        card = self if size_px is None else replace(self, reading={**self.reading, "size_px": size_px})
        return pkgutil.resolve_name(f"{__package__}.{self.reader}")(card, data_dir)

    def class_names(self) -> tuple[str, ...]:
        """Return the classes in their order; empty if only the folders tell them."""
        return self.classes or tuple(self.n_per_class)

    def count_classes(self) -> int | None:
        """Return the published number of classes; None if it is unknown."""
        return self.n_classes or len(self.classes or self.n_per_class) or None


@cache
def published() -> dict[str, DatasetInfo]:
    """Return the cards of the published datasets by name, as `published.yaml` has them."""
    text = Path(__file__).with_name("published.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    cards = {}
    for name, row in yaml.load(text, loader).items():
        row = {"classes": row.get("n_per_class", ()), "files": row["places"], "downloads": ()} | row
        row |= {key: tuple(row[key]) for key in ("classes", "places", "files")}
        cards[name] = DatasetInfo(name=name, **row | {"downloads": tuple(Download(**one) for one in row["downloads"])})
    return cards
