"""Finished runs on both sides: rows of the manifest on OSF, folders here, and the zips that carry one to the other."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from catscans_lib import paths, results
from catscans_lib.errors import InputError, Strict, validated
from catscans_lib.sharing.archives import add_file, unpack

MANIFEST = "manifest.json"
SHARED = ("folds", "tables")  # folders of the files that runs share
MAX_RATIO = 20  # of a zip's files to the zip
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Run(Strict):
    """A finished run, as `run.json` describes it; `parts` has its folder (`key`) and each shared file it made, by path."""

    key: str  # step/name
    run_id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$")]
    finished: str  # ISO 8601, UTC
    n_bytes: PositiveInt
    parts: dict[str, Hash]  # SHA-256 as `state` returns it

    @model_validator(mode="after")
    def _has_safe_paths(self) -> Self:
        step, _, name = self.key.partition("/")
        shared = [part.partition("/") for part in self.parts if part != self.key]
        is_run = is_safe(step) and is_safe(name) and step not in (*SHARED, "records", "scratch")
        are_shared = all(folder in SHARED and is_safe(file) for folder, _, file in shared)
        if not (is_run and are_shared and self.key in self.parts):
            raise ValueError("its paths are not those of a run")
        return self


class Row(Run):
    """One version of a run on OSF: path, size and SHA-256 of its zip."""

    zip: str
    sha256: Hash

    @model_validator(mode="after")
    def _names_its_zip(self) -> Self:
        if self.zip != zip_name(self.key, self.run_id, self.sha256):
            raise ValueError("its zip has another name")
        return self


class Manifest(Strict):
    """All versions of all runs of a profile on OSF."""

    version: Literal[2] = 2
    runs: list[Row]


def zip_name(key: str, run_id: str, sha256: str) -> str:
    """Return the path of a run's zip below the profile's folder: `step/<run id>-<first 12 digits of sha256>.zip`."""
    return f"{key.partition('/')[0]}/{run_id}-{sha256[:12]}.zip"


def merged(rows: Iterable[Row], more: Iterable[Row]) -> list[Row]:
    """Return the rows of two manifests, sorted by run and age."""
    return sorted({row.zip: row for row in (*rows, *more)}.values(), key=lambda row: (row.key, row.finished, row.zip))


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
        if is_done and is_safe(step) and is_safe(name) and step not in ("records", "scratch"):
            shared = [f"tables/{table.name}" for table in sorted((path.parent / "tables").glob("*.csv"))]
            shared += [f"folds/{name}.csv"] if step == "ingest" else []
            parts = [f"{step}/{name}", *(part for part in shared if (root / part).is_file())]
            run = {
                "key": f"{step}/{name}", "run_id": record.get("run_id"), "finished": finished.isoformat(),
                "n_bytes": sum(file.stat().st_size for part in parts for file in _files(root, part)),
                "parts": {part: state(root, part) for part in parts},
            }  # fmt: skip
            found.append(validated(Run, run, str(path)))
    return found


def state(root: Path, part: str) -> str:
    """Return the SHA-256 of a shared file, or of the list of files in a run's folder; "" if nothing is there."""
    files = list(_files(root, part))
    if files == [root / part]:
        return paths.sha256(root / part)
    lines = [f"{paths.sha256(file)}  {file.relative_to(root).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def _files(root: Path, part: str) -> Iterator[Path]:
    """Give the files of a part, sorted, without hidden ones (work under way) and links (which lead elsewhere)."""
    if (root / part).is_file():
        yield root / part
    for folder, names, files in os.walk(root / part):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for path in [Path(folder, name) for name in sorted(files) if not name.startswith(".")]:
            if not all(map(is_safe, path.relative_to(root).parts)):
                raise InputError(f"{str(path)!r}: not every system can store a file of this name. Rename or remove it.")
            if not path.is_symlink():
                yield path


def pack(root: Path, run: Run, path: Path) -> None:
    """Zip a run with paths from `root` on; the same files give the same bytes. Raise InputError if it changes meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in [file for part in sorted(run.parts) for file in _files(root, part)]:
            add_file(archive, file.relative_to(root).as_posix(), file)
    if {part: state(root, part) for part in run.parts} != run.parts:
        raise InputError(f"{run.key} changed while it was packed. Push again when nothing writes to it.")


def install(root: Path, row: Row, archive: Path) -> None:
    """Put a run from its zip in place, its folder last and in one step, if the zip holds exactly what its row lists."""
    staged = archive.with_suffix("")
    shutil.rmtree(staged, ignore_errors=True)
    unpack(archive, staged, max_bytes=max(MAX_RATIO * row.n_bytes, 2**30))
    there = {path for path in staged.rglob("*") if path.is_file()}
    listed = {path for part in row.parts for path in _files(staged, part)}
    if there != listed or {part: state(staged, part) for part in row.parts} != row.parts:
        raise InputError(f"'{row.zip}' does not hold the files that the manifest lists. Push the run again.")
    for part in sorted(row.parts.keys() - {row.key}):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        (staged / part).replace(root / part)
    paths.replace_folder(staged / row.key, root / row.key)
    shutil.rmtree(staged)
    archive.unlink()
