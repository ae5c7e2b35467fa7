"""Changes of a grid for one sweep (`catscans sweep --set epochs=5`): the file in `params/` stays as it is."""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from catscans_lib.errors import InputError

VARIABLE = "CATSCANS_SET"  # set by the sweep, for all its runs: JSON, name -> value
Place = tuple[str, ...]


def parsed(words: tuple[str, ...], option: str = "--set") -> list[tuple[str, Any]]:
    """Return `name=value` words as pairs; values as YAML reads them.

    >>> parsed(("epochs=5", "transfer.seeds=[0, 1]"))
    [('epochs', 5), ('transfer.seeds', [0, 1])]
    """
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise InputError(f"{option} got '{word}'; name=value is needed, such as {option} epochs=5.")
        try:
            pairs.append((name, yaml.safe_load(text)))
        except yaml.YAMLError:
            raise InputError(f"{option} {name} got '{text}', which YAML cannot read.") from None
    return pairs


def given() -> dict[str, Any]:
    """Return the changes of the sweep this process belongs to."""
    return json.loads(os.environ.get(VARIABLE) or "{}")


def applied(content: Any, changes: dict[str, Any], blocks: dict[Place, type[BaseModel]]) -> Any:
    """Return the content of a profile's file with the changes made; values are not judged here.

    A plain name changes every key of that name, wherever it stands; where there is none, it is added to the `blocks` that know
    it. A name with points is one place: `transfer.targets.chest.epochs`.

    Raises
    ------
    InputError
        If there is no such key.
    """
    changed = copy.deepcopy(content)
    if isinstance(changed, dict):
        for name, value in changes.items():
            for place in places(content, name, blocks):
                _put(changed, place, value)
    return changed


def places(content: dict[str, Any], name: str, blocks: dict[Place, type[BaseModel]]) -> list[Place]:
    """Return where a change goes; InputError where nowhere."""
    path = tuple(name.split("."))
    if len(path) > 1:
        if path[0] not in content:
            raise InputError(f"--set {name}: unknown key '{path[0]}'; known: {', '.join(sorted(content))}.")
        return [path]
    found = [place for place, _ in _keys(content) if place[-1] == name]
    if not found:
        known_to = [place for place, record in blocks.items() if name in record.model_fields]
        found = [(*place, name) for place in known_to if place or len(known_to) == 1 or () not in known_to]
    if not found:
        known = {place[-1] for place, _ in _keys(content)} | {f for r in blocks.values() for f in r.model_fields}
        raise InputError(f"--set {name}: no run has such a parameter; known: {', '.join(sorted(known))}.")
    return found


def _keys(content: dict[str, Any], above: Place = ()) -> Iterator[tuple[Place, Any]]:
    for key, value in content.items():
        yield (*above, key), value
        if isinstance(value, dict):
            yield from _keys(value, (*above, key))


def _put(content: dict[str, Any], place: Place, value: Any) -> None:
    for number, key in enumerate(place[:-1]):
        if content.get(key) is None:
            content[key] = {}
        content = content[key]
        if not isinstance(content, dict):
            raise InputError(f"--set {'.'.join(place)}: {'.'.join(place[: number + 1])} has no keys below it.")
    content[place[-1]] = value
