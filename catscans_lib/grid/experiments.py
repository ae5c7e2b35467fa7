"""Named experiments (`catscans sweep --set epochs=5 --as short`): a changed copy of a grid, a profile with results of its own."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import expand, overrides, profiles

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@contextmanager
def defined(study: str, words: tuple[str, ...], name: str | None, *, keep: bool) -> Iterator[str]:
    """Yield the profile of the experiment `name` of a study: its grid with the changes `words` (``epochs=5``).

    The experiment's grid is `params/<study>+<name>.yaml`, which is written if it is not there yet; without `keep`, a new file
    is deleted at the end. A name of None is made from the changes; with neither, yields the study. InputError if a change is
    not valid, the experiment exists with other settings, or there are no changes and no such experiment.
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
        raise unknown(f"experiment of {study}", name, names(study))
    is_new = bool(words) and _write(study, words, profile)
    try:
        yield profile
    finally:
        if is_new and not keep:
            path.unlink()


def names(study: str) -> list[str]:
    """Return the names of a study's experiments."""
    return [profile.partition("+")[2] for profile in profiles.names() if profile.startswith(f"{study}+")]


def _write(study: str, words: tuple[str, ...], profile: str) -> bool:
    """Write the grid of an experiment; return False if it is there already with the same content."""
    changes, path = dict(overrides.parsed(words)), paths.params_path(profile)
    where = " --set ".join((profiles.where(study), *words))
    content = profiles.changed(study, changes)
    content.yaml_set_start_comment(f"An experiment: {where}\nCommand: make book PROFILE={profile}")
    content["title"] = f"{content['title']}, {', '.join(words)}"
    text = io.StringIO()
    profiles.editor().dump(content, text)
    expand.runs(profiles.parsed(text.getvalue(), where), profile, where)
    if path.is_file():
        if yaml.safe_load(path.read_text(encoding="utf-8")) == yaml.safe_load(text.getvalue()):
            return False
        raise InputError(
            f"{paths.relative(path)} exists with other settings. Choose another name with --as, or delete that file to define "
            "the experiment anew: its runs that stay the same are kept."
        )
    with paths.atomic_write(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return True
