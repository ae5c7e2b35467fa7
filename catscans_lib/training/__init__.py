"""Trains one network: batches, optimiser, fit loop, checkpoints, learning curves.

In: a Keras model, images and labels as arrays, validated settings. Out: the trained model and its learning curves.
Runs on Keras's TensorFlow and JAX backends.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO, Literal, Self

from pydantic import Field, field_validator, model_validator

from catscans_lib.errors import Count, InputError, Strict, unknown

Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]
BACKENDS = ("tensorflow", "jax")  # of Keras
EPOCHS_LOG = "logs/epochs.log"  # below the folder of a checkpoint: a line per epoch, which sweeps show
WITHOUT_EFFECT = {"checkpoint_minutes", "logs"}  # settings that outdate no result


def keras_settings() -> dict[str, str]:
    """Return Keras's settings that results depend on; users choose `KERAS_BACKEND`. InputError if one cannot be met."""
    name = os.environ["KERAS_BACKEND"]
    if name not in BACKENDS:
        raise unknown("backend of Keras in KERAS_BACKEND", name, BACKENDS)
    if find_spec(name) is None:
        raise InputError(f"KERAS_BACKEND is '{name}', which is not installed. Install it, or unset KERAS_BACKEND.")
    return {"backend": name, "data_format": "channels_last", "float_type": "float32"}


@contextmanager
def stderr_to(file: BinaryIO) -> Iterator[None]:
    """Redirect stderr of this process and its children to a file: TensorFlow's messages, the traceback of a crash."""
    sys.stderr.flush()
    terminal = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


@contextmanager
def silent_import() -> Iterator[None]:
    """Hide what TensorFlow prints while it is imported, whatever TF_CPP_MIN_LOG_LEVEL says; if the import fails, show it."""
    with TemporaryFile() as hidden:
        try:
            with stderr_to(hidden):
                yield
        except BaseException:
            hidden.seek(0)
            os.write(2, hidden.read())
            raise


def import_keras() -> None:
    """Import Keras for a command: without TensorFlow's messages and progress bars; InputError as `keras_settings`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras_settings()
    with silent_import():
        import keras
    keras.config.disable_interactive_logging()


class Augmentation(Strict):
    """Random change of each training image, drawn anew in every epoch; 0 and false: none.

    `rotation_deg` is the largest angle (degrees), `shift` the largest shift (share of the side), `zoom` 0.2 scales by 0.8 to
    1.2. Flips have a chance of one half, the four `quarter_turns` of one quarter each. `brightness` 0.2 adds up to 20 % of the
    range of values, `contrast` 0.2 multiplies the distance from the image's mean by 0.8 to 1.2. `stain` (histology) multiplies
    each stain by 1 - stain to 1 + stain and adds up to as much (optical density, natural logarithm): colour deconvolution of
    Ruifrok and Johnston (2001), jitter of Tellez et al. (2018), doi 10.1109/TMI.2018.2820199. `erasing` is the chance that a
    rectangle of 2 to 40 % of the image becomes its mean colour (Zhong et al. 2020, arXiv:1708.04896).
    """

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Share = 0.0
    zoom: Share = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    brightness: Share = 0.0
    contrast: Share = 0.0
    stain: Share = 0.0
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0


class Training(Strict):
    """How a network is trained; the same record for pretraining and fine-tuning.

    `validation_share` is 0 (no inner validation images) or 0.05 to 0.95 of the training images, as far as their groups allow.
    With `other_learning_rates` every one of them and `learning_rate` is tried, and the inner validation images choose. With
    `patience`, training ends after so many epochs in which their loss has not fallen, and the best epoch is kept.

    `momentum` is that of SGD, and `beta_1` of Adam. `clip_norm` is the largest norm of all gradients of a step together
    (Pascanu et al. 2013, arXiv:1211.5063). `label_smoothing` is the share of a label that all classes divide evenly (Szegedy et
    al. 2016, arXiv:1512.00567). `mixup` is alpha of the Beta distribution from which the shares of two mixed images and of their
    labels are drawn (Zhang et al. 2018, arXiv:1710.09412); the training accuracy counts the label that weighs more. The
    loss of the validation images knows nothing of both.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Rate
    other_learning_rates: list[Rate] = Field(default_factory=list)
    optimiser: Literal["adam", "adamw", "sgd"]
    weight_decay: Share = 0.0
    momentum: Share = 0.9
    clip_norm: Rate | None = None
    label_smoothing: Share = 0.0
    mixup: Rate | None = None
    schedule: Literal["constant", "halve_after_20", "cosine"]
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    patience: Count | None = None
    dropout: Share
    class_weights: Literal["balanced", "none"]
    augmentation: Augmentation | None
    validation_share: Share
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    threads: Count | None = None
    deterministic: bool = True
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 2.0  # between two checkpoints; 0: one after every epoch
    logs: list[Literal["csv", "tensorboard"]] = Field(default_factory=list)

    @field_validator("logs")
    @classmethod
    def _can_be_written(cls, logs: list[str]) -> list[str]:
        if "tensorboard" in logs and find_spec("tensorboard") is None:
            raise ValueError("tensorboard is not installed; install it: .venv/bin/pip install tensorboard")
        return logs

    @field_validator("validation_share")
    @classmethod
    def _can_be_met(cls, share: float) -> float:
        if share and not 0.05 <= share <= 0.95:
            raise ValueError("known are 0 (no inner validation images) and 0.05 to 0.95")
        return share

    @model_validator(mode="after")
    def _has_what_chooses(self) -> Self:
        if not self.validation_share and (self.other_learning_rates or self.patience):
            what = "patience" if self.patience else "other_learning_rates"
            raise ValueError(f"{what} needs inner validation images; set validation_share above 0")
        if self.weight_decay and self.optimiser != "adamw":
            raise ValueError(f"weight_decay {self.weight_decay} is for optimiser adamw; it is '{self.optimiser}'")
        return self


class L2SP(Strict):
    """Penalties on squared weights in the training loss: `alpha / 2` on their change since the source, `beta / 2` on the head."""

    alpha: Rate
    beta: Annotated[float, Field(ge=0)]


class KeepSource(Training):
    """Ways to keep what the source taught; a network that starts from random weights trains without them.

    `layer_decay` is the ratio of the learning rate of a block to that of the next one up to the head (Howard and Ruder 2018,
    arXiv:1801.06146: 1 / 2.6). With `unfreeze_epochs`, the head learns first; after so many epochs the last block learns, too,
    after as many again the one before (the same authors). A block is all layers at one resolution. `l2_sp` is the penalty of Li
    et al. (2018), arXiv:1802.01483.
    """

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    unfreeze_epochs: Annotated[int, Field(ge=0)] = 0
    l2_sp: L2SP | None = None

    @model_validator(mode="after")
    def _trains_more_than_the_head(self) -> Self:
        if self.unfreeze_epochs >= self.epochs:
            raise ValueError(
                f"with unfreeze_epochs {self.unfreeze_epochs} of {self.epochs} epochs only the head would ever learn; lower it"
            )
        return self
