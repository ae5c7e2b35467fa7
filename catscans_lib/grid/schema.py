"""What a file in `params/` may say: one strict record per block of it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from catscans_lib.datasets.settings import Size
from catscans_lib.errors import Count, Strict
from catscans_lib.grid import overrides, steps


class Folds(Strict):
    """How a target is cut into held-out parts."""

    n_folds: Annotated[int, Field(ge=2)]
    seed: int


class DatasetRow(Strict):
    """Image size (pixels) of a dataset; how many images the demo world makes of it (None: native files)."""

    size_px: Size
    n_images: Count | None = None


class PretrainBlock(Strict):
    """Defaults for every source, and what differs for one (`sources`: key -> changed keys)."""

    seed: int
    defaults: dict[str, Any]
    sources: dict[str, dict[str, Any] | None]


class TransferBlock(Strict):
    """How every source is used, and one row of settings per target, the same for all its sources."""

    modes: list[str]
    seeds: list[int]
    include_none: bool
    long_epochs: int | None
    long_learning_rate: float | None
    defaults: dict[str, Any]
    targets: dict[str, dict[str, Any] | None]


class FeatureMapsBlock(Strict):
    """Layer (None: the first convolution), numbers of maps, examples and images compared, and the seed of these images."""

    layer: str | None
    n_maps: int
    n_examples: int = 3
    n_cka_images: int = 200
    seed: int = 0


class SimilarityBlock(Strict):
    """The source whose network sees all images, how many of each dataset, the seeds of their draws, and measures (None: all)."""

    probe: str
    n_images: int
    seeds: list[int]
    measures: list[str] | None = None
    answers: str | None = None


class RecordsBlock(Strict):
    """Which of Sacred's observers hear of every run; addresses and tokens come from the environment, never from here."""

    observers: Annotated[list[Literal["file", "mongo", "sql", "neptune"]], Field(min_length=1)] = Field(
        default_factory=lambda: ["file"]
    )


class Resources(Strict):
    """What one run asks for: cores (None: the machine's), memory (MB), wall time (minutes, None: no limit), GPUs."""

    threads: Count | None = None
    memory_mb: Count = 2000
    minutes: Count | None = None
    gpus: Annotated[int, Field(ge=0)] = 0


class Profile(Strict):
    """One complete grid: the content of a file in `params/`."""

    title: str
    data: Literal["demo", "native"]
    backbone: str
    precision: str
    threads: Count | None = None
    deterministic: bool = True
    folds: Folds
    datasets: dict[str, DatasetRow]
    pretrain: PretrainBlock
    transfer: TransferBlock
    evaluate: dict[str, Any]
    feature_maps: FeatureMapsBlock
    similarity: SimilarityBlock | None = None
    transferability: dict[str, Any] = Field(default_factory=dict)
    records: RecordsBlock = RecordsBlock()
    resources: dict[str, Resources] = Field(default_factory=dict)


BLOCKS: dict[overrides.Place, type[BaseModel]] = {  # where --set puts a name that the file does not have
    (): Profile,
    ("pretrain", "defaults"): steps.Pretrain,
    ("transfer", "defaults"): steps.Transfer,
    ("evaluate",): steps.Evaluate,
    ("transferability",): steps.Transferability,
}
