"""What this machine knows of its copy on OSF: which version of a file it has sent or fetched last.

Without it nobody could tell a file that was changed here from one that somebody else has changed there. A line is written
for every file, before and after, so that nothing is forgotten when a process is killed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from catscans_lib.errors import InputError

HIDDEN = ".osf"  # below the results' folder, where no reader takes it for a result


@dataclass(frozen=True)
class Known:
    """The last version of a file that is on both sides, and one that may have arrived there.

    Attributes
    ----------
    there, here : str
        SHA-256 on OSF, and the state (`manifest.Entry.state`) of the same results here; "" if there never was any.
    sent : str
        SHA-256 of what was sent there last without a word on whether it arrived; "": nothing.
    """

    there: str = ""
    here: str = ""
    sent: str = ""


class Journal:
    """Keeps `Known` by path in a file of JSON lines, of which the last one about a path holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = dict(_read(path))
        self._lock = threading.Lock()
        _write(path, self.known)
        self._file = path.open("a", encoding="utf-8")

    def of(self, path: str) -> Known:
        return self.known.get(path, Known())

    def is_ours(self, path: str, sha256: str) -> bool:
        """Return whether a version on OSF is one that this machine has sent or seen."""
        known = self.of(path)
        return bool(sha256) and sha256 in (known.there, known.sent)

    def seen(self, path: str, sha256: str) -> None:
        """Note that a version on OSF is one that was sent from here."""
        if self.of(path).there != sha256:
            self._add(path, replace(self.of(path), there=sha256))

    def sending(self, path: str, sha256: str) -> None:
        """Note what is about to be sent, or was found to have arrived otherwise than it was sent."""
        self._add(path, replace(self.of(path), sent=sha256))

    def same(self, path: str, there: str, here: str) -> None:
        """Note that a version is on both sides."""
        if self.of(path) != Known(there, here):
            self._add(path, Known(there, here))

    def _add(self, path: str, known: Known) -> None:
        with self._lock:
            self.known[path] = known
            self._file.write(_line(path, known))
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _line(path: str, known: Known) -> str:
    return json.dumps({"path": path} | asdict(known)) + "\n"


def _read(path: Path) -> Iterator[tuple[str, Known]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
            yield row.pop("path"), Known(**row)
        except (ValueError, TypeError, KeyError):  # a process was killed while it wrote the line
            continue


def _write(path: Path, known: dict[str, Known]) -> None:
    """Write the lines anew, without those that no longer hold."""
    half = path.with_suffix(".part")
    half.write_text("".join(_line(*item) for item in known.items()), encoding="utf-8")
    half.replace(path)


def journal_path(root: Path, base_url: str, project: str, node: str) -> Path:
    """Return where a folder's journal about one copy lies."""
    name = hashlib.sha256(f"{base_url}\n{node}".encode()).hexdigest()[:12]
    return root / HIDDEN / f"{project}-{name}.jsonl"


def staging_dir(root: Path) -> Path:
    """Return the folder for what has arrived, or is to be sent, until it is whole."""
    return root / HIDDEN / "staging"


@contextmanager
def opened(root: Path, base_url: str, project: str, node: str) -> Iterator[Journal]:
    """Open a journal for this process alone; a command that ended well leaves nothing half done behind."""
    path = journal_path(root, base_url, project, node)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another push or pull is at work in '{root}'. Wait until it has ended.") from None
        except OSError:  # a file system without locks
            pass
        journal = Journal(path)
        try:
            yield journal
        finally:
            journal.close()
        shutil.rmtree(staging_dir(root), ignore_errors=True)


def keep(path: Path) -> None:
    """Have the system write a file to the disk, so that it is whole there before it gets its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
