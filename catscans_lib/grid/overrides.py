"""Changes of a grid for an experiment (`catscans sweep --set epochs=5`); the study's file is not modified."""

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from catscans_lib.errors import InputError

Place = tuple[str, ...]
Blocks = dict[Place, type[BaseModel]]


def parsed(words: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Return `name=value` words as pairs, with values parsed as YAML.

    >>> parsed(("epochs=5", "transfer.seeds=[0, 1]"))
    [('epochs', 5), ('transfer.seeds', [0, 1])]
    """
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise InputError(f"--set got '{word}'; name=value is needed, such as --set epochs=5.")
        try:
            pairs.append((name, yaml.safe_load(text)))
        except yaml.YAMLError:
            raise InputError(f"--set {name} got '{text}', which YAML cannot read.") from None
    return pairs


def applied(content: Any, changes: dict[str, Any], blocks: Blocks) -> Any:
    """Return a changed copy of a profile's content; the values are validated later.

    A plain name changes every key of that name; if the file has none, it is added to the `blocks` whose record has such a
    field. A name with dots is one place, `transfer.targets.chest.epochs`, or a block and a name that changes only below it,
    `transfer.epochs`. InputError if the name is unknown.
    """
    changed = copy.deepcopy(content)
    if isinstance(changed, dict):
        for name, value in changes.items():
            for place in places(content, name, blocks):
                _put(changed, place, value)
    return changed


def places(content: dict[str, Any], name: str, blocks: Blocks) -> list[Place]:
    """Return the places that a change of `name` goes to; InputError if the name is unknown."""
    *block, last = path = tuple(name.split("."))
    if path[0] not in content and block:
        raise InputError(f"--set {name}: unknown key '{path[0]}'; known: {', '.join(sorted(content))}.")
    keys = list(_keys(content))
    if block and path in keys:
        return [path]
    below = {place for place in (*keys, *blocks) if list(place[: len(block)]) == block}
    if found := [place for place in keys if place[-1] == last and place in below]:
        return found
    matching = [place for place, record in blocks.items() if last in record.model_fields and place in below]
    if () in matching and len(matching) > 1:  # the top of the file states it for all blocks, which may state it too
        matching.remove(())
    if not matching and block:
        return [path]  # validated later
    if not matching:
        known = {place[-1] for place in keys} | {field for record in blocks.values() for field in record.model_fields}
        raise InputError(f"--set {name}: no run has such a parameter; known: {', '.join(sorted(known))}.")
    return [(*place, last) for place in matching]


def _keys(content: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in content.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _keys(value, (*above, key))


def _put(content: dict[str, Any], place: Place, value: Any) -> None:
    for depth, key in enumerate(place[:-1], start=1):
        if content.get(key) is None:
            content[key] = {}
        content = content[key]
        if not isinstance(content, dict):
            raise InputError(f"--set {'.'.join(place)}: {'.'.join(place[:depth])} has no keys below it.")
    content[place[-1]] = value
