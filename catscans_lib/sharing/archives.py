"""Unpacks a zip or tar from somebody else: only plain files below one folder, within bounds, all of them or none."""

import errno
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catscans_lib.errors import InputError

MAX_MEMBERS = 5_000_000  # ImageNet has 1.4 million
MAX_HEADER_BYTES = 2**20  # tarfile reads a header of variable length into memory as a whole
JUNK = re.compile(r"__MACOSX|\.DS_Store|\._.*")
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold; real ones would change the bytes
COMPRESSED = {".keras", ".png", ".h5", ".woff2"}  # stored without compressing them again
BY_HAND = "If you trust it, unpack it by hand with another program."
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, struct.error, ValueError, KeyError,
    IndexError, RuntimeError, OverflowError,
)  # fmt: skip


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> tuple[str, ...]:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz; recognised by its content) to a folder; return the names at its top.

    Members move to their places when all of them are unpacked; files of the same name are replaced. Files get the user's
    default permissions. What macOS adds (``__MACOSX``, ``.DS_Store``, ``._*``) is skipped.

    Raises InputError, the folder being as it was, if the archive is damaged, encrypted or of another kind, exceeds `max_bytes`,
    or has a member that is a link or a device, leads out of the folder or occurs twice; OSError if it cannot write there.
    """
    hidden = folder / f".{archive.name}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)  # from a process that was killed
    hidden.mkdir(parents=True)
    guard = _Guard(archive, hidden, max_bytes)
    try:
        _extract(archive, hidden, guard)
        names = tuple(sorted(path.name for path in hidden.iterdir()))
        if archive.name in names:
            raise guard.refused(archive.name, "has the archive's own name")
        _move(hidden, folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return names


def add_file(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    """Add a file to a zip that is being written; the same files in the same order always give the same bytes."""
    info = zipfile.ZipInfo(name, ZIP_DATE)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if Path(name).suffix in COMPRESSED else zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as target:
        if isinstance(content, bytes):
            target.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, target, 2**20)


@dataclass
class _Guard:
    """Checks every member just before it is extracted to `folder`; counts members, files and bytes."""

    archive: Path
    folder: Path
    max_bytes: int
    n_members: int = 0
    n_files: int = 0
    n_bytes: int = 0
    name: str = ""

    def accepts(self, name: str, n_bytes: int, *, is_folder: bool, is_special: bool) -> bool:
        """Return False for a member to skip; raise InputError for one that makes the archive unsafe."""
        self.name = name
        self.n_members += 1
        if self.n_members > MAX_MEMBERS:
            raise InputError(f"'{self.archive}' has more than {MAX_MEMBERS:,} members. {BY_HAND}")
        if is_special:
            raise self.refused(name, "is a link or a device")
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or re.search(r"[\\\0]|^[A-Za-z]:", name):
            raise self.refused(name, "leads out of the folder on some systems")
        if any(map(JUNK.fullmatch, parts)):
            return False
        path = self.folder / name
        if any(each.is_file() for each in path.parents if each.is_relative_to(self.folder)):
            raise self.refused(name, "lies below a file")
        if path.exists() and not (is_folder and path.is_dir()):
            raise self.refused(name, "occurs twice")
        self.n_files += not is_folder
        self.n_bytes += n_bytes
        if n_bytes < 0 or self.n_bytes > self.max_bytes:
            raise self.refused(name, f"exceeds the {self.max_bytes:,} bytes that the archive may unpack to")
        return True

    def refused(self, name: str, what: str) -> InputError:
        return InputError(f"'{self.archive}' is refused, nothing was unpacked: its member {name!r} {what}. {BY_HAND}")


def _extract(archive: Path, folder: Path, guard: _Guard) -> None:
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    try:
        (_extract_zip if is_zip else _extract_tar)(archive, folder, guard)
    except InputError:
        raise
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # the disk's, not the archive's
            raise
        where = f"member {guard.name!r} or the one after it" if guard.name else "its first member"
        is_unreadable = isinstance(error, RuntimeError)  # encrypted, or compressed in a way that zipfile does not know
        hint = BY_HAND if is_unreadable else "Delete it and download it again."
        raise InputError(f"Cannot unpack '{archive}', {where}: {error}. {hint}") from error
    if not guard.n_files:
        raise InputError(f"'{archive}' holds no file. Delete it and download it again.")


def _extract_zip(archive: Path, folder: Path, guard: _Guard) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            name = member.orig_filename  # `filename` ends at the first NUL
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 if the zip was not made on Unix
            is_folder = member.is_dir() or kind == stat.S_IFDIR
            is_special = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
            if not guard.accepts(name, member.file_size, is_folder=is_folder, is_special=is_special):
                continue
            if is_folder:
                (folder / name).mkdir(parents=True, exist_ok=True)
            else:
                file.extract(member, folder)  # writes `file_size` bytes at most


def _extract_tar(archive: Path, folder: Path, guard: _Guard) -> None:
    def checked(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        kind = {"is_folder": member.isdir(), "is_special": not (member.isreg() or member.isdir())}
        accepted = guard.accepts(member.name, member.size, **kind)
        return tarfile.data_filter(member, place).replace(mode=None, mtime=None, deep=False) if accepted else None

    def members() -> Iterator[tarfile.TarInfo]:
        while member := file.next():
            file.members.clear()  # else tarfile keeps all of them in memory
            if member.size < 0:  # tarfile would go back to it for ever
                raise guard.refused(member.name, "has a negative size")
            yield member

    if not tarfile.is_tarfile(archive):
        raise tarfile.ReadError("it is neither a zip nor a tar")
    with tarfile.open(archive, tarinfo=_Header) as file:
        file.extractall(folder, members(), filter=checked)
        while block := file.fileobj.read(2**20):  # to the end, where the checksum of a compressed tar is
            if block.strip(b"\0"):
                raise tarfile.ReadError("more data follows its end")


class _Header(tarfile.TarInfo):
    """A strict header: tarfile takes a damaged or missing one for the end of the archive."""

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


def _move(source: Path, target: Path) -> None:
    """Move the content of one folder to another; a folder that is there already is filled up."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)
