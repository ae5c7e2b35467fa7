"""A folder here and its copy there, both looked at: what every command begins with."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import manifest
from catscans_lib.sharing.osf import session as osf
from catscans_lib.sharing.osf.journal import Journal, opened
from catscans_lib.sharing.osf.local import Folder
from catscans_lib.sharing.osf.manifest import Entry
from catscans_lib.sharing.osf.place import Place
from catscans_lib.sharing.osf.remote import Copy


@dataclass
class Sides:
    """Both sides as they were when the command began; `rows` is the copy's manifest."""

    folder: Folder
    copy: Copy
    rows: dict[str, Entry]
    journal: Journal

    @property
    def is_packed(self) -> bool:
        """Whether the copy has runs as zips."""
        return any(row.contents for row in self.rows.values())


@contextmanager
def looked_at(place: Place) -> Iterator[Sides]:
    """Look at both sides; nobody else may push or pull this folder meanwhile."""
    with osf.Session(place.base_url, osf.token(), rate=place.rate, n_connections=place.n_jobs) as session:
        copy = Copy.read(session, place.project, place.node, place.n_jobs)
        try:
            with opened(place.root, session.base_url, place.project, place.node) as journal:
                yield Sides(Folder.read(place.root), copy, read_manifest(copy, journal), journal)
        except OSError as error:
            raise InputError(
                f"Cannot read or write '{error.filename or place.root}': {error.strerror or error}. Correct that and give the "
                "same command again; what was moved is kept."
            ) from error


def read_manifest(copy: Copy, journal: Journal) -> dict[str, Entry]:
    """Return the rows of the copy's manifest as it is now; none where it has none."""
    if manifest.NAME not in copy.files:
        return {}
    try:
        text = transfer.insist(partial(_manifest, copy), spread=osf.SPREAD)
    except transfer.Interrupted as error:
        raise osf.gave_up(f"{copy.node}/{manifest.NAME}", error) from error
    journal.seen(manifest.NAME, copy.files[manifest.NAME].sha256)
    return manifest.read(text, f"{copy.node}/{manifest.NAME}")


def _manifest(copy: Copy) -> bytes:
    there = copy.files[manifest.NAME]
    text = copy.session.get(there.url).content
    if hashlib.sha256(text).hexdigest() != there.sha256:
        copy.files[manifest.NAME] = copy.look_at(there.url) or there
        raise transfer.Interrupted("the manifest arrived damaged")
    return text
