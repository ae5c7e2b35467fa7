"""What each notebook can be told: one validated record per step, its fields the notebook's parameters.

A record refuses keys it does not know and text where a number belongs, so nothing starts on a misread file.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from catscans_lib import datasets, errors
from catscans_lib.errors import unknown
from catscans_lib.networks import registry

BACKBONES = tuple(registry.NETWORKS)
MODES = ("fine_tune", "linear_probe", "fine_tune_long")
Share = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=8, le=1024)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Average = Literal["weighted", "macro", "micro", "ovo_macro", "ovo_weighted"]  # of AUCs of more than two classes


class Strict(errors.Strict):
    """A record that takes only the keys, types and names of datasets and backbones that there are."""

    @field_validator("source", "target", "dataset", check_fields=False)
    @classmethod
    def _known_dataset(cls, key: str) -> str:
        if key != "none" and key not in datasets.known():
            raise unknown("dataset", key, [*datasets.known(), "none"])
        return key

    @field_validator("backbone", check_fields=False)
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        return registry.find(name).name

    @field_validator("size_px", check_fields=False)
    @classmethod
    def _large_enough(cls, size_px: int, others: ValidationInfo) -> int:
        if "backbone" in others.data:  # which stands before size_px
            registry.check_size(others.data["backbone"], size_px)
        return size_px


class Augmentation(Strict):
    """Random change of each training image: rotation (degrees), shift (share of the side), mirror image."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    shift: Share
    horizontal_flip: bool


class Training(Strict):
    """How a network is trained; the same record for pretraining and fine-tuning.

    With `other_learning_rates` every one of them and `learning_rate` is tried, and the inner validation images choose. With
    `patience`, training ends after so many epochs in which their loss has not fallen, and the best epoch is kept.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Rate
    other_learning_rates: list[Rate] = Field(default_factory=list)
    optimiser: Literal["adam", "adamw", "sgd"]
    weight_decay: Share = 0.0
    schedule: Literal["constant", "halve_after_20", "cosine"]
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    patience: Count | None = None
    dropout: Share
    class_weights: Literal["balanced", "none"]
    augmentation: Augmentation | None
    validation_share: Share
    threads: Count | None = None
    deterministic: bool = True

    @model_validator(mode="after")
    def _has_what_chooses(self) -> Self:
        if not self.validation_share and (self.other_learning_rates or self.patience):
            what = "patience" if self.patience else "other_learning_rates"
            raise ValueError(f"{what} needs inner validation images; set validation_share above 0")
        if self.weight_decay and self.optimiser != "adamw":
            raise ValueError(f"weight_decay {self.weight_decay} is for optimiser adamw; it is '{self.optimiser}'")
        return self


class Ingest(Strict):
    """Parameters of `ingest.ipynb`."""

    profile: str
    dataset: str
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


class Pretrain(Training):
    """Parameters of `pretrain.ipynb`.

    `exclude` lists targets whose images are taken out of the source; with `weights`, a file (or "keras") takes
    the place of training.
    """

    profile: str
    source: str
    backbone: str
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    size_px: Size
    seed: int
    exclude: list[str]
    weights: str | None


class Transfer(Training):
    """Parameters of `transfer.ipynb`.

    `train_from` is the first layer of the backbone that learns (None: all do); `batch_norm` says whether the layers of that
    name go on measuring the images they see (train) or keep what they learnt on the source (frozen).
    """

    profile: str
    source: str
    target: str
    backbone: str
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    size_px: Size
    modes: Annotated[list[Literal["fine_tune", "linear_probe", "fine_tune_long"]], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    long_epochs: Count | None
    long_learning_rate: Rate | None
    train_from: str | None = None
    batch_norm: Literal["train", "frozen"] = "train"

    @property
    def fine_tunes(self) -> bool:
        """Whether any of the modes trains a network fold by fold."""
        return set(self.modes) != {"linear_probe"}


class Evaluate(Strict):
    """Parameters of `evaluate.ipynb`."""

    profile: str
    average: Average
    n_draws: Count = 2000
    draw_seed: int = 0
    rope: Annotated[float, Field(ge=0, lt=1)] = 0.01


class Stability(Strict):
    """Parameters of `stability.ipynb`.

    With `logs`, files of Keras's CSVLogger (below the project's folder, or absolute), these are shown instead of the profile's.
    """

    profile: str
    logs: Annotated[list[str], Field(min_length=1)] | None = None


class FeatureMaps(Strict):
    """Parameters of `feature_maps.ipynb`.

    `image_ids` None takes the first image of each class, at most three; `layer` None is the first convolution. Sources are
    compared on `n_cka_images` images drawn with `seed`; Grad-CAM shows `n_examples` that are right and as many that are wrong.
    """

    profile: str
    target: str
    sources: Annotated[list[str], Field(min_length=1)]
    image_ids: Annotated[list[str], Field(min_length=1)] | None = None
    layer: str | None
    n_maps: Count
    n_examples: Count = 3
    n_cka_images: Annotated[int, Field(ge=4, le=200)] = 200  # four: the estimator's least
    seed: int = 0


class Similarity(Strict):
    """Parameters of `similarity.ipynb`.

    Images are seen by the network of the source `probe`, about `n_images` of each dataset, drawn anew for each of `seeds`;
    `measures` None takes all of `similarity.registry`; `answers` is a CSV with what raters said of each dataset.
    """

    profile: str
    target: str
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


class Published(Strict):
    """Parameters of `published.ipynb`; `n_draws` of every bootstrap and permutation."""

    profile: str
    n_draws: Annotated[int, Field(ge=100)] = 2000
    draw_seed: int = 0


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


STEPS: dict[str, type[Strict]] = {
    "ingest": Ingest,
    "overlaps": Overlaps,
    "pretrain": Pretrain,
    "transfer": Transfer,
    "evaluate": Evaluate,
    "stability": Stability,
    "feature_maps": FeatureMaps,
    "similarity": Similarity,
    "transferability": Transferability,
    "published": Published,
    "recommend": Recommend,
}
