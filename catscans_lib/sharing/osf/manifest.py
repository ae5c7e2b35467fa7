"""What a copy on OSF should hold: a table beside the files, with checksum, size and run of each; sent last.

A row is a file, or a run's folder that was packed into one zip; `contents` then stands for what is inside.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from catscans_lib.errors import InputError

NAME = "osf_manifest.csv"


@dataclass(frozen=True)
class Entry:
    """One file on OSF.

    Attributes
    ----------
    path : str
        From the copy's folder on, parts joined by slashes.
    sha256 : str
        Of the file on OSF.
    n_bytes : int
        Its size.
    run_id : str
        The run it is a result of; "" if it lies in no run's folder.
    contents : str
        "" for a plain file; for a zip, the SHA-256 of the lines "<sha256>  <path>" of its files, sorted by path.
    """

    path: str
    sha256: str
    n_bytes: int
    run_id: str = ""
    contents: str = ""

    @property
    def state(self) -> str:
        """What the same results on this machine have too: the packed bytes may differ, what is packed may not."""
        return self.contents or self.sha256

    @property
    def place(self) -> str:
        """Where it lies on this machine: a zip is unpacked to the folder of its name."""
        return self.path.removesuffix(".zip") if self.contents else self.path

    @property
    def unit(self) -> str:
        """What belongs together, so that part of it alone is worth nothing: the run's folder, else the file."""
        return unit_of(self.place) if self.run_id else self.place


def unit_of(path: str) -> str:
    """Return the run's folder, `step/name`, of a path in it.

    >>> unit_of("transfer/dtd--chest/figures/auc.csv")
    'transfer/dtd--chest'
    """
    return "/".join(path.split("/")[:2])


def contents(checksums: dict[str, str]) -> str:
    """Return what stands for a folder's files: a SHA-256 over their names and checksums, as `sha256sum` prints them."""
    lines = [f"{checksums[path]}  {path}\n" for path in sorted(checksums)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write(entries: Iterable[Entry]) -> bytes:
    """Return the table as CSV, sorted by path."""
    file = io.StringIO()
    table = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(entry) for entry in sorted(entries, key=lambda entry: entry.path))
    return file.getvalue().encode()


def read(text: bytes, place: str) -> dict[str, Entry]:
    """Return the rows of a table by path.

    Raises
    ------
    InputError
        If it is none, or a path would lie outside of the folder; what comes from a server is not trusted.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text.decode("utf-8")), strict=True))
        entries = [Entry(**row | {"n_bytes": int(row["n_bytes"])}) for row in rows]
        damaged = [entry.path for entry in entries if not _is_sound(entry)]
        is_double = len({entry.path for entry in entries}) < len(entries)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"'{place}' is no manifest: {error}. Delete it on OSF and push again.") from error
    if damaged or is_double:
        what = f"row {damaged[0]!r} cannot be right" if damaged else "a path occurs twice"
        raise InputError(f"'{place}' is refused: {what}. Delete it on OSF and push again.")
    return {entry.path: entry for entry in entries}


def _is_sound(entry: Entry) -> bool:
    hashes = [entry.sha256, entry.contents] if entry.contents else [entry.sha256]
    is_hashes = all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)
    is_zip = not entry.contents or (entry.path.endswith(".zip") and entry.place.count("/") == 1)
    is_in_run = not entry.run_id or entry.place.count("/") >= 1
    names = entry.path.split("/")
    return (
        is_hashes
        and is_zip
        and is_in_run
        and entry.n_bytes >= 0
        and all(map(is_safe, names))
        and not any(map(is_hidden, names))
    )


def is_safe(name: str) -> bool:
    """Return whether a name from a server can be that of one file or folder, on every system and nowhere else.

    >>> [is_safe(name) for name in ("auc.csv", "..", "a/b", "C:", "")]
    [True, False, False, False, False]
    """
    return name not in ("", ".", "..") and not re.search(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]', name)


def is_hidden(name: str) -> bool:
    """Return whether a name is one that results never have: such files are not sent, fetched or listed."""
    return name.startswith(".")
