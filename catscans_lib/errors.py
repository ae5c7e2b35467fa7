"""The one exception that bad input raises, and strict records that raise it.

The command line prints the message and exits with status 2.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Record = TypeVar("Record", bound=BaseModel)
Count = Annotated[int, Field(ge=1)]
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class InputError(ValueError):
    """Bad input. The message says what was got, what is known and what to do next.

    `instead`: an argument as given and a better one; the command line prints the whole command with it, ready to paste.
    """

    def __init__(self, message: str, instead: tuple[Any, Any] | None = None) -> None:
        super().__init__(message)
        self.instead = instead


class Strict(BaseModel):
    """A frozen record that accepts only its own fields, exact types, finite numbers, and lists that name nothing twice."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _names_nothing_twice(cls, value: Any) -> Any:
        if isinstance(value, list) and (twice := [one for place, one in enumerate(value) if one in value[:place]]):
            raise ValueError(f"{twice[0]!r} is listed twice; name it once")
        return value


def unknown(kind: str, got: str, known: Collection[str]) -> InputError:
    """Return the error for an unknown name.

    >>> unknown("dataset", "isic", ["isic2018", "chest"])
    InputError("Unknown dataset 'isic'; known: chest, isic2018.")
    """
    return InputError(f"Unknown {kind} '{got}'; known: {', '.join(sorted(known)) or 'none'}.")


def and_more(names: Collection[str], limit: int = 30) -> str:
    """Return the first names, and how many follow.

    >>> and_more(["a", "b", "c", "d"], limit=2)
    'a, b and 2 more'
    """
    shown = ", ".join(list(names)[:limit])
    return f"{shown} and {len(names) - limit:,} more" if len(names) > limit else shown


def validated(record: type[Record], values: Any, where: str) -> Record:
    """Return `values` as a record; InputError with one line for each invalid value: place, what was got, what is known.

    `where` is file and key of the values, as messages show it: ``params/demo.yaml: transfer.targets.chest``.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: got {values!r}; a mapping is needed with {', '.join(record.model_fields)}.")
    try:
        return record.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(_message(record, problem, where) for problem in error.errors())) from None


def _message(record: type[BaseModel], problem: dict[str, Any], where: str) -> str:
    place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
    got, kind = problem["input"], problem["type"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key '{place}'; known: {', '.join(sorted(_fields_at(record, problem['loc'][:-1])))}."
    if kind == "missing":
        return f"{where}: '{place}' is missing."
    is_in_notebook, shown = where.endswith(".ipynb"), f"the text '{got}'" if isinstance(got, str) else repr(got)
    if isinstance(got, str) and kind in ("float_type", "int_type") and NUMBER.fullmatch(got):
        how = f"Pass it with -p: -p {place} {got}" if is_in_notebook else f"Write it without quotes: {got}"
        return f"{where}: {place} got {shown}; a number is needed. {how}"
    if kind in ("list_type", "dict_type", "model_type"):
        what, form = ("list", f"[{got}]") if kind == "list_type" else ("mapping", "{key: value}")
        form = got if isinstance(got, str) and got[:1] in ("[", "{") else form  # a list or mapping in quotes
        how = f"Pass it with -y: -y '{place}: {form}'" if is_in_notebook else f"Write it without quotes: {form}"
        return f"{where}: {place} got {shown}; a {what} is needed. {how}"
    message = str(problem.get("ctx", {}).get("error", problem["msg"])).removesuffix(".")
    return f"{where}: {place} got {got!r}: {message}." if place else f"{where}: {message}."


def _fields_at(record: type[BaseModel], location: tuple) -> list[str]:
    """Return the fields of the record that is nested in `record` at `location`."""
    for part in location:
        if field := record.model_fields.get(part):
            nested = [t for t in getattr(field.annotation, "__args__", (field.annotation,)) if isinstance(t, type)]
            record = next((t for t in nested if issubclass(t, BaseModel)), record)
    return list(record.model_fields)


def read_yaml(place: Path | str, where: str) -> Any:
    """Return the content of a YAML file that a person writes, or of its text; `where` begins the message of an InputError.

    YAML 1.2: 1e-5 and 0480 are numbers, which are text in YAML 1.1, and 20:00 is text; a key that is there twice is an error.
    """
    from ruamel.yaml import YAML, YAMLError

    try:
        text = place if isinstance(place, str) else place.read_text(encoding="utf-8")
        return YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at, fault = f" in line {mark.line + 1}" if mark else "", getattr(error, "problem", None) or error
        raise InputError(f"{where} is not readable as YAML{at}: {fault}.") from None


def yaml_editor() -> Any:
    """Return a reader and writer of YAML 1.2 that keeps comments and order (an empty value loses its `null`)."""
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 130
    return editor
