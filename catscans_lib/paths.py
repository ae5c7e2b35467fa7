"""The project's folders, and how files are written, hashed and locked.

`data/<profile>/` holds image stores, `results/<profile>/` one folder per run. A notebook run by hand writes
below `<profile>/scratch`, so it can never overwrite results of a sweep.
"""

import getpass
import glob
import hashlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from catscans_lib.errors import InputError

GIVEN = {
    "CATSCANS_DATA": "the folder with the datasets as downloaded",
    "CATSCANS_WEIGHTS": "the folder with the pretrained weight files",
}
UNLOCKED = "CATSCANS_UNLOCKED"  # set where file locks do not work: child processes then say nothing more about it


def adapt_environment() -> None:
    """Make this process and its children independent of the current folder, and of a user without name or writable home."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
    for variable in GIVEN:
        if given := os.environ.get(variable):
            os.environ[variable] = str(Path(os.path.expanduser(given)).absolute())  # noqa: PTH111 - keeps what it cannot expand
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111
        with suppress(InputError, OSError):
            (home := notes_dir() / "home").mkdir(parents=True, exist_ok=True)
            os.environ["HOME"] = str(home)


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

    Each writer has its own temporary file, so several threads, processes and machines may write the same path at once; the last
    one wins. Temporary files left by killed processes of this machine (or container) are removed.
    """
    import psutil

    path.parent.mkdir(parents=True, exist_ok=True)
    mine = f".{path.name}.{socket.gethostname()}-{_container()}-"
    for left in path.parent.glob(f"{glob.escape(mine)}*.part"):
        if not psutil.pid_exists(int(left.stem.removeprefix(mine).split("-")[0])):
            left.unlink(missing_ok=True)
    part = path.with_name(f"{mine}{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _container() -> int:
    """Return a number of the set of processes that see each other's ids; containers on one machine have several."""
    namespace = Path("/proc/self/ns/pid")
    return namespace.stat().st_ino if namespace.exists() else 0


def replace_folder(new: Path, final: Path) -> None:
    """Move a folder to the place of another one."""
    former = final.with_name(f".{final.name}.old")
    remove_folder(former)
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(former)
    new.rename(final)
    remove_folder(former)


def remove_folder(folder: Path) -> None:
    """Remove a folder if it exists. Files that cannot be removed yet are moved away: NFS keeps open ones as `.nfs...`."""
    name = f".{folder.name.lstrip('.')}."
    for left in (folder, *folder.parent.glob(f"{glob.escape(name)}*.left")):
        shutil.rmtree(left, ignore_errors=True)
    if folder.exists():
        folder.rename(tempfile.mkdtemp(prefix=name, suffix=".left", dir=folder.parent))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, busy: Callable[[str], None] | None = None) -> Iterator[TextIO]:
    """Hold a lock file, which names its holder; the system releases the lock when the holder ends, also when killed.

    While another process holds the lock, wait; before that, call `busy` with the holder's name (it may raise to refuse).
    On file systems without locks, nothing is locked, and stderr says so once.
    """
    from filelock import lock_descriptor

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            is_free = lock_descriptor(lock.fileno(), blocking=False)
        except OSError as error:
            is_free = True
            if not os.environ.get(UNLOCKED):
                fault = f"{path.parent} is on a file system without file locks ({error.strerror})"
                print(f"catscans: {fault}. Start one sweep at a time here.", file=sys.stderr)
            os.environ[UNLOCKED] = "1"
        if not is_free:
            if busy:
                lock.seek(0)
                busy(lock.read().strip() or "another process")
            lock_descriptor(lock.fileno(), poll_interval=0.2)
        sign(lock, os.getpid())
        yield lock


def sign(lock: TextIO, pid: int) -> None:
    """Write into a lock file which process holds it."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {pid} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}\n")
    lock.flush()
