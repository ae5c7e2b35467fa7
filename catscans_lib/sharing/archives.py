"""Unpacks a published zip or tar: only plain files below one folder, within bounds, all of it or nothing."""

import errno
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from catscans_lib.errors import InputError

MAX_MEMBERS = 5_000_000  # ImageNet has 1.4 million
MAX_HEADER_BYTES = 2**20  # a tar's header of variable length is read into memory as a whole
BLOCK_BYTES = 2**20
JUNK = re.compile(r"__MACOSX|\.DS_Store|\._.*")
BY_HAND = "If you trust it, unpack it by hand with another program."
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, struct.error, ValueError, KeyError,
    IndexError, RuntimeError, OverflowError,
)  # fmt: skip

Member = tuple[str, Callable[[], IO[bytes]] | None]  # name, and what opens its content; None: a folder


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive: the names right below the folder, and how many files and bytes were written."""

    names: tuple[str, ...]
    n_files: int
    n_bytes: int


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> Unpacked:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz; told by its content, not its name) into a folder.

    Members go to a hidden folder first and take their places when all of them are there; files of the same name are
    replaced, other files stay. Only regular files and folders are accepted, with the user's own permissions. What
    macOS adds (``__MACOSX``, ``.DS_Store``, ``._*``) is passed over.

    Parameters
    ----------
    archive : Path
        The file; it stays.
    folder : Path
        Where the members go; made if it is not there.
    max_bytes : int
        Bound on the bytes written, counted as they are written.

    Raises
    ------
    InputError
        If the archive is damaged, encrypted or of another kind, exceeds a bound, or has a member that is a link or a
        device, lies outside of the folder or occurs twice. The folder is then as it was.
    OSError
        If the folder cannot be written to.
    """
    hidden = folder / f".{archive.name}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)  # from a process that was killed
    hidden.mkdir(parents=True)
    try:
        n_files, n_bytes = _write(archive, hidden, max_bytes)
        names = tuple(sorted(path.name for path in hidden.iterdir()))
        if archive.name in names:
            raise _refused(archive, archive.name, "has the archive's own name")
        _move(hidden, folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Unpacked(names, n_files, n_bytes)


def _write(archive: Path, folder: Path, max_bytes: int) -> tuple[int, int]:
    """Write the members into an empty folder; return the number of files and of bytes."""
    n_files = n_bytes = 0
    name = None
    try:
        for n_members, (name, opened) in enumerate(_members(archive), start=1):
            if n_members > MAX_MEMBERS:
                raise InputError(f"'{archive}' has more than {MAX_MEMBERS:,} members. {BY_HAND}")
            parts = _parts(archive, name)
            if any(map(JUNK.fullmatch, parts)):
                continue
            if opened is None:
                _make_folder(archive, name, folder.joinpath(*parts))
            else:
                n_bytes += _write_file(archive, name, opened, folder.joinpath(*parts), max_bytes - n_bytes)
                n_files += 1
    except InputError:
        raise
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # the disk's, not the archive's
            raise
        where = f"member {name!r} or the one after it" if name else "its first member"
        hint = BY_HAND if isinstance(error, NotImplementedError) else "Delete it and download it again."
        raise InputError(f"Cannot unpack '{archive}', {where}: {error}. {hint}") from error
    if not n_files:
        raise InputError(f"'{archive}' holds no file. Delete it and download it again.")
    return n_files, n_bytes


def _members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    return _zip_members(archive) if is_zip else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            name = member.orig_filename  # filename ends at the first NUL
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the zip was not made on Unix
            if member.flag_bits & 1:
                raise _refused(archive, name, "is encrypted")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, name, "is a link or a device")
            is_folder = member.is_dir() or kind == stat.S_IFDIR
            yield name, None if is_folder else partial(file.open, member)


def _tar_members(archive: Path) -> Iterator[Member]:
    with _open_tar(archive) as file:
        while member := file.next():
            file.members.clear()  # else it remembers all of them
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, member.name, "is a link or a device")
            if member.size < 0:  # tarfile would go back to it for ever
                raise _refused(archive, member.name, "has a negative size")
            yield member.name, None if member.isdir() else partial(file.extractfile, member)
        while block := file.fileobj.read(BLOCK_BYTES):  # to its very end, where the checksum of what was packed stands
            if block.strip(b"\0"):
                raise tarfile.ReadError("something follows its end")


def _open_tar(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, tarinfo=_Header)
    except tarfile.ReadError:
        raise tarfile.ReadError("it is no zip and no tar") from None


class _Header(tarfile.TarInfo):
    """A header that is sound; tarfile would take a damaged one, or none, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError, tarfile.EmptyHeaderError) as error:
            raise tarfile.ReadError(str(error)) from None

    def _proc_member(self, tarfile: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in b"xgXLK" and not 0 <= self.size <= MAX_HEADER_BYTES:  # pax headers and long names
            raise ValueError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tarfile)


def _parts(archive: Path, name: str) -> list[str]:
    """The folders and the file that a member's name consists of, if all of them lie below the archive's folder."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or re.search(r"[\\\0]|^[A-Za-z]:", name):
        raise _refused(archive, name, "does not lie below its folder on every system")
    return parts


def _make_folder(archive: Path, name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(archive, name, "makes a folder of a file") from None


def _write_file(archive: Path, name: str, opened: Callable[[], IO[bytes]], path: Path, max_bytes: int) -> int:
    """Write one file and return its size."""
    n_bytes = 0
    _make_folder(archive, name, path.parent)
    try:
        file = path.open("xb")
    except FileExistsError:
        raise _refused(archive, name, "occurs twice") from None
    with file, opened() as content:
        while block := content.read(BLOCK_BYTES):
            n_bytes += len(block)
            if n_bytes > max_bytes:
                raise _refused(archive, name, "exceeds the number of bytes that the archive may unpack to")
            file.write(block)
    return n_bytes


def _move(source: Path, target: Path) -> None:
    """Move what lies in one folder to another; a folder that is there already is filled up."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)


def _refused(archive: Path, name: str, what: str) -> InputError:
    return InputError(f"'{archive}' is refused, nothing of it was unpacked: its member {name!r} {what}. {BY_HAND}")
