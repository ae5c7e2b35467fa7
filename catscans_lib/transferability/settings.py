"""Settings of the notebooks `similarity` and `transferability`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from catscans_lib.datasets.settings import Key
from catscans_lib.errors import Strict
from catscans_lib.evaluation.settings import Average


class Similarity(Strict):
    """Parameters of `similarity.ipynb`.

    Images are seen by the network of the source `probe`, about `n_images` of each dataset, drawn anew for each of `seeds`;
    `measures` None takes all of `similarity.registry`; `answers` is a CSV with what raters said of each dataset.
    """

    profile: str
    target: Key
    sources: Annotated[list[str], Field(min_length=1)]
    probe: str
    n_images: Annotated[int, Field(ge=20)]
    seeds: Annotated[list[int], Field(min_length=1)]
    measures: Annotated[list[str], Field(min_length=1)] | None = None
    answers: str | None = None


class Transferability(Strict):
    """Parameters of `transferability.ipynb`: how AUCs are averaged; draws and permutations behind intervals and p, their seed."""

    profile: str
    average: Average
    n_draws: Annotated[int, Field(ge=100)] = 2000
    draw_seed: int = 0


@dataclass(frozen=True)
class Study:
    """What a profile tells about the networks and images of its sources.

    `probe` is the source whose network sees all images; `sizes_px` is the side of the stored images of each dataset;
    `targets` are those whose AUCs are known.
    """

    profile: str
    backbone: str
    probe: str
    sizes_px: Mapping[str, int]
    targets: tuple[str, ...]
