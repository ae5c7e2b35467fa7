"""The one exception that bad input raises, and strict records that raise it.

The command line prints the message and exits with status 2.
"""

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Record = TypeVar("Record", bound=BaseModel)
Count = Annotated[int, Field(ge=1)]


class InputError(ValueError):
    """Bad input. The message says what was got, what is known and what to do next.

    `instead`: an argument as given and a better one; the command line prints the whole command with it, ready to paste.
    """

    def __init__(self, message: str, instead: tuple[Any, Any] | None = None) -> None:
        super().__init__(message)
        self.instead = instead


class Strict(BaseModel):
    """A frozen record that accepts only its own fields and exact types: no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def unknown(kind: str, got: str, known: Collection[str]) -> InputError:
    """Return the error for an unknown name.

    >>> unknown("dataset", "isic", ["isic2018", "chest"])
    InputError("Unknown dataset 'isic'; known: chest, isic2018.")
    """
    return InputError(f"Unknown {kind} '{got}'; known: {', '.join(sorted(known))}.")


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
    if isinstance(got, str) and kind in ("float_type", "int_type") and (number := _as_yaml(got)):
        return f"{where}: {place} got the text '{got}'; a number is needed. YAML reads {got} as text: write {number}."
    if isinstance(got, str) and kind in ("list_type", "dict_type", "model_type"):
        what = "list" if kind == "list_type" else "mapping"
        how = f"Pass it with -y: -y '{place}: {got}'" if where.endswith(".ipynb") else f"Write it without quotes: {got}"
        return f"{where}: {place} got the text '{got}'; a {what} is needed. {how}"
    message = str(problem.get("ctx", {}).get("error", problem["msg"])).removesuffix(".")
    return f"{where}: {place} got {got!r}: {message}." if place else f"{where}: {message}."


def _fields_at(record: type[BaseModel], location: tuple) -> list[str]:
    """Return the fields of the record that is nested in `record` at `location`."""
    for part in location:
        field = record.model_fields.get(part)
        nested = [t for t in getattr(field.annotation, "__args__", (field.annotation,)) if isinstance(t, type)]
        record = next((t for t in nested if issubclass(t, BaseModel)), record) if field else record
    return list(record.model_fields)


def _as_yaml(text: str) -> str:
    """Return the text of a number in the form that YAML 1.1 parses as a number; "" if the text is not a number.

    >>> _as_yaml("1e-5")
    '1.0e-05'
    """
    import yaml

    try:
        return yaml.safe_dump(float(text)).split("\n")[0]
    except ValueError:
        return ""
