"""Published files: downloaded, checked and unpacked; resumed and retried.

A partial download is `<name>.part`; `.<name>.download` records its URL, its ETag or date, and its size, later what was unpacked.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from catscans_lib import paths
from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing.archives import unpack

TIMEOUT_S = (20.0, 60.0)  # to connect; between two pieces of data
RETRY = Retry(total=5, backoff_factor=1.5, backoff_jitter=1.0)  # pauses of 0, 3, 6, 12 and 24 s, each up to 1 s longer
MAX_PAUSE_S = 120.0  # even if a server's Retry-After asks for more


class Interrupted(Exception):
    """A failure that a retry may mend, such as a cut connection; `pause_s` is what the server's Retry-After asks for."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class Refused(Exception):
    """A failure that no retry can mend."""


def retrying(
    attempt: Callable[[], Any], reached: Callable[[], int] = lambda: 0, say: Callable[[str], Any] = lambda _: None
) -> Any:
    """Retry after `Interrupted` as `RETRY` says, counting afresh whenever `reached` (bytes) has grown; `say` tells of pauses."""
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
        raise Refused(f"the server answers {status}")


def prepared(session: requests.Session) -> requests.Session:
    """Give a session our user agent, and have it refuse redirects that leave https."""
    session.headers["User-Agent"] = "catscans (research compendium)"  # Zenodo limits names of libraries more
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


def fetch(file: Download, data_dir: Path, *, mirror: str | None = None) -> None:
    """Download a published file to the data folder, check it, and unpack it if it is an archive.

    Resumes partial downloads; safe to interrupt. Nothing is downloaded twice. A terminal shows a progress bar. `mirror` is the
    URL of a folder that has the file under its name. Raises InputError if it cannot be downloaded, unpacked or written, or is not
    the published one.
    """
    url = f"{mirror.rstrip('/')}/{quote(file.file_name)}" if mirror else file.url
    if not re.match(r"https?://[^/]", url, re.IGNORECASE):
        raise InputError(f"Cannot download '{shown(url)}': the URL must begin with http:// or https://.")
    path = data_dir / file.folder / file.file_name
    lock = path.with_name(f".{path.name}.lock")

    def refuse(holder: str) -> None:
        raise InputError(f"'{path}' is being downloaded by {holder}. Wait until it has ended.")

    try:
        with paths.locked(lock, refuse):
            try:
                _fetch(file, url, path)
            finally:
                lock.unlink()
    except OSError as error:
        raise InputError(
            f"Cannot write to '{path.parent}': {error.strerror or error}. Correct that and run the command again; "
            "what was downloaded is kept."
        ) from error


def _fetch(file: Download, url: str, path: Path) -> None:
    notes = Notes(path)
    if names := notes.known.get("unpacked"):
        is_same = file.unpack and notes.known["checksum"] == file.checksum
        if is_same and all((path.parent / name).exists() for name in names):
            path.unlink(missing_ok=True)
            return
    if not (path.exists() and is_published(file, path)):
        _download(file, url, path)
    notes.discard()
    if file.unpack:
        names = unpack(path, path.parent, max_bytes=file.n_bytes_unpacked or max(20 * path.stat().st_size, 2**30))
        notes.add(unpacked=names, checksum=file.checksum)
        path.unlink()


def _download(file: Download, url: str, path: Path) -> None:
    bar = tqdm(desc=path.name, total=file.n_bytes, unit="B", unit_scale=True, disable=None)
    with bar, prepared(requests.Session()) as session:
        one = Transfer(session, url, path, file, bar)
        try:
            one.run()
        except Refused as error:
            raise InputError(
                f"Cannot download '{shown(url)}': {error}. The publisher may have moved or replaced it, or require a "
                f"login: see the dataset's home page. Put the file at '{path}' yourself, or set CATSCANS_MIRROR to the "
                "URL of a folder that has it, and run the command again."
            ) from None
        except Interrupted as error:
            raise InputError(
                f"Cannot download '{shown(url)}' after {RETRY.total} retries: {error}. {one.n_bytes_there():,} bytes "
                f"are in '{one.part}'. Run the command again to resume."
            ) from None


class Notes:
    """What is known about a download, in a JSON file beside its partial file."""

    def __init__(self, path: Path) -> None:
        self.part, self.path = path.with_name(f"{path.name}.part"), path.with_name(f".{path.name}.download")
        self.known: dict[str, Any] = {}
        with suppress(FileNotFoundError, ValueError):
            self.known = json.loads(self.path.read_text(encoding="utf-8"))

    def add(self, **known: Any) -> None:
        self.known |= known
        with paths.atomic_write(self.path) as part:
            part.write_text(json.dumps(self.known), encoding="utf-8")

    def discard(self) -> None:
        self.known = {}
        self.part.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@dataclass
class Transfer:
    """Downloads `url` to `path` by way of `<path>.part`, and requests only the bytes that are missing.

    Continues a partial file only if `file` has a checksum, to be checked at the end, or the server still has its ETag or date.
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
        """Complete the partial file, check it and move it to `path`; start once more if it is damaged."""
        for _ in range(2):
            retrying(self._attempt, self.n_bytes_there, self.bar.set_postfix_str)
            if is_published(self.file, self.part):
                self.part.replace(self.path)
                return
            self.notes.discard()
        published = self.file.checksum or f"{self.file.n_bytes:,} bytes"
        raise Refused(f"the file arrived twice, but is not the published one ({published})")

    def n_bytes_there(self) -> int:
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
        with network_errors(), self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            status, etag = response.status_code, response.headers.get("ETag", "")
            is_strong = etag and not etag.startswith("W/")  # If-Range accepts no weak one
            new = etag if is_strong else response.headers.get("Last-Modified")
            starts_there = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            is_same = starts_there and (not validator or not new or validator == new)  # some servers ignore If-Range
            if offset and (status == 416 or (status == 206 and not is_same)):
                self.notes.discard()
                raise Interrupted("the file on the server has changed")
            check_status(response, (200, 206) if offset else (200,))
            self._write(response, offset if status == 206 else 0, new)

    def _write(self, response: requests.Response, offset: int, validator: str | None) -> None:
        """Append the answer; without a checksum, refuse what cannot be the published file."""
        name = "Content-Range" if response.status_code == 206 else "Content-Length"
        size = response.headers.get(name, "").rpartition("/")[2]
        n_bytes = int(size) if size.isdecimal() else self.file.n_bytes
        if not self.file.checksum and response.headers.get("Content-Type", "").startswith("text/html"):
            raise Refused("the server sends a web page")
        if not self.file.checksum and self.file.n_bytes not in (None, n_bytes):
            raise Refused(f"the server's file has {n_bytes:,} bytes, the published one {self.file.n_bytes:,}")
        if not offset:
            self.part.write_bytes(b"")
            self.notes.add(url=shown(self.url), validator=validator, n_bytes=n_bytes)
        self._show(offset)
        self.bar.total = self.bar.total or n_bytes
        with self.part.open("ab", buffering=0) as part:
            while block := response.raw.read1(2**20, decode_content=False):
                part.write(block)
                self._show(self.n_shown + len(block))
        if self.n_bytes_there() < (n_bytes or 0):
            raise Interrupted("the connection was cut")
        self.notes.add(n_bytes=self.n_bytes_there())

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


def _reason(error: BaseException) -> str:
    """Return the system's message about a failed connection, else the kind of error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
