"""Published files: downloaded, checked, unpacked; `.<name>.download` then records what was unpacked."""

import re
from pathlib import Path
from urllib.parse import quote

import requests
from tqdm import tqdm

from catscans_lib import paths
from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.archives import unpack
from catscans_lib.sharing.transfer import Notes, Transfer, is_published, shown


def fetch(file: Download, data_dir: Path, *, progress: bool | None = None, mirror: str | None = None) -> str | None:
    """Download a published file to the data folder, check it, and unpack it if it is an archive.

    Resumes partial downloads; safe to interrupt. Nothing is downloaded twice. A progress bar is shown on a terminal, or as
    `progress` says. `mirror` is the URL of a folder that has the file under its name.

    Returns
    -------
    str or None
        SHA-256 of the file if no checksum was published.

    Raises
    ------
    InputError
        If the file cannot be downloaded, is not the published one, or cannot be unpacked, or if the disk is full.
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
                return _fetch(file, url, path, progress)
            finally:
                lock.unlink()
    except OSError as error:
        raise InputError(
            f"Cannot write to '{path.parent}': {error.strerror or error}. Correct that and run the command again; "
            "what was downloaded is kept."
        ) from error


def _fetch(file: Download, url: str, path: Path, progress: bool | None) -> str | None:
    notes = Notes(path)
    if names := notes.known.get("unpacked"):
        is_same = file.unpack and notes.known["checksum"] == file.checksum
        if is_same and all((path.parent / name).exists() for name in names):
            path.unlink(missing_ok=True)
            return notes.known["sha256"]
    if not (path.exists() and is_published(file, path)):
        _download(file, url, path, progress)
    notes.discard()
    sha256 = None if file.checksum else paths.sha256(path)
    if file.unpack:
        max_bytes = file.n_bytes_unpacked or max(20 * path.stat().st_size, 2**30)
        names = unpack(path, path.parent, max_bytes=max_bytes)
        notes.add(unpacked=names, checksum=file.checksum, sha256=sha256)
        path.unlink()
    return sha256


def _download(file: Download, url: str, path: Path, progress: bool | None) -> None:
    is_off = None if progress is None else not progress
    bar = tqdm(desc=path.name, total=file.n_bytes, unit="B", unit_scale=True, disable=is_off)
    with bar, transfer.prepared(requests.Session()) as session:
        one = Transfer(session, url, path, file, bar)
        try:
            one.run()
        except transfer.Refused as error:
            raise InputError(
                f"Cannot download '{shown(url)}': {error}. The publisher may have moved or replaced it, or require a "
                f"login: see the dataset's home page. Put the file at '{path}' yourself, or set CATSCANS_MIRROR to the "
                "URL of a folder that has it, and run the command again."
            ) from None
        except transfer.Interrupted as error:
            raise InputError(
                f"Cannot download '{shown(url)}' after {transfer.RETRY.total} retries: {error}. {one.n_bytes_there():,} bytes "
                f"are in '{one.part}'. Run the command again to resume."
            ) from None
