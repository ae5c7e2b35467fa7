"""Resumable HTTP downloads and retries, shared by dataset downloads and OSF.

A partial download is `<name>.part`; `.<name>.download` records its URL, its ETag or date, and its size.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
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
USER_AGENT = "catscans (research compendium)"  # Zenodo limits the names of libraries more strictly
Result = TypeVar("Result")


class Interrupted(Exception):
    """A failure that a retry may mend, such as a cut connection; `pause_s` is what the server's Retry-After asks for."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class Refused(Exception):
    """A failure that no retry can mend; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


def retrying(
    attempt: Callable[[], Result], reached: Callable[[], int] = lambda: 0, say: Callable[[str], Any] = lambda _: None
) -> Result:
    """Retry `attempt` after `Interrupted` as `RETRY` says, counting afresh whenever `reached` (bytes) has grown.

    `say` gets a message before each pause.
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
    status, pause_s = response.status_code, None
    if status in (408, 429) or (status >= 500 and status != 507):  # 507: the storage is full
        with suppress(InvalidHeader):
            pause_s = RETRY.get_retry_after(response)
        raise Interrupted(f"the server answers {status}", pause_s or 0.0)
    if status not in allowed:
        raise Refused(f"the server answers {status}", status)


def prepared(session: requests.Session) -> requests.Session:
    """Give a session our user agent, and have it refuse redirects that leave https."""
    session.headers["User-Agent"] = USER_AGENT
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

    A partial file is continued if `file` has a checksum, which tells at the end whether it was the right one, or if the server
    still has the same ETag or date.
    """

    session: requests.Session
    url: str
    path: Path
    file: Download
    bar: tqdm

    def __post_init__(self) -> None:
        self.notes, self.n_shown = Notes(self.path), 0
        self.part = self.notes.part
        if self.notes.known.get("url") != shown(self.url):
            self.notes.known = {}

    def run(self) -> None:
        """Complete the partial file, check it and move it to `path`; start once more if it is damaged.

        Raises `Interrupted` if several attempts in a row brought no new bytes, `Refused` if the server lacks the file.
        """
        for _ in range(2):
            retrying(self._attempt, self.n_bytes_there, self.bar.set_postfix_str)
            if is_published(self.file, self.part):
                self.part.replace(self.path)
                return
            self.notes.discard()
        published = self.file.checksum or f"{self.file.n_bytes:,} bytes"
        raise Refused(f"the file arrived twice, but is not the published one ({published})")

    def n_bytes_there(self) -> int:
        """Return the size of the partial file."""
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> None:
        validator, n_bytes = self.notes.known.get("validator"), self.notes.known.get("n_bytes")
        there = self.n_bytes_there()
        offset = there if (self.file.checksum or validator) and there <= (n_bytes or there) else 0
        self._show(offset)
        if offset and offset == n_bytes:
            return
        headers = {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        headers |= {"If-Range": validator} if offset and validator else {}
        request = {"headers": headers, "stream": True, "timeout": TIMEOUT_S}
        with network_errors(), self.session.get(self.url, **request) as response:
            status, new = response.status_code, _validator(response)
            starts_there = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            is_same = starts_there and (not validator or not new or validator == new)  # some servers ignore If-Range
            if offset and (status == 416 or (status == 206 and not is_same)):
                self.notes.discard()
                raise Interrupted("the file on the server has changed")
            check_status(response, (200, 206) if offset else (200,))
            self._write(response, offset if status == 206 else 0)

    def _write(self, response: requests.Response, offset: int) -> None:
        n_bytes = self._whole_size(response)
        if not offset:
            self.part.write_bytes(b"")
            self.notes.add(url=shown(self.url), validator=_validator(response), n_bytes=n_bytes)
        self._show(offset)
        self.bar.total = self.bar.total or n_bytes
        with self.part.open("ab", buffering=0) as part:
            while block := response.raw.read1(2**20, decode_content=False):
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
