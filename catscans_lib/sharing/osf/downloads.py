"""One file from OSF, by the transfer that also fetches datasets: gone on with where it was cut, checked, then named."""

from pathlib import Path

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer as sharing_transfer
from catscans_lib.sharing.osf import session as osf
from catscans_lib.sharing.osf.journal import keep
from catscans_lib.sharing.osf.local import sha256
from catscans_lib.sharing.osf.manifest import Entry
from catscans_lib.sharing.osf.progress import Bar, Part
from catscans_lib.sharing.osf.remote import Remote


class _Notes:
    """What `web.Transfer` knows of a download; not kept, for the checksum tells whether a half file is of the right one."""

    def __init__(self, url: str, n_bytes: int) -> None:
        self.known: dict = {"url": sharing_transfer.shown(url), "etag": None, "modified": None, "n_bytes": n_bytes}

    def add(self, **known: object) -> None:
        self.known |= known


class _Transfer(sharing_transfer.Transfer):
    def _refusal(self, why: str) -> InputError:
        status = int(why.split()[-1]) if why.startswith("the server answers") else 0
        return osf.refused(self.url, why, status)

    def _failure(self, error: sharing_transfer.Interrupted) -> InputError:
        return osf.gave_up(self.url, error)


def fetch(session: osf.Session, entry: Entry, there: Remote, place: Path, bar: Bar) -> None:
    """Bring a file to its place, where it is whole or not at all.

    Raises
    ------
    InputError
        If it cannot be had, or came twice with another checksum than the manifest's.
    """
    if place.is_file() and sha256(place) == entry.sha256:
        return bar.update(entry.n_bytes)
    place.parent.mkdir(parents=True, exist_ok=True)
    # its checksum in the name: a half file is gone on with only if it is the beginning of the same
    named = place.with_name(f"{place.name}.{entry.sha256[:12]}")
    download = Download(there.url, f"sha256:{entry.sha256}", entry.n_bytes, name=named.name)
    part = Part(bar)
    for _ in range(2):
        transfer = _Transfer(download, there.url, named, _Notes(there.url, entry.n_bytes), None)
        transfer.receive(session, part, spread=osf.SPREAD)
        if sha256(transfer.part) == entry.sha256:
            keep(transfer.part)
            transfer.part.replace(place)
            return None
        transfer.part.unlink()
        part.n = 0
    raise InputError(
        f"'{entry.path}' came twice from OSF with another checksum than its manifest says. It may have been changed there "
        "a moment ago: pull again."
    )
