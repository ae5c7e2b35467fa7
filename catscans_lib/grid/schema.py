"""What a file in `params/` may say: one strict record per block.

Blocks that are plain mappings are checked later, as parameters of the runs made from them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from catscans_lib.datasets import Size
from catscans_lib.errors import Count, Strict
from catscans_lib.evaluation import Evaluate
from catscans_lib.experiment import Pretrain, Transfer
from catscans_lib.grid.overrides import Blocks
from catscans_lib.transferability import Transferability

Changes = dict[str, dict[str, Any] | None]  # dataset key -> parameters that differ from the defaults


class Folds(Strict):
    """How many held-out parts a target is split into, and the seed of the split."""

    n_folds: Annotated[int, Field(ge=2)]
    seed: int


class DatasetRow(Strict):
    """Side of a dataset's stored images (pixels); number of images that the demo world generates (None: native files)."""

    size_px: Size
    n_images: Count | None = None


class PretrainBlock(Strict):
    """Defaults for every source, and the changes of each."""

    seed: int
    defaults: dict[str, Any]
    sources: Changes


class TransferBlock(Strict):
    """How every source is used, and the changes of each target, the same for all its sources."""

    modes: list[str]
    seeds: list[int]
    include_none: bool
    long_epochs: int | None
    long_learning_rate: float | None
    defaults: dict[str, Any]
    targets: Changes


class RecordsBlock(Strict):
    """Sacred's file observer records every run; `neptune` also converts its records for Neptune."""

    observers: Annotated[list[Literal["file", "neptune"]], Field(min_length=1)] = Field(
        default_factory=lambda: ["file"]
    )


class Resources(Strict):
    """What one run asks for: cores (None: all), memory (MB), wall time (minutes, None: no limit), GPUs."""

    threads: Count | None = None
    memory_mb: Count = 2000
    minutes: Count | None = None
    gpus: Annotated[int, Field(ge=0)] = 0


class Profile(Strict):
    """The content of a file in `params/`: one complete grid."""

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
    feature_maps: dict[str, Any]
    similarity: dict[str, Any] | None = None
    transferability: dict[str, Any] = Field(default_factory=dict)
    records: RecordsBlock = RecordsBlock()
    resources: dict[str, Resources] = Field(default_factory=dict)


BLOCKS: Blocks = {  # where --set adds a name that the file lacks
    (): Profile,
    ("pretrain", "defaults"): Pretrain,
    ("transfer", "defaults"): Transfer,
    ("evaluate",): Evaluate,
    ("transferability",): Transferability,
}
