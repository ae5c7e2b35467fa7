"""Settings of the notebook `recommend`."""

from typing import Annotated, Literal

from pydantic import Field

from catscans_lib.errors import Strict


class Recommend(Strict):
    """Parameters of `recommend.ipynb`, which is in no grid: advice on one's own images, as `catscans recommend` gives it.

    `place` is a folder with a folder for each class, a CSV or an .npz, absolute or below the project's folder; `weights` are
    files that are ranked as further sources; columns are a CSV's, the pattern is for the names of a folder's files.
    """

    profile: str
    place: Annotated[str, Field(min_length=1)]
    mode: Literal["fine_tune", "linear_probe"] | None = None
    measures: Annotated[list[str], Field(min_length=1)] | None = None
    weights: list[str] = Field(default_factory=list)
    n_images: Annotated[int, Field(ge=20)] = 500
    seed: int = 0
    path_column: str = "path"
    label_column: str = "label"
    group_column: str | None = None
    group_pattern: str | None = None
