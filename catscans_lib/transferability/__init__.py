"""Whether measures of similarity predict transfer: their values for every source, and how these relate to the AUCs.

In: image stores and pretrained networks of a profile, AUCs. Out: tables of similarity, ranks and associations.
No network is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from catscans_lib.datasets import Key
from catscans_lib.errors import Seed, Strict
from catscans_lib.evaluation import Average

Statistic = Literal["pearson", "spearman", "kendall", "regret", "accuracy"]  # see `statistics.ranks`


class Similarity(Strict):
    """Parameters of `similarity.ipynb`.

    Where two sets of images are compared, the network of the source `probe` sees both. About `n_images` of each dataset are
    drawn for each of `seeds`. `measures` None: all of `similarity.registry`; `primary`: the one that is shown first.
    """

    profile: str
    target: Key
    sources: Annotated[list[str], Field(min_length=1)]
    probe: str
    n_images: Annotated[int, Field(ge=20)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    measures: Annotated[list[str], Field(min_length=1)] | None = None
    primary: str


class Transferability(Strict):
    """Parameters of `transferability.ipynb`; `mode`, `measure` and `statistic` are declared in advance (block `primary`)."""

    profile: str
    mode: str
    measure: str
    statistic: Statistic
    average: Average
    n_draws: Annotated[int, Field(ge=100)] = 2000
    draw_seed: Seed = 0


@dataclass(frozen=True)
class Study:
    """The settings of a profile that measures and advice need.

    `sources` have a finished network, that of `probe` sees all images, `targets` have known AUCs; `sizes_px` are those stored.
    """

    profile: str
    backbone: str
    probe: str
    sizes_px: Mapping[str, int]
    targets: tuple[str, ...]
    titles: Mapping[str, str]
    is_demo: bool = False
    sources: tuple[str, ...] = ()
