"""Finished runs on both sides: rows of the manifest on OSF, folders here, and the zips that carry one to the other."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from catscans_lib import paths, results
from catscans_lib.errors import InputError, Strict
from catscans_lib.sharing.archives import add_file, unpack

MANIFEST = "manifest.json"
FORMER_MANIFEST = "osf_manifest.csv"  # until November 2026
SHARED = ("folds", "tables")  # folders of the files that runs share
NOT_STEPS = (*SHARED, "records", "scratch")
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MAX_RATIO = 20  # of a zip's files to the zip


class Row(Strict):
    """One version of one run, and the zip on OSF that holds it.

    Attributes
    ----------
    key, run_id : str
        The run, as `step/name`, and its id.
    finished : str
        When the run was finished (ISO 8601, UTC), as its `run.json` says.
    zip : str
        Path of the zip below the profile's folder, as of `zip_name`.
    n_bytes, sha256 : int, str
        Size and SHA-256 of the zip.
    parts : dict of str to str
        SHA-256 by part: of the list of files in the run's folder (`key`), of each shared file it made (`tables/aucs.csv`).
    recipe : str
        The run's recipe in `recipes.json`, where a crate had brought the run to the machine that pushed it.
    """

    key: str
    run_id: Annotated[str, Field(pattern=RUN_ID)]
    finished: str
    zip: str
    n_bytes: PositiveInt
    sha256: Hash
    parts: dict[str, Hash]
    recipe: str = ""

    @model_validator(mode="after")
    def _leads_nowhere_else(self) -> Self:
        step, _, name = self.key.partition("/")
        shared = [part.partition("/") for part in self.parts if part != self.key]
        is_key = is_safe(step) and is_safe(name) and step not in NOT_STEPS and self.key in self.parts
        are_shared = all(folder in SHARED and is_safe(file) for folder, _, file in shared)
        if not (is_key and are_shared and self.zip == zip_name(self.key, self.run_id, self.sha256)):
            raise ValueError("its paths are not those of a run")
        return self


class Manifest(Strict):
    """The file on OSF."""

    version: Literal[2] = 2
    runs: list[Row]


def zip_name(key: str, run_id: str, sha256: str) -> str:
    """Return the path of a run's zip below the profile's folder on OSF.

    >>> zip_name("transfer/dtd--chest", "transfer-dtd--chest-b511cfd747ee", 64 * "0")
    'transfer/transfer-dtd--chest-b511cfd747ee-000000000000.zip'
    """
    return f"{key.partition('/')[0]}/{run_id}-{sha256[:12]}.zip"


def write(rows: list[Row]) -> bytes:
    """Return a manifest as JSON."""
    return Manifest(runs=rows).model_dump_json(indent=1).encode()


def read(text: bytes) -> list[Row] | None:
    """Return the rows of a manifest; None if it is damaged, or a path in it would lead out of the folder of results."""
    try:
        return Manifest.model_validate_json(text).runs
    except ValidationError:
        return None


def merged(rows: Iterable[Row], more: Iterable[Row]) -> list[Row]:
    """Return the rows of two manifests: those that `rows` lacks follow."""
    return list({row.zip: row for row in (*rows, *more)}.values())


def is_safe(name: str) -> bool:
    """Return whether a name can be that of a visible file or folder on every system, and leads nowhere else.

    >>> [is_safe(name) for name in ("auc.csv", "..", "a/b", "C:", ".done", "")]
    [True, False, False, False, False, False]
    """
    return bool(name) and not name.startswith(".") and not re.search(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]', name)


@dataclass(frozen=True)
class LocalRun:
    """A finished run here; `finished` and `parts` as in `Row`, `n_bytes` of its files before they are packed."""

    key: str
    run_id: str
    finished: str
    n_bytes: int
    parts: dict[str, str]


def finished_runs(root: Path) -> dict[str, LocalRun]:
    """Return the finished runs in a folder of results by key."""
    found = {}
    for path in sorted(root.glob(f"*/*/{results.RECORD}")):
        key = path.parent.relative_to(root).as_posix()
        step, name = key.split("/")
        record = _record(path)
        if record.get("status") != "completed" or step in NOT_STEPS or step.startswith(".") or name.startswith("."):
            continue
        run_id = str(record.get("run_id"))
        if not re.fullmatch(RUN_ID, run_id):
            raise InputError(
                f"{key}: the run id {run_id!r} in {results.RECORD} cannot name a file. Make the run again."
            )
        files = {part: state(root, part) for part in (key, *_shared(root, step, name))}
        n_bytes = sum(file.stat().st_size for part in files for file in _files(root, part))
        found[key] = LocalRun(key, run_id, _finished(record), n_bytes, files)
    return found


def _record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _finished(record: dict) -> str:
    """Return when a run was finished, in UTC; "" if its record does not say."""
    try:
        return (datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])).isoformat()
    except (KeyError, TypeError, ValueError):
        return ""


def _shared(root: Path, step: str, name: str) -> list[str]:
    """Return the shared files that a run made: copies of its tables, and the folds of an ingested target."""
    tables = [f"tables/{path.name}" for path in (root / step / name / "tables").glob("*.csv")]
    shared = [*sorted(tables), *([f"folds/{name}.csv"] if step == "ingest" else [])]
    return [path for path in shared if (root / path).is_file()]


def state(root: Path, part: str) -> str:
    """Return the SHA-256 of a shared file, or of the list of files in a run's folder; "" if nothing is there."""
    files = list(_files(root, part))
    if files == [root / part]:
        return paths.sha256(root / part)
    lines = [f"{paths.sha256(file)}  {file.relative_to(root).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def _files(root: Path, part: str) -> Iterator[Path]:
    """Give the files of a part, sorted; hidden ones are work under way, and links lead elsewhere."""
    if (root / part).is_file():
        yield root / part
    for folder, names, files in os.walk(root / part):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for path in [Path(folder, name) for name in sorted(files) if not name.startswith(".")]:
            if not all(map(is_safe, path.relative_to(root).parts)):
                raise InputError(f"{str(path)!r}: not every system can store a file of this name. Rename or remove it.")
            if not path.is_symlink():
                yield path


def pack(root: Path, run: LocalRun, path: Path) -> None:
    """Pack a run into a zip with paths from the profile's folder on; the same files always give the same bytes.

    Raises InputError if the run changed meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in [file for part in sorted(run.parts) for file in _files(root, part)]:
            add_file(archive, file.relative_to(root).as_posix(), file)
    if {part: state(root, part) for part in run.parts} != run.parts:
        raise InputError(f"{run.key} changed while it was packed. Push again when nothing writes to it.")


def install(root: Path, row: Row, archive: Path) -> None:
    """Put a run from its zip in place: first its shared files, then its whole folder in one step.

    Raises InputError if the zip does not hold exactly what its row lists; nothing has changed then.
    """
    staged = archive.with_suffix("")
    shutil.rmtree(staged, ignore_errors=True)
    unpack(archive, staged, max_bytes=max(MAX_RATIO * row.n_bytes, 2**30))
    there = {path for path in staged.rglob("*") if path.is_file()}
    listed = {path for part in row.parts for path in _files(staged, part)}
    if there != listed or {part: state(staged, part) for part in row.parts} != row.parts:
        raise InputError(f"'{row.zip}' does not hold the files that the manifest lists. Push the run again.")
    for part in row.parts:
        if part != row.key:
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            (staged / part).replace(root / part)
    _swap(staged / row.key, root / row.key)
    shutil.rmtree(staged)
    archive.unlink()


def _swap(new: Path, final: Path) -> None:
    """Let a folder take the place of another one; `recover` helps if the process is killed in between."""
    recover(final)
    shutil.rmtree(_former(final), ignore_errors=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(_former(final))
    new.rename(final)
    shutil.rmtree(_former(final), ignore_errors=True)


def recover(folder: Path) -> None:
    """Move a folder back that a killed pull had moved aside."""
    if not folder.exists() and _former(folder).exists():
        _former(folder).rename(folder)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
