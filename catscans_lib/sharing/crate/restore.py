"""Reads a crate on another machine: puts results and settings in their places, or refuses it and changes nothing."""

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import recipe
from catscans_lib.sharing import archives
from catscans_lib.sharing.crate import checks, contents, metadata
from catscans_lib.sharing.crate.contents import Member

RATIO, LEAST_BOUND = 20, 2**30  # what is unpacked may be so many times the archive, and always so many bytes
OR_ELSE = (
    ", or unzip the crate: it is a project of its own. "
    "--other-code takes its results all the same; `make book` may run them again."
)
PROFILE = re.compile(r"params/([A-Za-z0-9][A-Za-z0-9_-]*)\.yaml")
CARD = re.compile(r"params/datasets/[a-z][a-z0-9_]*\.yaml")


@dataclass(frozen=True)
class Restored:
    """What an import did: the profile, files put in their places, files that were there already, runs that it brought."""

    profile: str
    n_new: int
    n_there: int
    runs: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """What a crate says of one of its files."""

    n_bytes: int
    sha256: str


def restore(archive: Path, *, other_code: bool = False) -> Restored:
    """Put the results, settings and, where it has them, image stores of a crate in their places in this project.

    Code, chapters and the built book stay in the archive. Nothing is ever overwritten; a file that is there already with the
    same content is left alone, so an import that was interrupted is completed by the next.

    Parameters
    ----------
    other_code : bool
        Take results of another version of the project, or of other code; `make book` may then run them again.

    Raises
    ------
    InputError
        If the archive is damaged or unsafe (see `archives.unpack`), its files are not those it lists, it holds something
        that could run code, it is of another version of the project, or other results or settings are there (names them).
        Nothing has changed then.
    """
    if not archive.is_file():
        raise InputError(f"No archive '{archive}'. Give a crate that `catscans export` wrote.")
    folder = paths.root() / "results" / f".{archive.name}.import"
    shutil.rmtree(folder, ignore_errors=True)  # from an import that was killed
    folder.mkdir(parents=True)
    try:
        profile, listed = _unpack(archive, folder)
        if not other_code:
            _refuse_other_version(folder)
            _refuse_other_code(folder, archive, profile, listed)
        wanted = {name: file for name, file in listed.items() if contents.is_restored(name, profile)}
        new = _without_conflicts(profile, wanted)
        checks.refuse_code(folder, new)
        for name in new:
            _place(folder / name, paths.root() / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Restored(profile, len(new), len(wanted) - len(new), tuple(_runs(wanted, profile)))


def _unpack(archive: Path, folder: Path) -> tuple[str, dict[str, File]]:
    """Unpack a crate and check that it holds what it lists, no more and no less; return its profile and list."""
    checks.refuse_names(archive)
    bound = max(LEAST_BOUND, RATIO * archive.stat().st_size)
    archives.unpack(archive, folder, max_bytes=min(bound, shutil.disk_usage(folder).free))
    listed = _listed(folder, archive)
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del there[metadata.NAME]
    for what, names in (
        ("not listed in it", there.keys() - listed.keys()),
        ("listed, but missing", listed.keys() - there.keys()),
    ):
        if names:
            raise checks.refused(archive, f"{contents.some(sorted(names))} is {what}")
    for name, path in there.items():
        with path.open("rb") as file:
            found = File(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
        if found != listed[name]:
            raise checks.refused(
                archive, f"{name} is not the file that it lists: {found.n_bytes:,} bytes, sha256:{found.sha256}"
            )
    return _profile(archive, listed), listed


def _listed(folder: Path, archive: Path) -> dict[str, File]:
    """Return the files that a crate lists, by their places."""
    try:
        graph = json.loads((folder / metadata.NAME).read_text(encoding="utf-8"))["@graph"]
        files = [entity for entity in graph if "File" in _list(entity["@type"])]
        listed = {unquote(file["@id"]): File(int(file["contentSize"]), file["sha256"]) for file in files}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise checks.refused(
            archive, f"{metadata.NAME} does not list its files with contentSize and sha256: {error!r}"
        ) from None
    return listed


def _list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _profile(archive: Path, listed: dict[str, File]) -> str:
    """Return the one profile that a crate holds; nothing outside of its folders may be restored."""
    found = [match[1] for name in listed if (match := PROFILE.fullmatch(name))]
    if len(found) != 1:
        raise checks.refused(archive, f"it has {len(found)} profiles (params/*.yaml), not one")
    profile = found[0]
    for name in listed:
        if name.startswith("params/datasets/") and not CARD.fullmatch(name):
            raise checks.refused(archive, f"{name} is no card of a dataset")
        if name.startswith("data/") and not re.fullmatch(rf"data/{re.escape(profile)}/[\w-]+\.h5", name):
            raise checks.refused(archive, f"{name} is no image store of profile '{profile}'")
        if any(part.startswith(".") for part in name.split("/")) and contents.is_restored(name, profile):
            raise checks.refused(archive, f"{name} is hidden")
    contents.refuse_kinds(list(listed))
    return profile


def _refuse_other_version(folder: Path) -> None:
    theirs = next(
        (one.get("version") for one in _json(folder / metadata.NAME)["@graph"] if one.get("@id") == "./"), None
    )
    ours = installed.version(recipe.PROJECT)
    if theirs != ours:
        raise InputError(f"The crate is of version {theirs} of the project, this is {ours}. Use that version{OR_ELSE}")


def _refuse_other_code(folder: Path, archive: Path, profile: str, listed: dict[str, File]) -> None:
    """Refuse results that `make book` would not take as they are, because the project's code is another.

    Only those count that were up to date on the other machine.
    """
    others, commits, place = Counter[str](), set(), f"results/{profile}"
    try:
        keys = list(_json(folder / place / recipe.RECIPES))
        records = {key: _json(folder / name) for key in keys if (name := f"{place}/{key}/{results.RECORD}") in listed}
        for key, record in records.items():
            step = key.split("/")[0]
            if record["code"]["fingerprint"] != recipe.code_fingerprint(step):
                others[step] += 1
                commits.add(record["code"]["commit"] or "unknown")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise checks.refused(archive, f"its records do not say what code made them: {error!r}") from None
    if others:
        steps = ", ".join(f"{n} of {step}" for step, n in others.items())
        raise InputError(
            f"The crate's runs were made by other code than this ({steps}; commit {', '.join(sorted(commits))}): `make book` "
            f"would run them again. Check that commit out{OR_ELSE}"
        )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _without_conflicts(profile: str, wanted: dict[str, File]) -> list[str]:
    """Return the files that are not there yet, each run's record last: it says that the run is complete."""
    clean = contents.cleaner()
    new, other = [], []
    for name, file in wanted.items():
        place = paths.root() / name
        if not place.exists() and not place.is_symlink():
            new.append(name)
        elif not place.is_file() or Member(name, place, clean).facts != (file.n_bytes, file.sha256):
            other.append(name)
    if other:
        units = dict.fromkeys("/".join(name.split("/")[2:4]) if name.startswith("results/") else name for name in other)
        raise InputError(
            f"{len(other)} files are there already with other content: {contents.some(list(units))}. Nothing was imported. "
            f"Move yours away first (mv results/{profile} results/{profile}-mine; git checkout params)."
        )
    return sorted(new, key=lambda name: (name.endswith(f"/{results.RECORD}"), name))


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.move(source, part)  # data/ may lie on another disk
    part.replace(target)


def _runs(names: dict[str, File], profile: str) -> list[str]:
    pattern = re.compile(rf"results/{re.escape(profile)}/((?!records/)[^/]+/[^/]+)/{re.escape(results.RECORD)}")
    return [match[1] for name in names if (match := pattern.fullmatch(name))]


def up_to_date(profile: str) -> tuple[int, list[str]]:
    """Return how many runs a profile's grid has, and which of them `make book` would do now."""
    runs = expand.grid(profile)
    current = recipe.current(profile, runs)
    return len(runs), [key for key in runs if key not in current]
