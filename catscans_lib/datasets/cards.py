"""The card of a dataset: what it is, whose it is, how much of it was published, where it comes from and how it is read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from catscans_lib.images.listing import Listing


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes
    ----------
    url : str
        Its http or https address.
    checksum : str or None
        "md5:..." or "sha256:..." as published; None where the publisher gives none.
    n_bytes : int or None
        Its exact size as published, which is all there is to check where there is no checksum.
    folder : str
        Folder below the data folder where it goes, or is unpacked.
    unpack : bool
        Whether it is a zip or a tar to be unpacked; the archive is deleted then, also one put there by hand.
    n_bytes_unpacked : int or None
        Bound on what unpacking may write; None: 20 times the archive, at least 1 GiB.
    name : str
        Its file name where the address does not end in it.
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
            raise ValueError(f"No checksum 'md5:...' or 'sha256:...' in lower case: '{self.checksum}'.")
        if not re.fullmatch(r"[^/\\\0.][^/\\\0]*", self.file_name):
            raise ValueError(f"No file name in '{self.url}'. Give one.")

    @property
    def file_name(self) -> str:
        """The name it has on the disk and on a mirror."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


@dataclass(frozen=True)
class DatasetInfo:
    """Card of one dataset; counts are those of the complete dataset, not of what lies on a disk.

    Attributes
    ----------
    name, title, modality : str
        Key in code and file names; printed name; what kind of picture.
    classes : tuple of str
        Class names in their fixed order; empty where the folder names are the classes.
    n_images : int or None
        Images in the complete dataset, as published or as used in the study; None where nobody has stated it.
    group : str or None
        Unit whose images must share a fold; None where the dataset does not record one.
    licence, url, citation : str
        Terms of use, home page, key in ``book/references.bib`` of the work that describes it.
    read : callable
        ``read(data_dir) -> Listing`` for the native layout.
    n_per_class : mapping of str to int
        Published number of images of each class; empty where it was not published.
    downloads : tuple of Download
        The published files; empty where they lie behind a login.
    by_hand : str
        What a user has to do where there is nothing to download, one step a line.
    is_below_data_dir : bool
        Whether it lies below the folder that DATA names.
    part_of : str or None
        Name of the larger dataset whose image ids it keeps. Images of two of its parts with the same id are the same image,
        also where one was stored in another size or format, so that their files differ.
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


IMAGENET_TERMS = "ImageNet terms: non-commercial research and education"
