"""Finished runs: folders here, zips on OSF, and how one becomes the other."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.sharing.archives import add_file, unpack

NO_STEPS = ("folds", "tables", "records", "scratch")  # folders of a profile's results that hold no runs
MAX_RATIO = 20  # of a zip's files to the zip
N_DIGITS = 12  # of a SHA-256 in the name of a zip
ZIP = re.compile(rf"(.+)\.(\d{{8}}T\d{{6}})\.([0-9a-f]{{{N_DIGITS}}})\.([0-9a-f]{{{N_DIGITS}}})\.zip")


class Run(NamedTuple):
    """A finished run here: `step/name`, its end (UTC), the digest of its files (see `digest`) and their size in bytes."""

    key: str
    finished: str  # such as 20261130T183551
    digest: str
    n_bytes: int


class Version(NamedTuple):
    """A run as a zip on OSF: like `Run`, with the path of the zip below the profile's folder and the start of its SHA-256."""

    key: str
    finished: str
    digest: str
    n_bytes: int
    path: str
    sha256: str


def zip_path(run: Run, sha256: str) -> str:
    """Return the path of a run's zip on OSF: `step/<name>.<end>.<digest of the files>.<SHA-256 of the zip>.zip`."""
    return f"{run.key}.{run.finished}.{run.digest}.{sha256[:N_DIGITS]}.zip"


def version_at(path: str, n_bytes: int) -> Version | None:
    """Return the run that a zip on OSF holds by its path and size; None for other files."""
    step, _, name = path.partition("/")
    match = ZIP.fullmatch(name)
    if not match or not (is_safe(step) and is_safe(name)) or step in NO_STEPS:
        return None
    return Version(f"{step}/{match[1]}", match[2], match[3], n_bytes, path, match[4])


def is_safe(name: str) -> bool:
    """Return whether a name can be that of a visible file or folder on every system, and leads nowhere else.

    >>> [is_safe(name) for name in ("auc.csv", "..", "a/b", "C:", ".done", "")]
    [True, False, False, False, False, False]
    """
    return bool(name) and not name.startswith(".") and not re.search(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]', name)


def finished_runs(root: Path) -> list[Run]:
    found = []
    for path in sorted(root.glob(f"*/*/{results.RECORD}")):
        step, name = path.parts[-3:-1]
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            finished = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
            is_done = record["status"] == "completed"
        except (ValueError, KeyError, TypeError):
            continue
        if is_done and is_safe(step) and is_safe(name) and step not in NO_STEPS:
            key = f"{step}/{name}"
            n_bytes = sum(file.stat().st_size for file in _with_folds(root, key))
            found.append(Run(key, f"{finished:%Y%m%dT%H%M%S}", digest(root, key), n_bytes))
    return found


def digest(root: Path, key: str) -> str:
    """Return the start of the SHA-256 of the list of files in a run's folder; "" if there are none."""
    lines = [f"{paths.sha256(file)}  {file.relative_to(root).as_posix()}\n" for file in _files(root / key)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:N_DIGITS] if lines else ""


def _files(folder: Path) -> Iterator[Path]:
    """Give the files of a run's folder, sorted, without hidden ones (work under way) and links (which lead elsewhere)."""
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for path in [Path(place, name) for name in sorted(files) if not name.startswith(".")]:
            if not all(map(is_safe, path.relative_to(folder).parts)):
                raise InputError(f"{str(path)!r}: not every system can store a file of this name. Rename or remove it.")
            if not path.is_symlink():
                yield path


def _with_folds(root: Path, key: str) -> list[Path]:
    """Return the files of a run, of an ingest run with the folds that it made."""
    step, name = key.split("/")
    folds = root / "folds" / f"{name}.csv"
    return [*[folds] * (step == "ingest" and folds.is_file()), *_files(root / key)]


def pack(root: Path, run: Run, path: Path) -> None:
    """Zip a run with paths from `root` on; the same files give the same bytes. Raise InputError if it changes meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in _with_folds(root, run.key):
            add_file(archive, file.relative_to(root).as_posix(), file)
    if digest(root, run.key) != run.digest:
        raise InputError(f"{run.key} changed while it was packed. Push again when nothing writes to it.")


def install(root: Path, version: Version, archive: Path) -> None:
    """Put a run from its zip in place, its folder last and in one step, if the zip holds exactly what its name says.

    Tables over all runs, which lie in the run's folder, are also copied to the profile's.
    """
    staged = archive.with_suffix("")
    shutil.rmtree(staged, ignore_errors=True)
    unpack(archive, staged, max_bytes=max(MAX_RATIO * version.n_bytes, 2**30))
    there = {path for path in staged.rglob("*") if path.is_file()}
    if there != set(_with_folds(staged, version.key)) or digest(staged, version.key) != version.digest:
        raise InputError(f"'{version.path}' does not hold the files that its name stands for. Push the run again.")
    shared = {file: root / "folds" / file.name for file in staged.glob("folds/*.csv")}
    shared |= {file: root / "tables" / file.name for file in (staged / version.key).glob("tables/*.csv")}
    for file, place in shared.items():
        with paths.atomic_write(place) as part:
            shutil.copy2(file, part)
    paths.replace_folder(staged / version.key, root / version.key)
    shutil.rmtree(staged)
    archive.unlink()
