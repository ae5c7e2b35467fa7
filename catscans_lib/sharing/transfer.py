"""One file over HTTP: gone on with where it was cut, tried again where that may help, never taken for whole too soon.

What has arrived lies in ``<name>.part``.
"""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

    from catscans_lib.sharing.download import Notes

TIMEOUT_S = (20.0, 60.0)  # until there is a connection; until more data arrives
PAUSES_S = (1.0, 3.0, 10.0, 30.0)  # before every further try, as long as none brings anything new
MAX_PAUSE_S = 120.0  # however long a server asks to wait
BLOCK_BYTES = 2**20
USER_AGENT = "catscans (research compendium)"  # Zenodo limits the libraries' own names harder
Result = TypeVar("Result")
REPLACED = "If it lies here, delete it. See the dataset's home page: the publisher may have replaced it."


class Interrupted(Exception):
    """A try that failed of what may pass; the server may have asked for a pause."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


def insist(
    attempt: Callable[[], Result], *, reached: Callable[[], int] = lambda: 0, say: Callable[[str], Any] = lambda _: None,
    spread: float = 0.0,
) -> Result:  # fmt: skip
    """Try until it succeeds; a try after which more is `reached` than ever before starts the count of tries again.

    Parameters
    ----------
    attempt : callable
        Raises `Interrupted` where another try may help.
    reached : callable
        How far the tries have come (bytes).
    say : callable
        Told before every pause why there is one and how long it is.
    spread : float
        Every pause is longer by a random share of itself, up to this, lest many that were cut together come back together.
    """
    furthest, pauses = reached(), list(PAUSES_S)
    while True:
        try:
            return attempt()
        except Interrupted as error:
            if reached() > furthest:
                furthest, pauses = reached(), list(PAUSES_S)
            if not pauses:
                raise
            pause_s = max(pauses.pop(0), min(error.pause_s, MAX_PAUSE_S)) * random.uniform(1, 1 + spread)
            say(f"{error}; again in {pause_s:.0f} s")
            sleep(pause_s)


class Transfer:
    """What pooch calls to have a file downloaded: goes on with a half file, and tries again where that may help."""

    def __init__(self, download: Download, url: str, place: Path, notes: "Notes", progress: bool | None) -> None:
        self.download, self.url, self.place, self.notes, self.progress = download, url, place, notes, progress
        self.part = part_of(place)
        self.was_used = False
        self._take_back()
        if notes.known.get("url") != shown(url):
            notes.add(url=shown(url), etag=None, modified=None, n_bytes=None)

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
            session.hooks["response"].append(refuse_other_schemes)
            self.receive(session, bar)
        self._hand_over(Path(output_file))

    def _hand_over(self, place: Path) -> None:
        """Give pooch the file under a second name, for it deletes what it is stopped at checking."""
        place.unlink()
        try:
            place.hardlink_to(self.part)
        except OSError:  # a file system without links
            self.part.replace(place)

    def receive(self, session: "requests.Session", bar: "tqdm", spread: float = 0.0) -> None:
        """Bring the half file to its end, as long as every few tries bring something new."""
        try:
            insist(lambda: self._receive(session, bar), reached=self._size, say=bar.set_postfix_str, spread=spread)
        except Interrupted as error:
            raise self._failure(error) from error

    def _receive(self, session: "requests.Session", bar: "tqdm") -> None:
        """Ask once for what is missing."""
        offset = self._offset()
        if offset and offset == self.notes.known["n_bytes"]:
            return
        request = {"headers": self._headers(offset), "stream": True, "timeout": TIMEOUT_S}
        with network_errors(self._refusal), session.get(self.url, **request) as response:
            raise_if_busy(response)
            status = response.status_code
            if offset and (status == 416 or (status == 206 and not self._continues(response, offset))):
                self.part.unlink()
                raise Interrupted("the server has another file than before")
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
            raise Interrupted("the connection was cut")
        check_size(self.download, self._size(), shown(self.url))
        self.notes.add(n_bytes=self._size())

    def _check_answer(self, response: "requests.Response", offset: int, n_bytes: int | None) -> None:
        """Fail before a byte is written if this cannot be the file, or finds no room."""
        if not self.download.checksum and response.headers.get("Content-Type", "").startswith("text/html"):
            raise self._refusal("the server sends a web page")
        if n_bytes is not None:
            check_size(self.download, n_bytes, shown(self.url))
        needed = max(0, (n_bytes or 0) - offset) + (self.download.n_bytes_unpacked or 0)
        check_room(self.place.parent, needed, f"download '{self.place.name}'")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _failure(self, error: Interrupted) -> InputError:
        n_bytes = self.notes.known["n_bytes"] or self.download.n_bytes
        there = f"{self._size():,} of {n_bytes:,}" if n_bytes else f"{self._size():,}"
        return InputError(
            f"Cannot download '{shown(self.url)}', tried {len(PAUSES_S) + 1} times: {error}. {there} bytes are in "
            f"'{self.part}'. Run it again to go on from there."
        )

    def _refusal(self, why: str) -> InputError:
        return InputError(
            f"Cannot download '{shown(self.url)}': {why}. The publisher may have moved it, or asks for a login: see "
            f"the dataset's home page. Put the file at '{self.place}' yourself, or set CATSCANS_MIRROR to the address "
            "of a folder that has it, and run it again."
        )


@contextmanager
def network_errors(refusal: Callable[[str], InputError]) -> Iterator[None]:
    """Tell what may pass from what will not; the libraries' own messages hold the address with all its secrets."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except InputError:
        raise
    except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
        raise refusal(_why(error)) from None
    except (requests.RequestException, HTTPError) as error:
        raise Interrupted(_why(error)) from None


def raise_if_busy(response: "requests.Response") -> None:
    """Raise `Interrupted` if the server asks to come back later, or fails for now; a full disk (507) does not pass."""
    status = response.status_code
    if status in (408, 429) or (status >= 500 and status != 507):
        raise Interrupted(f"the server answers {status}", retry_after(response))


def part_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.part")


def shown(url: str) -> str:
    """An address as it is printed and kept: without user, password, query and fragment, which may be secret."""
    return re.split(r"[?#]", re.sub(r"(?<=//)[^/]*@", "", url))[0]


def refuse_other_schemes(response: "requests.Response", **_: Any) -> None:
    """Let https not lead to http, nor anything to ftp."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and urlsplit(target).scheme not in ("https", urlsplit(response.url).scheme):
        raise InputError(
            f"'{shown(response.url)}' leads to '{shown(target)}', which is not as safe, so it is not followed. "
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


def retry_after(response: "requests.Response") -> float:
    """Return the pause (s) that a server asks for; 0: none."""
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


def check_size(download: Download, n_bytes: int, what: str) -> None:
    """Fail if a file without a published checksum has not the published size."""
    if not download.checksum and download.n_bytes not in (None, n_bytes):
        raise InputError(f"'{what}' has {n_bytes:,} bytes, the published file {download.n_bytes:,}. {REPLACED}")


def check_room(folder: Path, n_bytes: int, purpose: str) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(f"To {purpose} takes {n_bytes:,} bytes, and '{folder}' has {free:,} free. Make room.")
