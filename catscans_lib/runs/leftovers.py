"""What of a profile may be deleted: caches, records without a result, and what notebooks by hand left; no run needs these."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from catscans_lib import paths, results
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs.records import reading

UNITS = {"h": 3600, "d": 86400, "w": 604800}


class Leftover(NamedTuple):
    """A file or folder to delete, its size in bytes and when it was last written (seconds since 1970)."""

    path: Path
    n_bytes: int
    written: float


def _records(profile: str) -> Iterator[Path]:
    """Records of executions that failed, died or were replaced; that of every finished run is kept, and so is one that runs."""
    keys = (f"{step}/{name}" for step in STEPS for name in results.finished(profile, step))
    kept = {results.record(profile, key).get("record") for key in keys}
    for record in reading.load(profile):
        if record["number"] not in kept and record["status"] != "RUNNING":
            yield paths.records_dir(profile) / record["number"]


KINDS = {
    "features": lambda profile: paths.features_dir(profile).glob("*"),  # of frozen networks; computed again if wanted
    "records": _records,
    # of notebooks executed by hand, and of `catscans verify` where something differed
    "scratch": lambda profile: (paths.results_dir(profile) / "scratch").glob("*/*"),
}


def find(profile: str, what: str, older: float = 0.0, *, now: float) -> list[Leftover]:
    """Return the leftovers of a kind that were not written in the last `older` seconds, the largest first.

    InputError if no such profile has results or data here. `now` is in seconds since 1970.
    """
    known = {path.name for folder in ("results", "data") for path in (paths.root() / folder).glob("[!.]*")}
    if profile not in known:
        raise unknown("profile with results or data", profile, known)
    found = []
    for path in KINDS[what](profile):
        files = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
        facts = [file.lstat() for file in files]
        written = max(fact.st_mtime for fact in facts)
        if now - written >= older:
            size = sum(fact.st_size for file, fact in zip(files, facts, strict=True) if not file.is_dir())
            found.append(Leftover(path, size, written))
    return sorted(found, key=lambda one: (-one.n_bytes, one.path))


def seconds(age: str) -> float:
    """Return an age as seconds; InputError unless it is a number with h, d or w.

    >>> seconds("30d"), seconds("12h")
    (2592000.0, 43200.0)
    """
    match = re.fullmatch(r"(\d+)([hdw])", age)
    if match is None:
        raise InputError(f"--older got '{age}'; give a whole number with h, d or w (hours, days, weeks), such as 30d.")
    return float(match[1]) * UNITS[match[2]]


def delete(found: list[Leftover]) -> None:
    """Delete files and folders."""
    for one in found:
        if one.path.is_dir() and not one.path.is_symlink():
            paths.remove_folder(one.path)
        else:
            one.path.unlink(missing_ok=True)
