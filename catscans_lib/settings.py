"""What each notebook can be told: one validated record per step, its fields the notebook's parameters.

A record refuses keys it does not know and text where a number belongs, so nothing starts on a misread file.
"""

from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from catscans_lib import datasets
from catscans_lib.errors import InputError, unknown

BACKBONES = ("resnet50", "small_resnet", "squeezenet")
MODES = ("fine_tune", "linear_probe", "fine_tune_long")
Share = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=8, le=1024)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """A record that takes only the keys and types it names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @field_validator("source", "target", "dataset", check_fields=False)
    @classmethod
    def _known_dataset(cls, key: str) -> str:
        if key != "none" and key not in datasets.known():
            raise unknown("dataset", key, [*datasets.known(), "none"])
        return key

    @field_validator("backbone", check_fields=False)
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        if name not in BACKBONES:
            raise unknown("backbone", name, BACKBONES)
        return name


class Augmentation(Strict):
    """Random change of each training image: rotation (degrees), shift (share of the side), mirror image."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    shift: Share
    horizontal_flip: bool


class Training(Strict):
    """How a network is trained; the same record for pretraining and fine-tuning."""

    epochs: Count
    batch_size: Count
    learning_rate: Rate
    optimiser: Literal["adam"]
    schedule: Literal["constant", "halve_after_20", "cosine"]
    dropout: Share
    class_weights: Literal["balanced", "none"]
    augmentation: Augmentation | None
    validation_share: Share


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


class Pretrain(Training):
    """Parameters of `pretrain.ipynb`.

    `exclude` lists targets whose images are taken out of the source; with `weights`, a file (or "keras") takes
    the place of training.
    """

    profile: str
    source: str
    backbone: str
    precision: Literal["auto", "float32", "mixed_bfloat16"]
    size_px: Size
    seed: int
    exclude: list[str]
    weights: str | None


class Transfer(Training):
    """Parameters of `transfer.ipynb`."""

    profile: str
    source: str
    target: str
    backbone: str
    precision: Literal["auto", "float32", "mixed_bfloat16"]
    size_px: Size
    modes: Annotated[list[Literal["fine_tune", "linear_probe", "fine_tune_long"]], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    long_epochs: Count | None
    long_learning_rate: Rate | None


class Evaluate(Strict):
    """Parameters of `evaluate.ipynb`."""

    profile: str
    average: Literal["weighted", "macro"]


class Stability(Strict):
    """Parameters of `stability.ipynb`."""

    profile: str


class FeatureMaps(Strict):
    """Parameters of `feature_maps.ipynb`; `layer` None is the first convolution."""

    profile: str
    target: str
    sources: Annotated[list[str], Field(min_length=1)]
    layer: str | None
    n_maps: Count


STEPS: dict[str, type[Strict]] = {
    "ingest": Ingest,
    "pretrain": Pretrain,
    "transfer": Transfer,
    "evaluate": Evaluate,
    "stability": Stability,
    "feature_maps": FeatureMaps,
}
Record = TypeVar("Record", bound=BaseModel)


def validated(record: type[Record], values: Any, where: str) -> Record:
    """Return `values` as a record, or raise an InputError that names the place, what was got and what is known.

    `where` is the file and key the values come from, as it is printed: `params/demo.yaml: transfer.targets.chest`.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: got {values!r}; a mapping is needed with {', '.join(record.model_fields)}.")
    try:
        return record.model_validate(values)
    except ValidationError as error:
        lines = [_in_words(record, problem, where) for problem in error.errors()]
        raise InputError("\n".join(lines)) from None


def _in_words(record: type[BaseModel], problem: dict, where: str) -> str:
    place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
    got, kind = problem["input"], problem["type"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key '{place}'; known: {', '.join(sorted(_fields_at(record, problem['loc'][:-1])))}."
    if kind == "missing":
        return f"{where}: '{place}' is missing."
    if isinstance(got, str) and kind in ("float_type", "int_type") and _is_number(got):
        return f"{where}: {place} got the text '{got}'; a number is needed. YAML reads {got} as text: write {_as_yaml(got)}."
    message = str(problem.get("ctx", {}).get("error", problem["msg"]))
    return f"{where}: {place} got {got!r}: {message.removesuffix('.')}."


def _fields_at(record: type[BaseModel], location: tuple) -> list[str]:
    """Field names of the record that lies at `location` inside `record`, for nested records."""
    for part in location:
        field = record.model_fields.get(part)
        nested = [t for t in getattr(field.annotation, "__args__", (field.annotation,)) if isinstance(t, type)]
        record = next((t for t in nested if issubclass(t, BaseModel)), record) if field else record
    return list(record.model_fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_yaml(number: str) -> str:
    """Return a number that YAML 1.1 reads as one: `1e-5` needs a point and a sign.

    >>> _as_yaml("1e-5")
    '1.0e-05'
    """
    return yaml.safe_dump(float(number)).split("\n")[0]
