"""Strict records of plain values, and what is said when a file does not hold one."""

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from catscans_lib.errors import InputError

Record = TypeVar("Record", bound=BaseModel)


class Strict(BaseModel):
    """A record that takes only the keys and types it names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


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
    if not place:  # what several keys say together
        return f"{where}: {message.removesuffix('.')}."
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
