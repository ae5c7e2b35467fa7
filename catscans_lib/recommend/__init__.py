"""Recommendation of a pretraining source for a user's own images.

In: a folder, CSV or .npz of images, candidates (networks, weights, features), what is known of sources on other targets. Out: a
ranking with intervals. Nothing is trained. `candidates` says what is ranked, `known` and `model` what is known, `report` writes.
"""

from typing import Annotated, Literal

from pydantic import Field

from catscans_lib.errors import Seed, Strict


class Recommend(Strict):
    """Parameters of `recommend.ipynb`, which belongs to no grid; the same as the options of `catscans recommend`.

    `place` (a folder with one folder per class, a CSV or an .npz) is absolute or relative to the project; `profile` is only where
    the notebook saves. Candidates: `models` (keras:NETWORK), `weights` (FILE or NETWORK=FILE), `features` (NAME=FILE) and the
    networks of the finished profiles `networks_of`; without any, networks with ImageNet weights. `kinds` (NAME=FAMILY) says what
    a candidate was trained on. The columns and `image_dir` are those of a CSV; the pattern is for file names in a folder.
    """

    profile: str
    place: Annotated[str, Field(min_length=1)]
    models: list[str] = Field(default_factory=list)
    weights: list[str] = Field(default_factory=list)
    features: list[str] = Field(default_factory=list)
    networks_of: list[str] = Field(default_factory=list)
    kinds: list[str] = Field(default_factory=list)
    mode: Literal["fine_tune", "linear_probe"] | None = None
    n_images: Annotated[int, Field(ge=20)] = 500
    size_px: Annotated[int, Field(ge=8, le=1024)] = 224
    seed: Seed = 0
    path_column: str = "path"
    label_column: str = "label"
    image_dir: list[str] = Field(default_factory=list)
    multi_label: str | None = None
    group_column: str | None = None
    group_pattern: str | None = None
