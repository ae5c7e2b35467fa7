"""The card of a dataset: what it is, its licence, its published counts, where it comes from and how it is read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from catscans_lib.images.listing import Listing

IMAGENET_TERMS = "ImageNet terms: non-commercial research and education"


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes
    ----------
    url : str
        http or https.
    checksum : str or None
        "md5:..." or "sha256:..." as published; None if the publisher gives none.
    n_bytes : int or None
        Exact size as published; the only check where there is no checksum.
    folder : str
        Folder below the data folder that the file is saved to or unpacked in.
    unpack : bool
        Whether to unpack the zip or tar; the archive is then deleted, even one that the user put there.
    n_bytes_unpacked : int or None
        Limit for unpacking; None: 20 times the archive, at least 1 GiB.
    name : str
        File name, if the URL does not end in it.
    """

    url: str
    checksum: str | None = None
    n_bytes: int | None = None
    folder: str = ""
    unpack: bool = False
    n_bytes_unpacked: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.checksum and not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", self.checksum):
            raise ValueError(f"Checksum '{self.checksum}' is not 'md5:...' or 'sha256:...' in lower-case hexadecimals.")
        if not re.fullmatch(r"[^/\\\0.][^/\\\0]*", self.file_name):
            raise ValueError(f"'{self.url}' does not end in a file name. Set `name`.")

    @property
    def file_name(self) -> str:
        """File name on disk and on a mirror."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


@dataclass(frozen=True)
class DatasetInfo:
    """Card of one dataset; its counts are those of the complete published dataset.

    Attributes
    ----------
    name, title, modality : str
        Key in code and file names; printed name; what the images show.
    classes : tuple of str
        Class names in their fixed order; empty if the folder names are the classes.
    n_images : int or None
        Images in the complete dataset, as published or as used in the study; None if unknown.
    group : str or None
        What must not be split between folds, such as patient; None if the dataset does not record it.
    licence, url, citation : str
        Terms of use, home page, key in ``book/references.bib``.
    read : callable
        ``read(data_dir) -> Listing`` for the published layout.
    n_per_class : mapping of str to int
        Published number of images of each class; empty if unknown.
    downloads : tuple of Download
        Published files; empty if they need a login.
    by_hand : str
        Steps for the user if there is nothing to download, one a line.
    is_below_data_dir : bool
        Whether the dataset lies below the folder that DATA names.
    part_of : str or None
        Name of the larger dataset whose image ids it keeps. Images with the same id in two parts are the same image,
        even if their files differ because of size or format.
    """

    name: str
    title: str
    modality: str
    classes: tuple[str, ...]
    n_images: int | None
    group: str | None
    licence: str
    url: str
    citation: str
    read: Callable[[Path], Listing]
    n_per_class: Mapping[str, int] = field(default_factory=dict)
    downloads: tuple[Download, ...] = ()
    by_hand: str = ""
    is_below_data_dir: bool = True
    part_of: str | None = None
