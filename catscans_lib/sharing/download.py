"""Published files from their addresses to the data folder: checked, unpacked, and never downloaded twice.

Beside a file that is not whole yet lie ``<name>.part`` and ``.<name>.download``, which says what the former is the
beginning of; after unpacking, the latter says what was unpacked. It is locked while a process is at work.
"""

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing.transfer import (
    REPLACED,
    Transfer,
    check_room,
    check_size,
    part_of,
    shown,
)


@dataclass(frozen=True)
class Fetched:
    """What `fetch` did: the file or the folder it was unpacked to, and whether nothing had to be downloaded.

    `sha256` is that of the file where no checksum was published, so that it can be told; else None.
    """

    path: Path
    was_there: bool
    sha256: str | None


def fetch(download: Download, data_dir: Path, *, progress: bool | None = None, mirror: str | None = None) -> Fetched:
    """Download a file to the data folder, check it, and unpack it if it is an archive.

    What is there is not downloaded again, what is there by half is gone on with; it may be stopped at any moment.

    Parameters
    ----------
    download : Download
    data_dir : Path
    progress : bool, optional
        Whether to show a bar on the standard error; None: if that is a terminal.
    mirror : str, optional
        Address of a folder that has the file under its name; the published checksum still applies.

    Raises
    ------
    InputError
        If the file cannot be had, is not the published one, cannot be unpacked, or finds no room.
    """
    url = _address(download, mirror)
    place = data_dir / download.folder / download.file_name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _notes_on(place) as notes:
            was_there = notes.say_unpacked(download, place.parent) or _get(download, url, place, notes, progress)
            if download.unpack:
                _unpack(download, place, notes)
            sha256 = None if download.checksum else notes.known["sha256"]
            return Fetched(place.parent if download.unpack else place, was_there, sha256)
    except OSError as error:
        raise InputError(
            f"Cannot write to '{place.parent}': {error.strerror or error}. Correct that and run it again; "
            "what was downloaded is kept."
        ) from error


def _unpack(download: Download, archive: Path, notes: "Notes") -> None:
    """Unpack an archive unless that was done; then note it, then delete the archive."""
    from catscans_lib.sharing.archives import unpack

    if not notes.say_unpacked(download, archive.parent):
        check_room(archive.parent, download.n_bytes_unpacked or 0, f"unpack '{archive.name}'")
        max_bytes = download.n_bytes_unpacked or max(20 * archive.stat().st_size, 2**30)
        names = unpack(archive, archive.parent, max_bytes=max_bytes).names
        notes.add(unpacked=names, checksum=download.checksum)
    archive.unlink(missing_ok=True)


def _get(download: Download, url: str, place: Path, notes: "Notes", progress: bool | None) -> bool:
    """Have pooch put the file in its place once it has the published checksum; return whether it was there."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(place.parent, "", registry={place.name: download.checksum}, urls={place.name: shown(url)})
    transfer = Transfer(download, url, place, notes, progress)
    if place.exists():
        check_size(download, place.stat().st_size, str(place))
    for is_last in (False, True):
        try:
            store.fetch(place.name, downloader=transfer)
            break
        except InputError:
            raise
        except ValueError as error:  # another checksum
            transfer.part.unlink(missing_ok=True)
            if is_last:
                raise InputError(f"'{shown(url)}' came twice with another checksum. {error} {REPLACED}") from error
    transfer.part.unlink(missing_ok=True)
    if not download.checksum:
        notes.add(sha256=pooch.file_hash(str(place)))
    return not transfer.was_used


class Notes:
    """What is known of a download: ``known`` is what the file beside it holds."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        file.seek(0)
        try:
            self.known: dict[str, Any] = json.load(file)
        except ValueError:  # new, or a process was killed while it wrote
            self.known = {}

    def add(self, **known: Any) -> None:
        self.known |= known
        self._file.seek(0)
        self._file.truncate()
        json.dump(self.known, self._file)
        self._file.flush()

    def say_unpacked(self, download: Download, folder: Path) -> bool:
        """Whether this very file was unpacked and nothing of it has been removed since."""
        names = self.known.get("unpacked")
        is_same = names is not None and self.known["checksum"] == download.checksum
        return download.unpack and is_same and all((folder / name).exists() for name in names)


@contextmanager
def _notes_on(place: Path) -> Iterator[Notes]:
    """Open the notes on a file for this process alone; those of no further use are removed."""
    path = place.with_name(f".{place.name}.download")
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is downloading '{place}'. Wait until it has ended.") from None
        except OSError:  # a file system without locks
            pass
        notes = Notes(file)
        try:
            yield notes
        finally:
            if not notes.known.get("unpacked") and not part_of(place).exists():
                path.unlink()


def _address(download: Download, mirror: str | None) -> str:
    url = f"{mirror.rstrip('/')}/{quote(download.file_name)}" if mirror else download.url
    if not re.match(r"https?://[^/]", url, re.IGNORECASE):
        raise InputError(f"Cannot download '{shown(url)}': its address has to begin with http:// or https://.")
    return url
