"""Named experiments (`catscans sweep --set epochs=5 --as short`): a changed copy of a grid, a profile with results of its own."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError, read_yaml, unknown, yaml_editor
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.schema import PretrainBlock, Profile, TransferBlock

Place = tuple[str, ...]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@contextmanager
def defined(study: str, words: tuple[str, ...], name: str | None, *, keep: bool) -> Iterator[str]:
    """Yield the profile of the experiment `name` of a study: its grid with the changes `words` (``epochs=5``).

    Writes `params/<study>+<name>.yaml` if it is missing; without `keep`, a new file is deleted at the end. A name of None is
    made from the changes; with neither, yields the study. InputError if the experiment exists with other settings.
    """
    if not words and name is None:
        yield study
        return
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", " ".join(words)).strip("-.") if name is None else name
    if not NAME.fullmatch(name):
        raise InputError(
            f"--as got '{name}'; a name of letters, digits, '.', '_' and '-' is needed, such as --as short."
        )
    profile = f"{study}+{name}"
    path = paths.params_path(profile)
    if not words and not path.is_file():
        known = [profile.partition("+")[2] for profile in profiles.names() if profile.startswith(f"{study}+")]
        raise unknown(f"experiment of {study}", name, known)
    is_new = bool(words) and _write(study, words, profile)
    try:
        yield profile
    finally:
        if is_new and not keep:
            path.unlink()


def _write(study: str, words: tuple[str, ...], profile: str) -> bool:
    """Write the grid of an experiment; return False if it is there already with the same content."""
    changes, path = parsed(words), paths.params_path(profile)
    where = " --set ".join((profiles.where(study), *words))
    profiles.load(study)
    content = applied(yaml_editor().load(paths.params_path(study).read_text(encoding="utf-8")), changes)
    content.yaml_set_start_comment(f"An experiment: {where}\nCommand: make book PROFILE={profile}")
    content["title"] = f"{content['title']}, {', '.join(words)}"
    text = io.StringIO()
    yaml_editor().dump(content, text)
    new = read_yaml(text.getvalue(), where)
    expand.runs(profiles.validate(new, where), profile, where)
    if path.is_file():
        if read_yaml(path, profiles.where(profile)) == new:
            return False
        raise InputError(
            f"{paths.relative(path)} exists with other settings. Choose another name with --as, or delete that file to define "
            "the experiment anew: its runs that stay the same are kept."
        )
    with paths.atomic_write(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return True


def parsed(words: tuple[str, ...]) -> dict[str, Any]:
    """Return `name=value` words as a mapping, with values parsed as YAML.

    >>> parsed(("epochs=5", "transfer.seeds=[0, 1]"))
    {'epochs': 5, 'transfer.seeds': [0, 1]}
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise InputError(f"--set got '{word}'; name=value is needed, such as --set epochs=5.")
        found[name] = read_yaml(text, f"--set {name}: '{text}'")
    return found


def applied(content: Any, changes: dict[str, Any]) -> Any:
    """Change a profile's content and return it; the values are validated later.

    A plain name changes every key of that name. A name with dots is one place, `transfer.targets.chest.epochs`, which the file
    may lack, or a block and a name that changes only below it, `transfer.epochs`; a parameter that the block does not state goes
    to its defaults. InputError if the name is unknown.
    """
    for name, value in changes.items():
        for *above, last in _places(content, name):
            block = content
            for depth, key in enumerate(above, start=1):
                block[key] = {} if block.get(key) is None else block[key]
                block = block[key]
                if not isinstance(block, dict):
                    raise InputError(f"--set {name}: {'.'.join(above[:depth])} has no keys below it.")
            block[last] = value
    return content


def _places(content: dict[str, Any], name: str) -> list[Place]:
    """Return the places that a change of `name` goes to."""
    *block, last = path = tuple(name.split("."))
    if block and path[0] not in content:
        raise InputError(f"--set {name}: unknown key '{path[0]}'; known: {', '.join(sorted(content))}.")
    keys = list(_keys(content))
    if block and path in keys:
        return [path]
    if found := [place for place in keys if place[-1] == last and list(place[: len(block)]) == block]:
        return found
    if not block and last not in Profile.model_fields:
        known = ", ".join(sorted({place[-1] for place in keys}))
        raise InputError(
            f"--set {name}: the file states no such parameter; known: {known}. To add one, give its place."
        )
    fields = {"pretrain": PretrainBlock, "transfer": TransferBlock}
    if len(path) == 2 and path[0] in fields and last not in fields[path[0]].model_fields:
        return [(path[0], "defaults", last)]  # a parameter of its runs
    return [path]


def _keys(content: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in content.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _keys(value, (*above, key))
