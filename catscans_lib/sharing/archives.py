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
from collections.abc import Callable
from pathlib import Path

from catscans_lib.errors import InputError

JUNK = re.compile(r"__MACOSX|\.DS_Store|\._.*")
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold; real ones would change the bytes
COMPRESSED = {".keras", ".png", ".h5", ".woff2"}  # stored without compressing them again
BY_HAND = "If you trust it, unpack it by hand with another program."
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, struct.error, ValueError, KeyError,
    IndexError, RuntimeError, OverflowError,
)  # fmt: skip
OF_ARCHIVE = (None, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # errors of the archive, not of the disk
Check = Callable[[str, int, bool], bool]  # of name, size and whether a plain file or folder: whether to extract it


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> tuple[str, ...]:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz; recognised by its content) to a folder; return the names at its top.

    Members move to their places when all of them are unpacked; files of the same name are replaced. What macOS adds is skipped.
    Raises InputError, the folder being as it was, if the archive is damaged, encrypted or of another kind, exceeds `max_bytes`,
    or has a member that is a link or a device or leads out of the folder; OSError if it cannot write there.
    """
    hidden = folder / f".{archive.name}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)  # from a process that was killed
    hidden.mkdir(parents=True)
    left = max_bytes

    def check(name: str, size: int, is_plain: bool) -> bool:
        nonlocal left
        is_junk = any(map(JUNK.fullmatch, name.split("/")))
        left -= 0 if is_junk else size
        what = f"exceeds the {max_bytes:,} bytes that the archive may unpack to" if size < 0 or left < 0 else ""
        if name.startswith("/") or ".." in name.split("/") or re.search(r"[\\\0]|^[A-Za-z]:", name):
            what = "leads out of the folder on some systems"
        if what or not is_plain:
            what = what if is_plain else "is a link or a device"
            raise InputError(f"'{archive}' is refused, nothing was unpacked: its member {name!r} {what}. {BY_HAND}")
        return not is_junk

    try:
        _extract(archive, hidden, check)
        names = tuple(sorted(path.name for path in hidden.iterdir()))
        _move(hidden, folder)
        return names
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


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


def _extract(archive: Path, folder: Path, check: Check) -> None:
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    try:
        (_extract_zip if is_zip else _extract_tar)(archive, folder, check)
    except InputError:
        raise
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in OF_ARCHIVE:
            raise  # the disk's, not the archive's
        is_unreadable = isinstance(error, RuntimeError)  # encrypted, or compressed in a way that zipfile does not know
        hint = BY_HAND if is_unreadable else "Delete it and download it again."
        raise InputError(f"Cannot unpack '{archive}': {error}. {hint}") from error


def _extract_zip(archive: Path, folder: Path, check: Check) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 if the zip was not made on Unix
            is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            if check(member.orig_filename, member.file_size, is_plain):  # `filename` ends at the first NUL
                file.extract(member, folder)  # writes `file_size` bytes at most


def _extract_tar(archive: Path, folder: Path, check: Check) -> None:
    def checked(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        accepted = check(member.name, member.size, member.isreg() or member.isdir())
        return tarfile.data_filter(member, place).replace(mode=None, mtime=None, deep=False) if accepted else None

    if not tarfile.is_tarfile(archive):
        raise tarfile.ReadError("it is neither a zip nor a tar")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter=checked)
        while block := file.fileobj.read(2**20):  # to the end, where the checksum of a compressed tar is
            if block.strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("more data follows its end")


def _move(source: Path, target: Path) -> None:
    """Move the content of one folder to another; a folder that is there already is filled up."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)
