"""The datasets of the study: cards, and readers that list the images of a native layout."""

from pathlib import Path

from catscans_lib.datasets.cards import DatasetInfo, get, known
from catscans_lib.datasets.listing import Listing

__all__ = ["DatasetInfo", "Listing", "get", "known", "read", "titles"]


def titles() -> dict[str, str]:
    """Return the printed title of every dataset key, and of `none`."""
    return {name: get(name).title for name in known()} | {"none": "random weights"}


def read(name: str, data_dir: Path) -> Listing:
    """List the images of a dataset that lies in its native layout below `data_dir`; nothing is decoded.

    Raises
    ------
    InputError
        If the dataset is not known, its folder is missing, or no image is found.
    """
    return get(name).read(Path(data_dir))
