"""Recommendation of a pretraining source for a user's own images.

In: a folder, CSV or .npz of images, and the results of a finished profile. Out: a ranking of sources with intervals.
Nothing is trained. Here is the settings record of the notebook `recommend`; `model` calibrates and ranks, `report` writes.
"""

from typing import Annotated, Literal

from pydantic import Field

from catscans_lib.errors import Strict


class Recommend(Strict):
    """Parameters of `recommend.ipynb`, which belongs to no grid; the same as the options of `catscans recommend`.

    `place` (a folder with one folder per class, a CSV or an .npz) is absolute or relative to the project. `weights` are files
    that are ranked as further sources. The columns are those of a CSV; the pattern is for file names in a folder.
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
