"""Settings of the notebooks `ingest` and `overlaps`, and the field types for dataset keys and image sizes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from catscans_lib import datasets
from catscans_lib.errors import Count, Strict, unknown


def _known(key: str) -> str:
    if key != "none" and key not in datasets.known():
        raise unknown("dataset", key, [*datasets.known(), "none"])
    return key


Key = Annotated[str, AfterValidator(_known)]  # of a dataset, or "none"
Size = Annotated[int, Field(ge=8, le=1024)]  # side of the stored images (pixels)


class Ingest(Strict):
    """Parameters of `ingest.ipynb`."""

    profile: str
    dataset: Key
    data: Literal["demo", "native"]
    size_px: Size
    n_images: Count | None
    n_folds: Annotated[int, Field(ge=2)] | None
    fold_seed: int
    max_images: Count | None


class Overlaps(Strict):
    """Parameters of `overlaps.ipynb`."""

    profile: str
    datasets: Annotated[list[str], Field(min_length=1)]
