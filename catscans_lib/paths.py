"""The project's folders, and how files are written, hashed and locked.

`data/<profile>/` holds image stores, `results/<profile>/` one folder per run. A notebook run by hand writes
below `<profile>/scratch`, so it can never overwrite results of a sweep.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from catscans_lib.errors import InputError

REFERENCE = "CATSCANS_REFERENCE"  # optional: without it, the book has one chapter less
GIVEN = {
    "CATSCANS_DATA": "the folder with the datasets as downloaded",
    "CATSCANS_WEIGHTS": "the folder with the pretrained weight files",
    REFERENCE: "the folder with published results to compare with",
}


def root() -> Path:
    """Return the project's folder: `CATSCANS_ROOT`, else the nearest parent with `params/` and `notebooks/`."""
    if given := os.environ.get("CATSCANS_ROOT"):
        return Path(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise InputError(
        f"No compendium found at {here} or above it (a folder with params/ and notebooks/). "
        "Change into the project's folder, or set CATSCANS_ROOT."
    )


def relative(path: Path) -> str:
    """Return a path for messages: relative to the project's folder if it lies in it."""
    return str(path.relative_to(root())) if path.is_relative_to(root()) else str(path)


def params_path(profile: str) -> Path:
    """Return the file with a profile's grid."""
    return root() / "params" / f"{profile}.yaml"


def own_cards_dir() -> Path:
    """Return the folder with the cards of users' datasets."""
    return root() / "params" / "datasets"


def notebook_path(step: str) -> Path:
    """Return the notebook of a step."""
    return root() / "notebooks" / f"{step}.ipynb"


def data_dir() -> Path:
    """Return the folder with the downloaded datasets."""
    return given_dir("CATSCANS_DATA")


def weights_dir() -> Path:
    """Return the folder with the pretrained weight files."""
    return given_dir("CATSCANS_WEIGHTS")


def reference_dir() -> Path:
    """Return the folder with published results."""
    return given_dir(REFERENCE)


def given_dir(variable: str) -> Path:
    """Return a folder that the user names by an environment variable of `GIVEN`, which `make book OPTION=folder` sets."""
    given, option = os.environ.get(variable), variable.removeprefix("CATSCANS_")
    if given and Path(given).is_dir() and any(Path(given).iterdir()):
        return Path(given)
    fault = "is empty" if given and Path(given).is_dir() else "is not a folder"
    got = f"names '{given}', which {fault}" if given else "is not set"
    hint = f"Set {option}: make book PROFILE=... {option}=folder, or the environment variable {variable}"
    raise InputError(f"{option} {got}. {hint} ({GIVEN[variable]}).")


def results_dir(profile: str) -> Path:
    """Return the folder of a profile's results."""
    return root() / "results" / profile


def run_dir(profile: str, step: str, name: str) -> Path:
    """Return the folder of one finished run."""
    return results_dir(profile) / step / name


def work_dir(profile: str, step: str, name: str) -> Path:
    """Return the hidden folder that a run writes to until it is done."""
    return results_dir(profile) / step / f".{name}.work"


def notes_dir() -> Path:
    """Return the folder for caches and locks of Snakemake and sweeps; it may be deleted between sweeps."""
    return root() / ".snakemake"


def lock_path(profile: str, step: str, name: str) -> Path:
    """Return the lock file of a run; the process that executes the run holds it."""
    return notes_dir() / "runs" / f"{profile}.{step}.{name}.lock"


def checkpoint_dir(profile: str, step: str, name: str) -> Path:
    """Return the folder with the training progress of an unfinished run."""
    return results_dir(profile) / step / f".{name}.checkpoint"


def folds_path(profile: str, target: str) -> Path:
    """Return the fold table of a target: which image is held out in which fold."""
    return results_dir(profile) / "folds" / f"{target}.csv"


def tables_dir(profile: str) -> Path:
    """Return the folder of the tables over all runs."""
    return results_dir(profile) / "tables"


def records_dir(profile: str) -> Path:
    """Return the folder of Sacred's file observer."""
    return results_dir(profile) / "records"


def store_path(profile: str, dataset: str, size_px: int) -> Path:
    """Return the HDF5 image store of a dataset at one size."""
    return root() / "data" / profile / f"{dataset}_{size_px}px.h5"


def features_dir(profile: str) -> Path:
    """Return the folder with cached features of frozen networks."""
    return root() / "data" / profile / "features"


def build_dir(profile: str) -> Path:
    """Return the folder in which the book is assembled and built."""
    return root() / "_build" / profile


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces `path` on success and is removed on failure.

    Each process has its own temporary file, so several may write the same path at once; the last one wins. Temporary files
    left by killed processes of this machine are removed.
    """
    import psutil

    path.parent.mkdir(parents=True, exist_ok=True)
    mine = f".{path.name}.{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(mine)}*.part"):
        if not psutil.pid_exists(int(left.stem.removeprefix(mine))):
            left.unlink(missing_ok=True)
    part = path.with_name(f"{mine}{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_folder(new: Path, final: Path) -> None:
    """Move a folder to the place of another one; `restore_folder` helps if the process is killed in between."""
    restore_folder(final)
    shutil.rmtree(_former(final), ignore_errors=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(_former(final))
    new.rename(final)
    shutil.rmtree(_former(final), ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Move a folder back that a killed `replace_folder` had moved aside."""
    if not folder.exists() and _former(folder).exists():
        _former(folder).rename(folder)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, busy: Callable[[str], None] | None = None) -> Iterator[TextIO]:
    """Hold a lock file, which names its holder; the system releases the lock when the holder ends, also when killed.

    While another process holds the lock, wait; before that, call `busy` with the holder's name (it may raise to refuse).
    On file systems without locks, nothing is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if busy:
                lock.seek(0)
                busy(lock.read().strip() or "another process")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        sign(lock, os.getpid())
        yield lock


def sign(lock: TextIO, pid: int) -> None:
    """Write into a lock file which process holds it."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {pid} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}\n")
    lock.flush()
