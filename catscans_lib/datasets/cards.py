"""The card of a dataset: what it is, whose it is, how much of it was published, where it comes from and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catscans_lib.datasets.listing import Listing
from catscans_lib.downloads import Download


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


IMAGENET_TERMS = "ImageNet terms: non-commercial research and education"
