"""Published files from their addresses to the data folder: gone on with where they were cut, checked, unpacked.

Beside a file that is not whole yet lie ``<name>.part`` and ``.<name>.download``, which says what the former is the
beginning of; after unpacking, the latter says what was unpacked. It is locked while a process is at work.
"""

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import sleep
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote, unquote, urljoin, urlsplit

from catscans_lib.errors import InputError

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

TIMEOUT_S = (20.0, 60.0)  # until there is a connection; until more data arrives
PAUSES_S = (1.0, 3.0, 10.0, 30.0)  # before every further try, as long as none brings anything new
MAX_PAUSE_S = 120.0  # however long a server asks to wait
BLOCK_BYTES = 2**20
USER_AGENT = "catscans (research compendium)"  # Zenodo limits the libraries' own names harder
REPLACED = "If it lies here, delete it. See the dataset's home page: the publisher may have replaced it."


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes
    ----------
    url : str
        Its http or https address.
    checksum : str or None
        "md5:..." or "sha256:..." as published; None where the publisher gives none.
    n_bytes : int or None
        Its exact size as published, which is all there is to check where there is no checksum.
    folder : str
        Folder below the data folder where it goes, or is unpacked.
    unpack : bool
        Whether it is a zip or a tar to be unpacked; the archive is deleted then, also one put there by hand.
    n_bytes_unpacked : int or None
        Bound on what unpacking may write; None: 20 times the archive, at least 1 GiB.
    name : str
        Its file name where the address does not end in it.
    """

    url: str
    checksum: str | None = None
    n_bytes: int | None = None
    folder: str = ""
    unpack: bool = False
    n_bytes_unpacked: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.checksum and not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", self.checksum):
            raise ValueError(f"No checksum 'md5:...' or 'sha256:...' in lower case: '{self.checksum}'.")
        if not re.fullmatch(r"[^/\\\0.][^/\\\0]*", self.file_name):
            raise ValueError(f"No file name in '{self.url}'. Give one.")

    @property
    def file_name(self) -> str:
        """The name it has on the disk and on a mirror."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name)


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


def _unpack(download: Download, archive: Path, notes: "_Notes") -> None:
    """Unpack an archive unless that was done; then note it, then delete the archive."""
    from catscans_lib.archives import unpack

    if not notes.say_unpacked(download, archive.parent):
        _check_room(archive.parent, download.n_bytes_unpacked or 0, f"unpack '{archive.name}'")
        max_bytes = download.n_bytes_unpacked or max(20 * archive.stat().st_size, 2**30)
        names = unpack(archive, archive.parent, max_bytes=max_bytes).names
        notes.add(unpacked=names, checksum=download.checksum)
    archive.unlink(missing_ok=True)


def _get(download: Download, url: str, place: Path, notes: "_Notes", progress: bool | None) -> bool:
    """Have pooch put the file in its place once it has the published checksum; return whether it was there."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(place.parent, "", registry={place.name: download.checksum}, urls={place.name: _shown(url)})
    transfer = _Transfer(download, url, place, notes, progress)
    if place.exists():
        _check_size(download, place.stat().st_size, str(place))
    for is_last in (False, True):
        try:
            store.fetch(place.name, downloader=transfer)
            break
        except InputError:
            raise
        except ValueError as error:  # another checksum
            transfer.part.unlink(missing_ok=True)
            if is_last:
                raise InputError(f"'{_shown(url)}' came twice with another checksum. {error} {REPLACED}") from error
    transfer.part.unlink(missing_ok=True)
    if not download.checksum:
        notes.add(sha256=pooch.file_hash(str(place)))
    return not transfer.was_used


class _Interrupted(Exception):
    """A try that failed of what may pass; the server may have asked for a pause."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class _Transfer:
    """What pooch calls to have a file downloaded: goes on with a half file, and tries again where that may help."""

    def __init__(self, download: Download, url: str, place: Path, notes: "_Notes", progress: bool | None) -> None:
        self.download, self.url, self.place, self.notes, self.progress = download, url, place, notes, progress
        self.part = _part(place)
        self.was_used = False
        self._take_back()
        if notes.known.get("url") != _shown(url):
            notes.add(url=_shown(url), etag=None, modified=None, n_bytes=None)

    def _take_back(self) -> None:
        """Take the file back that pooch was checking when the process was killed, or remove its second name."""
        if name := self.notes.known.get("temporary"):
            left = self.place.with_name(name)
            if self.part.exists():
                left.unlink(missing_ok=True)
            elif left.exists():
                left.replace(self.part)

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests
        from tqdm import tqdm

        self.was_used = True
        self.notes.add(temporary=Path(output_file).name)
        bar = tqdm(
            desc=self.place.name, total=self.download.n_bytes, initial=self._offset(), unit="B", unit_scale=True,
            disable=None if self.progress is None else not self.progress,
        )  # fmt: skip
        with bar, requests.Session() as session:
            session.hooks["response"].append(_refuse_other_schemes)
            self._receive_all(session, bar)
        self._hand_over(Path(output_file))

    def _hand_over(self, place: Path) -> None:
        """Give pooch the file under a second name, for it deletes what it is stopped at checking."""
        place.unlink()
        try:
            place.hardlink_to(self.part)
        except OSError:  # a file system without links
            self.part.replace(place)

    def _receive_all(self, session: "requests.Session", bar: "tqdm") -> None:
        """Try until the file is whole; a try that brought something new starts the count again."""
        furthest, pauses = self._size(), list(PAUSES_S)
        while True:
            try:
                return self._receive(session, bar)
            except _Interrupted as error:
                if self._size() > furthest:
                    furthest, pauses = self._size(), list(PAUSES_S)
                if not pauses:
                    raise self._failure(error) from error
                pause_s = max(pauses.pop(0), min(error.pause_s, MAX_PAUSE_S))
                bar.set_postfix_str(f"{error}; again in {pause_s:.0f} s")
                sleep(pause_s)

    def _receive(self, session: "requests.Session", bar: "tqdm") -> None:
        """Ask once for what is missing."""
        offset = self._offset()
        if offset and offset == self.notes.known["n_bytes"]:
            return
        request = {"headers": self._headers(offset), "stream": True, "timeout": TIMEOUT_S}
        with self._network_errors(), session.get(self.url, **request) as response:
            status = response.status_code
            if status in (408, 429) or status >= 500:
                raise _Interrupted(f"the server answers {status}", _retry_after(response))
            if offset and (status == 416 or (status == 206 and not self._continues(response, offset))):
                self.part.unlink()
                raise _Interrupted("the server has another file than before")
            if status != 200 and not (offset and status == 206):
                raise self._refusal(f"the server answers {status}")
            self._write(response, offset if status == 206 else 0, bar)

    def _offset(self) -> int:
        """Bytes of the half file to go on from; 0 where it cannot be known whether they are of this file."""
        known, size = self.notes.known, self._size()
        is_known = self.download.checksum or known["etag"] or known["modified"]
        return size if is_known and size <= (known["n_bytes"] or size) else 0

    def _headers(self, offset: int) -> dict[str, str]:
        """Ask for the bytes from the offset on, but for all of them if the file is another one by now."""
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            etag, modified = self.notes.known["etag"], self.notes.known["modified"]
            validator = etag if etag and not etag.startswith("W/") else modified  # a weak tag may not be used for this
            headers |= {"If-Range": validator} if validator else {}
        return headers

    def _continues(self, response: "requests.Response", offset: int) -> bool:
        """Whether a partial answer begins at the offset of the same file."""
        known, new = self.notes.known, _identity(response)
        is_same = all(known[key] == new[key] for key in new if known[key] and new[key])
        return is_same and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")

    def _write(self, response: "requests.Response", offset: int, bar: "tqdm") -> None:
        identity = _identity(response)
        n_bytes = self.download.n_bytes if identity["n_bytes"] is None else identity["n_bytes"]
        self._check_answer(response, offset, n_bytes)
        if not offset:
            self.part.write_bytes(b"")
            self.notes.add(**identity)
        bar.total, bar.n = n_bytes, offset
        with self.part.open("ab") as file:
            while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
                file.write(block)
                file.flush()
                bar.update(len(block))
        if self._size() < (n_bytes or 0):
            raise _Interrupted("the connection was cut")
        _check_size(self.download, self._size(), _shown(self.url))
        self.notes.add(n_bytes=self._size())

    def _check_answer(self, response: "requests.Response", offset: int, n_bytes: int | None) -> None:
        """Fail before a byte is written if this cannot be the file, or finds no room."""
        if not self.download.checksum and response.headers.get("Content-Type", "").startswith("text/html"):
            raise self._refusal("the server sends a web page")
        if n_bytes is not None:
            _check_size(self.download, n_bytes, _shown(self.url))
        needed = max(0, (n_bytes or 0) - offset) + (self.download.n_bytes_unpacked or 0)
        _check_room(self.place.parent, needed, f"download '{self.place.name}'")

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        """Tell what may pass from what will not; the libraries' own messages hold the address with all its secrets."""
        import requests
        from urllib3.exceptions import HTTPError

        try:
            yield
        except InputError:
            raise
        except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
            raise self._refusal(_why(error)) from None
        except (requests.RequestException, HTTPError) as error:
            raise _Interrupted(_why(error)) from None

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _failure(self, error: _Interrupted) -> InputError:
        n_bytes = self.notes.known["n_bytes"] or self.download.n_bytes
        there = f"{self._size():,} of {n_bytes:,}" if n_bytes else f"{self._size():,}"
        return InputError(
            f"Cannot download '{_shown(self.url)}', tried {len(PAUSES_S) + 1} times: {error}. {there} bytes are in "
            f"'{self.part}'. Run it again to go on from there."
        )

    def _refusal(self, why: str) -> InputError:
        return InputError(
            f"Cannot download '{_shown(self.url)}': {why}. The publisher may have moved it, or asks for a login: see "
            f"the dataset's home page. Put the file at '{self.place}' yourself, or set CATSCANS_MIRROR to the address "
            "of a folder that has it, and run it again."
        )


class _Notes:
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
def _notes_on(place: Path) -> Iterator[_Notes]:
    """Open the notes on a file for this process alone; those of no further use are removed."""
    path = place.with_name(f".{place.name}.download")
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is downloading '{place}'. Wait until it has ended.") from None
        except OSError:  # a file system without locks
            pass
        notes = _Notes(file)
        try:
            yield notes
        finally:
            if not notes.known.get("unpacked") and not _part(place).exists():
                path.unlink()


def _part(place: Path) -> Path:
    return place.with_name(f"{place.name}.part")


def _address(download: Download, mirror: str | None) -> str:
    url = f"{mirror.rstrip('/')}/{quote(download.file_name)}" if mirror else download.url
    if not re.match(r"https?://[^/]", url, re.IGNORECASE):
        raise InputError(f"Cannot download '{_shown(url)}': its address has to begin with http:// or https://.")
    return url


def _shown(url: str) -> str:
    """An address as it is printed and kept: without user, password, query and fragment, which may be secret."""
    return re.split(r"[?#]", re.sub(r"(?<=//)[^/]*@", "", url))[0]


def _refuse_other_schemes(response: "requests.Response", **_: Any) -> None:
    """Let https not lead to http, nor anything to ftp."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and urlsplit(target).scheme not in ("https", urlsplit(response.url).scheme):
        raise InputError(
            f"'{_shown(response.url)}' leads to '{_shown(target)}', which is not as safe, so it is not followed. "
            "See the dataset's home page for the file's new address."
        )


def _identity(response: "requests.Response") -> dict[str, Any]:
    """Tag, date and size of the whole file, which tell whether a later answer is about the same; None: not given."""
    headers = response.headers
    is_part = response.status_code == 206
    size = headers.get("Content-Range", "").rpartition("/")[2] if is_part else headers.get("Content-Length", "")
    return {
        "etag": headers.get("ETag"),
        "modified": headers.get("Last-Modified"),
        "n_bytes": int(size) if size.isdecimal() else None,
    }


def _retry_after(response: "requests.Response") -> float:
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", ""))
    except InvalidHeader:
        return 0.0


def _why(error: BaseException) -> str:
    """What the system says of a failed connection, or else the kind of error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _check_size(download: Download, n_bytes: int, what: str) -> None:
    """Fail if a file without a published checksum has not the published size."""
    if not download.checksum and download.n_bytes not in (None, n_bytes):
        raise InputError(f"'{what}' has {n_bytes:,} bytes, the published file {download.n_bytes:,}. {REPLACED}")


def _check_room(folder: Path, n_bytes: int, purpose: str) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(f"To {purpose} takes {n_bytes:,} bytes, and '{folder}' has {free:,} free. Make room.")
