"""The datasets: those of the study, of the thesis before it, and a user's own; cards, and readers of their layouts."""

from collections.abc import Iterable
from pathlib import Path

from catscans_lib.datasets import (
    chest,
    dtd,
    imagenet,
    isic2018,
    kimia960,
    own,
    sti10,
    stl10,
    thesis,
)
from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.datasets.pcam import cards
from catscans_lib.errors import unknown
from catscans_lib.images.listing import Listing

__all__ = ["PUBLISHED", "DatasetInfo", "Listing", "get", "known", "parts_of_the_same", "read", "titles"]

_STUDY = (
    imagenet.CARD, stl10.CARD, sti10.CARD, dtd.CARD, isic2018.CARD, chest.CARD, cards.MIDDLE, cards.SMALL, kimia960.CARD,
)  # fmt: skip
PUBLISHED = {card.name: card for card in (*_STUDY, *thesis.CARDS)}  # in the order of the study's tables


def known() -> tuple[str, ...]:
    """Return the dataset keys: those of the study in the order of its tables, of the thesis, and the user's own."""
    return (*PUBLISHED, *own.names())


def get(name: str) -> DatasetInfo:
    """Return the card of a dataset; InputError when the key is not known, or a card of one's own is faulty."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    if name in own.names():
        return own.card(name)
    raise unknown("dataset", name, known())


def titles() -> dict[str, str]:
    """Return the printed title of every dataset key, and of `none`."""
    return {name: get(name).title for name in known()} | {"none": "random weights"}


def parts_of_the_same(name: str, others: Iterable[str]) -> list[str]:
    """Return those of the other datasets that share image ids with a dataset: both are parts of one, or one of the other."""
    parent = get(name).part_of or name
    return [other for other in others if (get(other).part_of or other) == parent]


def read(name: str, data_dir: Path) -> Listing:
    """List the images of a dataset that lies in its native layout below `data_dir`; nothing is decoded.

    Raises
    ------
    InputError
        If the dataset is not known, its folder is missing, or no image is found.
    """
    return get(name).read(Path(data_dir))
