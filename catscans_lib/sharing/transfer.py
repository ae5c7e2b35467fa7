"""Resumable HTTP downloads and retries, shared by dataset downloads and OSF.

A partial download is `<name>.part`; `.<name>.download` records its URL, its ETag or date, and its size.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from catscans_lib import paths
from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError

TIMEOUT_S = (20.0, 60.0)  # to connect; between two pieces of data
RETRY = Retry(total=5, backoff_factor=1.5, backoff_jitter=1.0)  # pauses of 0, 3, 6, 12 and 24 s, each up to 1 s longer
MAX_PAUSE_S = 120.0  # even if a server's Retry-After asks for more
BLOCK_BYTES = 2**20
Result = TypeVar("Result")


class Interrupted(Exception):
    """A failure that a retry may mend: a cut connection, a busy server. `pause_s`: what its Retry-After asks for."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class Refused(Exception):
    """A failure that no retry can mend. `status` is the HTTP status, 0 if there was no answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


def retrying(
    attempt: Callable[[], Result], reached: Callable[[], int] = lambda: 0, say: Callable[[str], Any] = lambda _: None
) -> Result:
    """Call `attempt` until it succeeds; give up as `RETRY` says, counting afresh whenever `reached` (bytes) has grown.

    `say` gets a message before each pause. Raises the last `Interrupted` when all retries have failed.
    """
    retry, furthest = RETRY, reached()
    while True:
        try:
            return attempt()
        except Interrupted as error:
            if reached() > furthest:
                retry, furthest = RETRY, reached()
            if not retry.total:
                raise
            retry = retry.increment(error=error)
            pause_s = max(retry.get_backoff_time(), min(error.pause_s, MAX_PAUSE_S))
            say(f"{error}; retrying in {pause_s:.0f} s")
            sleep(pause_s)


@contextmanager
def network_errors() -> Iterator[None]:
    """Turn the errors of requests and urllib3, whose messages show secrets of URLs, into `Interrupted` or `Refused`."""
    try:
        yield
    except InputError:
        raise
    except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
        raise Refused(_reason(error)) from None
    except (requests.RequestException, HTTPError) as error:
        raise Interrupted(_reason(error)) from None


def check_status(response: requests.Response, allowed: Collection[int]) -> None:
    """Raise `Interrupted` if the server is busy or fails for now, `Refused` for other statuses that are not allowed."""
    status = response.status_code
    if status in (408, 429) or (status >= 500 and status != 507):  # 507: the storage is full
        try:
            pause_s = RETRY.get_retry_after(response) or 0.0
        except InvalidHeader:
            pause_s = 0.0
        raise Interrupted(f"the server answers {status}", pause_s)
    if status not in allowed:
        raise Refused(f"the server answers {status}", status)


def prepared(session: requests.Session) -> requests.Session:
    """Give a session our user agent, and have it refuse redirects that leave https."""
    session.headers["User-Agent"] = (
        "catscans (research compendium)"  # Zenodo limits the names of libraries more strictly
    )
    session.hooks["response"].append(refuse_unsafe_redirects)
    return session


def refuse_unsafe_redirects(response: requests.Response, **_: Any) -> None:
    """Refuse redirects from https to http, and from either to any other scheme."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and urlsplit(target).scheme not in ("https", urlsplit(response.url).scheme):
        raise InputError(
            f"'{shown(response.url)}' redirects to '{shown(target)}', which is less secure, so it is not followed. "
            "See the home page for the file's new address."
        )


def shown(url: str) -> str:
    """Return a URL without user, password, query and fragment, which may be secret."""
    return re.split(r"[?#]", re.sub(r"(?<=//)[^/]*@", "", url))[0]


class Notes:
    """What is known about a download, in a JSON file beside its partial file."""

    def __init__(self, path: Path) -> None:
        self.part, self.path = path.with_name(f"{path.name}.part"), path.with_name(f".{path.name}.download")
        try:
            self.known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.known = {}

    def add(self, **known: Any) -> None:
        self.known |= known
        with paths.atomic_write(self.path) as part:
            part.write_text(json.dumps(self.known), encoding="utf-8")

    def discard(self) -> None:
        """Delete the notes and the partial file."""
        self.known = {}
        self.part.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@dataclass
class Transfer:
    """Downloads `url` to `path` by way of `<path>.part`, and requests only the bytes that are missing.

    A partial file is continued if a published checksum in `file` tells at the end whether it was the right one; without a
    checksum, only if the server still has the same ETag or date.
    """

    session: requests.Session
    url: str
    path: Path
    file: Download
    bar: tqdm

    def __post_init__(self) -> None:
        self.notes = Notes(self.path)
        self.n_shown = 0  # bytes of this file on the bar
        if self.notes.known.get("url") != shown(self.url):
            self.notes.known = {}

    def run(self) -> None:
        """Complete the partial file, check it, and move it to `path`; once more from the start if it is damaged.

        Raises
        ------
        Interrupted
            If the server stays away: several attempts in a row brought no new bytes.
        Refused
            If the server does not have the published file.
        """
        for _ in range(2):
            retrying(self._attempt, self.n_bytes_there, self.bar.set_postfix_str)
            if is_published(self.file, self.notes.part):
                self.notes.part.replace(self.path)
                return
            self.notes.discard()
        published = self.file.checksum or f"{self.file.n_bytes:,} bytes"
        raise Refused(f"the file arrived twice, but is not the published one ({published})")

    def n_bytes_there(self) -> int:
        """Return the size of the partial file."""
        return self.notes.part.stat().st_size if self.notes.part.exists() else 0

    def _attempt(self) -> None:
        offset = self._offset()
        self._show(offset)
        if offset and offset == self.notes.known.get("n_bytes"):
            return
        request = {"headers": self._headers(offset), "stream": True, "timeout": TIMEOUT_S}
        with network_errors(), self.session.get(self.url, **request) as response:
            status = response.status_code
            if offset and (status == 416 or (status == 206 and not self._continues(response, offset))):
                self.notes.discard()
                raise Interrupted("the file on the server has changed")
            check_status(response, (200, 206) if offset else (200,))
            self._write(response, offset if status == 206 else 0)

    def _offset(self) -> int:
        """Return the size of the partial file; 0 if it may belong to another file."""
        size, known = self.n_bytes_there(), self.notes.known
        is_ours = self.file.checksum or known.get("validator")
        return size if is_ours and size <= (known.get("n_bytes") or size) else 0

    def _headers(self, offset: int) -> dict[str, str]:
        validator = self.notes.known.get("validator")
        condition = {"If-Range": validator} if validator else {}
        return {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} | condition if offset else {})

    def _continues(self, response: requests.Response, offset: int) -> bool:
        """Whether a partial answer begins at the offset of the same file; some servers ignore If-Range."""
        known, new = self.notes.known.get("validator"), _validator(response)
        is_same = not known or not new or known == new
        return is_same and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")

    def _write(self, response: requests.Response, offset: int) -> None:
        n_bytes = self._whole_size(response)
        if not offset:
            self.notes.part.write_bytes(b"")
            self.notes.add(url=shown(self.url), validator=_validator(response), n_bytes=n_bytes)
        self._show(offset)
        self.bar.total = self.bar.total or n_bytes
        with self.notes.part.open("ab", buffering=0) as part:
            while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
                part.write(block)
                self._show(self.n_shown + len(block))
        if self.n_bytes_there() < (n_bytes or 0):
            raise Interrupted("the connection was cut")
        self.notes.add(n_bytes=self.n_bytes_there())

    def _whole_size(self, response: requests.Response) -> int | None:
        """Return the size of the whole file; without a checksum, refuse what cannot be the published file."""
        name = "Content-Range" if response.status_code == 206 else "Content-Length"
        size = response.headers.get(name, "").rpartition("/")[2]
        n_bytes = int(size) if size.isdecimal() else self.file.n_bytes
        if not self.file.checksum and response.headers.get("Content-Type", "").startswith("text/html"):
            raise Refused("the server sends a web page")
        if not self.file.checksum and self.file.n_bytes not in (None, n_bytes):
            raise Refused(f"the server's file has {n_bytes:,} bytes, the published one {self.file.n_bytes:,}")
        return n_bytes

    def _show(self, n_bytes: int) -> None:
        self.bar.update(n_bytes - self.n_shown)
        self.n_shown = n_bytes


def is_published(file: Download, path: Path) -> bool:
    """Return whether a file has the published checksum; the published size where there is no checksum."""
    if not file.checksum:
        return file.n_bytes in (None, path.stat().st_size)
    kind, _, published = file.checksum.partition(":")
    with path.open("rb") as content:
        return hashlib.file_digest(content, kind).hexdigest() == published


def _validator(response: requests.Response) -> str | None:
    """Return the ETag; the date where there is no ETag or only a weak one, which If-Range does not accept."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _reason(error: BaseException) -> str:
    """Return the system's message about a failed connection, else the kind of error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
