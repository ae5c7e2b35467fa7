"""What a crate must not hold: names that no reader of data is for, code, more than it seems, files that are not its own."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from catscans_lib.errors import InputError
from catscans_lib.networks import weight_files
from catscans_lib.sharing.crate import contents, metadata

MAX_METADATA_BYTES = 2**28
MAX_NETWORK_RATIO, LEAST_NETWORK_BYTES = 20, 2**26  # Keras does not compress: a network unpacks to its own size
PICKLES = {".pkl", ".pickle", ".joblib", ".npy", ".npz", ".pt", ".pth", ".ckpt", ".dill"}  # can hold one


def refuse_names(archive: Path) -> None:
    """Refuse a crate by the names of its members, before anything is unpacked."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InputError(f"'{archive}' is no zip: {error}. Give a crate that `catscans export` wrote.") from None
    names = [member.orig_filename for member in members]
    described = [member for member in members if member.orig_filename == metadata.NAME]
    if len(described) != 1 or described[0].file_size > MAX_METADATA_BYTES:
        raise InputError(f"'{archive}' is no RO-Crate: no {metadata.NAME} in it, or too large a one.")
    if pickles := [name for name in names if PurePosixPath(name).suffix.lower() in PICKLES]:
        raise refused(archive, f"{contents.some(pickles)} may hold a pickle, which runs code when it is read")


def refuse_code(folder: Path, names: list[str]) -> None:
    """Refuse networks that are more than Keras's own layers and numbers; a store that reads other files."""
    for name in names:
        path = folder / name
        if path.suffix == ".keras":
            _refuse_bomb(path, name)
            weight_files.read(path)
        elif path.suffix == ".h5":
            _refuse_links(path, name)


def _refuse_bomb(path: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{name} is no network as Keras saves it: {error}. Nothing was imported.") from None
    if unpacked > max(LEAST_NETWORK_BYTES, MAX_NETWORK_RATIO * path.stat().st_size):
        raise InputError(
            f"{name} would unpack to {unpacked:,} bytes, far more than a network holds. Nothing was imported."
        )


def _refuse_links(path: Path, name: str) -> None:
    import h5py

    def check(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            raise InputError(f"{name}: '{place}' reads another file. Nothing was imported.")

    try:
        with h5py.File(path, "r") as file:
            file.visititems(check)
    except OSError as error:
        raise InputError(f"{name} is no image store: {error}. Nothing was imported.") from None


def refused(archive: Path, what: str) -> InputError:
    """Return the error for a crate that is not taken, before anything has changed."""
    return InputError(
        f"'{archive}' is refused, nothing was imported: {what}. Get it again from where it was published."
    )
