"""The study's protocol: pretrains a network on a source, then transfers it to a target fold by fold.

In: image stores, fold tables, validated settings. Out: networks, learning curves, predictions of held-out images.
The notebooks `pretrain` and `transfer` call it.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from catscans_lib.datasets import Key, Size
from catscans_lib.errors import Count, Seed
from catscans_lib.networks import registry
from catscans_lib.training import KeepSource, Training


class Network(Training):
    """What pretraining and transfer share: the network and the side of its images (pixels)."""

    profile: str
    backbone: Annotated[str, AfterValidator(lambda name: registry.find(name).name)]
    size_px: Size

    @field_validator("size_px")
    @classmethod
    def _large_enough(cls, size_px: int, others: ValidationInfo) -> int:
        if "backbone" in others.data:  # it is valid
            registry.check_size(others.data["backbone"], size_px)
        return size_px


class Pretrain(Network):
    """Parameters of `pretrain.ipynb`.

    `exclude` lists targets whose images are taken out of the source; with `weights`, a file ("keras": Keras's own; the name of
    the network: those of its package) takes the place of training.
    """

    source: Key
    variant: str = ""  # of the network: "@1": another seed, "+resnet50": another backbone; "": the source's own
    seed: Seed
    exclude: list[str]
    weights: str | None

    @field_validator("weights")
    @classmethod
    def _of_this_network(cls, weights: str | None, others: ValidationInfo) -> str | None:
        if "backbone" in others.data:
            registry.check_weights(others.data["backbone"], weights)
        return weights


class Transfer(Network, KeepSource):
    """Parameters of `transfer.ipynb`.

    `train_from` is the first layer of the backbone that learns (None: all do); `batch_norm` says whether the layers of that
    name go on measuring the images they see (train) or keep what they learnt on the source (frozen). `external` lists
    other collections whose images the networks of every fold and seed predict, too. With `n_images`, or `n_per_class`, each
    fold trains on about so many images (`images.draws`), with as many updates as on all of them.
    """

    source: Key
    variant: str = ""  # of the source's network, as in `Pretrain`
    target: Key
    n_images: Annotated[int, Field(ge=2)] | None = None
    n_per_class: Annotated[int, Field(ge=2)] | None = None
    keep_networks: bool = False  # of mode fine_tune, of all folds and seeds, for `catscans predict`
    modes: Annotated[list[Literal["fine_tune", "linear_probe", "fine_tune_long"]], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    long_epochs: Count | None
    train_from: str | None = None
    batch_norm: Literal["train", "frozen"] = "train"
    external: list[Key] = Field(default_factory=list)

    @property
    def takes_fewer(self) -> bool:
        """Whether not all training images of a fold are used."""
        return bool(self.n_images or self.n_per_class)

    @model_validator(mode="after")
    def _has_one_size_and_the_longer_budget(self) -> Self:
        if self.n_images and self.n_per_class:
            raise ValueError("a run has n_images or n_per_class, not both")
        if "fine_tune_long" in self.modes and (self.long_epochs or 0) <= self.epochs:
            raise ValueError(
                f"mode fine_tune_long needs long_epochs above epochs ({self.epochs}); long_epochs is {self.long_epochs}. "
                "Raise it, or leave the mode out"
            )
        return self
