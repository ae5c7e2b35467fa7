"""Evaluate sources: AUCs, intervals, comparisons, stability; over numbers of images, pretraining seeds and networks.

In: saved predictions and learning curves of all transfer runs. Out: tidy tables.
"""

from typing import Annotated, Literal

from pydantic import Field

from catscans_lib.errors import Count, Seed, Strict

Average = Literal["weighted", "macro"]  # of one-vs-rest AUCs of more than two classes
Test = Literal["nadeau_bengio", "bootstrap"]  # of two sources, see `inference.comparisons`


class Backbones(Strict):
    """Parameters of `backbones.ipynb`."""

    profile: str
    average: Average


class Variance(Backbones):
    """Parameters of `variance.ipynb`."""

    n_draws: Count = 2000
    draw_seed: Seed = 0


class Sizes(Variance):
    """Parameters of `sizes.ipynb`; differences of AUC up to `margin` count as none."""

    margin: Annotated[float, Field(ge=0, lt=1)]


class Evaluate(Sizes):
    """Parameters of `evaluate.ipynb`; `test` is the primary one."""

    test: Test = "nadeau_bengio"


class Pair(Strict):
    """A target and another collection; `labels_as` has the classes of the target that each class outside corresponds to."""

    train: str
    test: str
    labels_as: dict[str, list[str]]


class External(Strict):
    """Parameters of `external.ipynb`; `sources` are those that were trained here, whose images are known."""

    profile: str
    pairs: Annotated[list[Pair], Field(min_length=1)]
    sources: list[str]
    n_draws: Count = 2000
    draw_seed: Seed = 0
    margin: Annotated[float, Field(ge=0, lt=1)]


class Stability(Strict):
    """Parameters of `stability.ipynb`."""

    profile: str
