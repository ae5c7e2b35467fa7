"""Cards and readers of the published datasets, of the user's own images, and of the generated demo datasets.

In: a data folder with datasets as downloaded. Out: listings of their images; `ingest` also writes image stores and folds.
Nothing here downloads or trains.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from catscans_lib.datasets import own
from catscans_lib.datasets.cards import DatasetInfo, published
from catscans_lib.errors import Count, Seed, Strict, unknown
from catscans_lib.images.listing import Listing
from catscans_lib.images.pixels import Resize


def known() -> tuple[str, ...]:
    """Return all dataset keys: those of the study in the order of its tables, of the thesis, others, and the user's own."""
    return (*published(), *own.names())


def get(name: str) -> DatasetInfo:
    """Return the card of a dataset; InputError if the key is unknown or an own card is invalid."""
    if name in published():
        return published()[name]
    if own.has(name):
        return own.card(name)
    raise unknown("dataset", name, known())


def titles() -> dict[str, str]:
    """Return the printed title of every dataset key, and of "none"."""
    return {name: get(name).title for name in known()} | {"none": "random weights"}


def parts_of_the_same(name: str, others: Iterable[str]) -> list[str]:
    """Return the `others` of common origin with a dataset: parts of one larger dataset, or one a part of the other."""
    return [other for other in others if origin(other) == origin(name)]


def origin(name: str) -> str:
    """Return the largest dataset that a dataset is a part of, or its own name."""
    seen = {name}
    while name in known() and (parent := get(name).part_of) and parent not in seen:
        name = parent
        seen.add(name)
    return name


def separable(name: str, other: str) -> bool:
    """Return whether images that two datasets share can be found by their ids or files."""
    return not parts_of_the_same(name, [other]) or (get(name).keeps_ids and get(other).keeps_ids)


def read(name: str, data_dir: Path, size_px: int | None = None) -> Listing:
    """Return `DatasetInfo.read` of a dataset below `data_dir`."""
    return get(name).read(Path(data_dir), size_px)


def _known(key: str) -> str:
    if key != "none" and key not in published() and not own.has(key):
        raise unknown("dataset", key, [*known(), "none"])
    return key


Key = Annotated[str, AfterValidator(_known)]  # of a dataset, or "none"
Size = Annotated[int, Field(ge=8, le=1024)]  # side of the stored images (pixels)


class Ingest(Strict):
    """Parameters of `ingest.ipynb`."""

    profile: str
    dataset: Key
    data: Literal["demo", "native"]
    size_px: Size
    resize: Resize = "squash"
    strict: bool = False
    n_images: Count | None
    n_folds: Annotated[int, Field(ge=2)] | None
    fold_seed: Seed
    max_images: Count | None
    split: Literal["drawn", "published"] = "drawn"


class Overlaps(Strict):
    """Parameters of `overlaps.ipynb`."""

    profile: str
    datasets: Annotated[list[str], Field(min_length=1)]
