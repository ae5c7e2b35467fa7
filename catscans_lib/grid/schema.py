"""What a file in `params/` may say: one strict record per block.

Blocks that are plain mappings are checked later, as parameters of the runs made from them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from catscans_lib.datasets import Size
from catscans_lib.errors import Count, Seed, Strict
from catscans_lib.evaluation import Test
from catscans_lib.images.pixels import Resize
from catscans_lib.transferability import Statistic

Keys = Annotated[list[str], Field(min_length=1)]
Seeds = Annotated[list[Seed], Field(min_length=1)]
Changes = dict[str, dict[str, Any] | None]  # dataset key -> parameters that differ from the defaults


class Folds(Strict):
    """How many held-out parts a target is split into, and the seed of the split.

    With the published split, the test images are the only held-out part, and all others are trained on.
    """

    n_folds: Annotated[int, Field(ge=2)]
    seed: Seed
    split: Literal["drawn", "published"] = "drawn"


class DatasetRow(Strict):
    """How a dataset's images are stored and how many of them the demo world generates (None: native files).

    `size_px` is their side (pixels). `resize` makes them square: "squash" distorts them, "crop" cuts off both ends of the
    longer side, "pad" adds black bars along it. With `strict`, ingest fails if any image is left out or read in part.
    """

    size_px: Size
    resize: Resize = "squash"
    strict: bool = False
    n_images: Count | None = None


class PretrainBlock(Strict):
    """Defaults for every source, and the changes of each (`seeds`, too): a network per seed, the first for the base runs."""

    seeds: Seeds
    defaults: dict[str, Any]
    sources: Changes


class TransferBlock(Strict):
    """How every source is used, and the changes of each target, the same for all its sources.

    The row of a target may list `n_images` or `n_per_class`: further transfers with fewer training images. `axes_sources` take
    part in these and in further seeds of pretraining, for the targets `seed_targets` (None: all). With `fraction`, a balanced
    part of the pairs of source and target is run (`grid.fraction`), and the baseline of every target.
    """

    modes: list[str]
    seeds: Seeds
    include_none: bool
    long_epochs: int | None
    defaults: dict[str, Any]
    targets: Changes
    axes_sources: Keys | None = None
    seed_targets: Keys | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0


class Backbone(Strict):
    """A further network: its sources and targets (None: all), `weights` by source instead of training, changed parameters."""

    sources: Keys | None = None
    targets: Keys | None = None
    weights: dict[str, str] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    transfer: dict[str, Any] = Field(default_factory=dict)


class External(Strict):
    """Another collection `test`, on which the networks trained on the target `train` are evaluated."""

    train: str
    test: str


class Primary(Strict):
    """The one comparison that is declared before any result is known; every other one is exploratory.

    `mode` is how a source is used, `test` compares two sources of a target, and differences of AUC up to `margin` count as
    none. `measure` should predict the sources' AUCs; `statistic` is their agreement over all targets.
    """

    mode: Literal["fine_tune", "linear_probe"]
    measure: str
    statistic: Statistic
    test: Test
    margin: Annotated[float, Field(ge=0, lt=1)]


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
    backbones: dict[str, Backbone] = Field(default_factory=dict)
    primary: Primary
    external: list[External] = Field(default_factory=list)
    evaluate: dict[str, Any]
    feature_maps: dict[str, Any]
    similarity: dict[str, Any] | None = None
    transferability: dict[str, Any] = Field(default_factory=dict)
    resources: dict[str, Resources] = Field(default_factory=dict)
