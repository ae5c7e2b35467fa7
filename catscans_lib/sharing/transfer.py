"""Published files: downloaded, checked and unpacked. A partial download, `<name>.part`, is resumed."""

import hashlib
import re
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from catscans_lib import paths
from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing.archives import unpack

TIMEOUT_S = (20.0, 60.0)  # to connect; between two pieces of data
PAUSES_S = (2, 4, 8, 16, 32)  # before each retry; counted afresh whenever new bytes have arrived
FINAL = (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError)  # no retry can mend these


def fetch(file: Download, data_dir: Path, *, mirror: str | None = None) -> None:
    """Download a published file to the data folder, check it, and unpack it if it is an archive.

    Resumes partial downloads; safe to interrupt. `mirror` is the URL of a folder that has the file under its name. Raises
    InputError if it cannot be downloaded, unpacked or written, or is not the published one.
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
    note = path.with_name(f".{path.name}.unpacked")  # checksum of an archive that was unpacked, and names in it
    checksum, *names = note.read_text(encoding="utf-8").splitlines() if note.is_file() else [""]
    is_there = all((path.parent / name).exists() for name in names)
    if file.unpack and names and checksum == str(file.checksum) and is_there:
        path.unlink(missing_ok=True)
        return
    part = path.with_name(f"{path.name}.part")
    if not (path.exists() and is_published(file, path)):
        _download(file, url, part)
        part.replace(path)
    part.unlink(missing_ok=True)
    if file.unpack:
        names = unpack(path, path.parent, max_bytes=file.n_bytes_unpacked or max(20 * path.stat().st_size, 2**30))
        with paths.atomic_write(note) as written:
            written.write_text("\n".join([str(file.checksum), *names]), encoding="utf-8")
        path.unlink()


def _download(file: Download, url: str, part: Path) -> None:
    """Complete the partial file, and check it."""
    bar = tqdm(desc=file.file_name, total=file.n_bytes, unit="B", unit_scale=True, disable=None)
    with bar, requests.Session() as session:
        session.headers.update({"User-Agent": "catscans (research compendium)", "Accept-Encoding": "identity"})
        session.hooks["response"].append(refuse_unsafe_redirects)
        n_retries, there = 0, -1
        while True:
            try:
                _append(session, file, url, part, bar)
                break
            except InputError:
                raise
            except FINAL as error:
                raise InputError(_advice(url, part, _reason(error))) from None
            except (requests.RequestException, HTTPError) as error:
                n_retries, there = 0 if _size(part) > there else n_retries, _size(part)
                if n_retries == len(PAUSES_S):
                    raise InputError(
                        f"Cannot download '{shown(url)}' after {n_retries} retries: {_reason(error)}. {there:,} bytes are "
                        f"in '{part}'. Run the command again to resume."
                    ) from None
                bar.set_postfix_str(f"{_reason(error)}; retrying in {PAUSES_S[n_retries]} s")
                sleep(PAUSES_S[n_retries])
                n_retries += 1
    if not is_published(file, part):
        part.unlink()
        wanted = file.checksum or f"{file.n_bytes:,} bytes"
        raise InputError(_advice(url, part, f"what arrived is not the published file ({wanted}) and was deleted"))


def _append(session: requests.Session, file: Download, url: str, part: Path, bar: tqdm) -> None:
    """Request the missing bytes and append them; without a checksum, only archives are resumed, which have their own."""
    offset = _size(part) if file.checksum or file.unpack else 0
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        status = response.status_code
        if offset and status == 416:  # nothing is missing
            return
        if status in (408, 429) or status >= 500:
            raise requests.HTTPError(f"the server answers {status}")
        if status not in ((200, 206) if offset else (200,)):
            raise InputError(_advice(url, part, f"the server answers {status}"))
        if not file.checksum and response.headers.get("Content-Type", "").startswith("text/html"):
            raise InputError(_advice(url, part, "the server sends a web page"))
        if status == 200 or not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            part.write_bytes(b"")
            if status == 206:
                raise requests.HTTPError("the server answers with other bytes")
        length = response.headers.get("Content-Length", "")
        n_bytes = _size(part) + int(length) if length.isdecimal() else file.n_bytes or 0
        bar.total = bar.total or n_bytes or None
        bar.update(_size(part) - bar.n)
        with part.open("ab", buffering=0) as opened:
            while block := response.raw.read1(2**20, decode_content=False):
                opened.write(block)
                bar.update(len(block))
        if _size(part) < n_bytes:
            raise requests.ConnectionError("the connection was cut")


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


def is_published(file: Download, path: Path) -> bool:
    """Return whether a file has the published checksum; the published size where there is no checksum."""
    if not file.checksum:
        return file.n_bytes in (None, path.stat().st_size)
    kind, _, published = file.checksum.partition(":")
    with path.open("rb") as content:
        return hashlib.file_digest(content, kind).hexdigest() == published


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _advice(url: str, part: Path, reason: str) -> str:
    return (
        f"Cannot download '{shown(url)}': {reason}. The publisher may have moved or replaced it, or require a login: see the "
        f"dataset's home page. Put the file at '{part.with_suffix('')}' yourself, or set CATSCANS_MIRROR to the URL of a folder "
        "that has it, and run the command again."
    )


def _reason(error: BaseException) -> str:
    """Return the system's message, or ours; else the kind of error, because other messages show secrets of URLs."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    is_ours = type(error) in (requests.HTTPError, requests.ConnectionError) and len(error.args) == 1
    return error.args[0] if is_ours and isinstance(error.args[0], str) else type(error).__name__
