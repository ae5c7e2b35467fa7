"""The image store: one HDF5 file per dataset and size, decoded once, trained from many times.

The pixels are one contiguous dataset, so that batches come from a memory map and not through HDF5.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import perceptual_hash
from catscans_lib.images.decode import decode_files, resized
from catscans_lib.images.listing import Listing

READER_VERSION = 3  # raise it when the same files would give other pixels or another table
COLUMNS = ("image_id", "label", "group", "split", "path", "sha256", "mode", "size")
ATTRIBUTES = ("dataset", "size_px", "classes", "fingerprint", "reader_version")


@dataclass(frozen=True)
class ImageStore:
    """An opened store; row i of `table` describes ``images[i]``.

    Attributes
    ----------
    images : numpy.memmap of uint8, shape (n_images, size_px, size_px, 3)
        RGB, read-only.
    table : pandas.DataFrame
        image_id (sorted, unique), label, group, split, path, sha256, mode and size of the file; all strings.
    classes : tuple of str
        Classes that have an image, in the order of the card.
    dataset : str
    size_px : int
    fingerprint : str
        SHA-256 over ids, labels, groups, SHA-256 per image, size and reader version.
    """

    images: np.memmap
    table: pd.DataFrame
    classes: tuple[str, ...]
    dataset: str
    size_px: int
    fingerprint: str


def write(path: Path, listing: Listing, *, dataset: str, size_px: int, n_processes: int = 1) -> pd.DataFrame:
    """Decode the listed files and store them; what cannot be decoded is skipped and returned.

    Returns
    -------
    pandas.DataFrame
        path, problem: one row per file that was skipped.

    Raises
    ------
    InputError
        If no file could be decoded; then no store is left behind.
    """
    kept, found, problems = [], [], []
    names = list(listing.images["path"])
    if listing.pixels is None:
        decoded = decode_files(map(listing.file, names), size_px, n_processes)
    else:
        decoded = resized(listing.pixels(names), size_px)
    with _new_file(path, len(names), size_px) as file:
        block = _Block(file["images"])
        for row, (name, got) in enumerate(zip(names, decoded, strict=True)):
            if got.pixels is None:
                problems.append((name, got.problem))
                continue
            block.add(got.pixels)
            kept.append(row)
            found.append((got.sha256, got.mode, got.size))
        block.flush()
        if not kept:
            first = f" First problem: {problems[0][0]}: {problems[0][1]}." if problems else ""
            raise InputError(
                f"None of {len(names)} images of '{dataset}' could be decoded.{first} Check '{listing.root}'."
            )
        table = listing.images.iloc[kept].copy()
        table[["sha256", "mode", "size"]] = found
        if listing.joins_near_duplicates:
            hashes = perceptual_hash.perceptual_hashes(file["images"])[: len(table)]
            table["group"] = table["group"].to_numpy()[perceptual_hash.groups(hashes)]
        _describe(file, table, listing.classes, dataset, size_px)
    return pd.DataFrame(problems, columns=["path", "problem"], dtype=str)


def write_arrays(
    path: Path, images: np.ndarray, table: pd.DataFrame, classes: tuple[str, ...], *, dataset: str, size_px: int
) -> None:
    """Store generated images, uint8 (n_images, size_px, size_px, 3), in the order of the table's image_id.

    The SHA-256 is that of the pixel bytes and the path is empty.

    Raises
    ------
    InputError
        If the images have another shape or type than the table and the size say.
    """
    wanted = (len(table), size_px, size_px, 3)
    if images.shape != wanted or images.dtype != np.uint8:
        raise InputError(f"Images of '{dataset}' are {images.dtype} {images.shape}; pass uint8 {wanted}.")
    order = np.argsort(table["image_id"].to_numpy(dtype=str), kind="stable")
    sha256s = [hashlib.sha256(images[row].tobytes()).hexdigest() for row in order]
    with _new_file(path, len(table), size_px) as file:
        file["images"][...] = images[order]
        _describe(
            file,
            table.iloc[order].assign(path="", sha256=sha256s, mode="RGB", size=f"{size_px} x {size_px}"),
            classes,
            dataset,
            size_px,
        )


def open_store(path: Path) -> ImageStore:
    """Open a store; the images stay on disk and are mapped read-only.

    Raises
    ------
    InputError
        If there is no file, it is no image store, or an older reader wrote it.
    """
    if not path.is_file():
        raise InputError(f"No image store '{path}'. Run the ingest notebook of this dataset first.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"'{path}' is not an HDF5 file. Delete it and run ingest again.") from error
    with file:
        attrs = dict(file.attrs)
        if attrs.get("reader_version") != READER_VERSION or "images" not in file:
            got = attrs.get("reader_version", "none")
            raise InputError(
                f"'{path}' has reader version {got}, not {READER_VERSION}. Delete it and run ingest again."
            )
        table = pd.DataFrame({name: file[f"table/{name}"].asstr()[:] for name in COLUMNS}, dtype=str)
        shape = (len(table), *file["images"].shape[1:])
        images = np.memmap(path, np.uint8, "r", offset=file["images"].id.get_offset(), shape=shape)
    return ImageStore(
        images, table, tuple(attrs["classes"]), attrs["dataset"], int(attrs["size_px"]), attrs["fingerprint"]
    )


class _Block:
    """Collects images and writes them in blocks, because single rows through HDF5 are slow."""

    def __init__(self, dataset: h5py.Dataset, n_rows: int = 256) -> None:
        self.dataset, self.n_rows, self.start, self.images = dataset, n_rows, 0, []

    def add(self, pixels: np.ndarray) -> None:
        self.images.append(pixels)
        if len(self.images) == self.n_rows:
            self.flush()

    def flush(self) -> None:
        if self.images:
            self.dataset[self.start : self.start + len(self.images)] = np.stack(self.images)
            self.start += len(self.images)
            self.images = []


@contextmanager
def _new_file(path: Path, n_images: int, size_px: int) -> Iterator[h5py.File]:
    """Give a file under a temporary name with room for the images; it gets its name when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            file.create_dataset("images", (n_images, size_px, size_px, 3), np.uint8)
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _describe(file: h5py.File, table: pd.DataFrame, classes: tuple[str, ...], dataset: str, size_px: int) -> None:
    found = set(table["label"])
    for name in COLUMNS:
        file.create_dataset(f"table/{name}", data=table[name].astype(object).to_numpy(), dtype=h5py.string_dtype())
    file.attrs["dataset"] = dataset
    file.attrs["size_px"] = size_px
    file.attrs["classes"] = [label for label in classes if label in found]
    file.attrs["fingerprint"] = _fingerprint(table, size_px)
    file.attrs["reader_version"] = READER_VERSION


def _fingerprint(table: pd.DataFrame, size_px: int) -> str:
    digest = hashlib.sha256(f"{READER_VERSION}\n{size_px}\n".encode())
    for row in zip(*(table[name] for name in ("image_id", "label", "group", "sha256")), strict=True):
        digest.update("\t".join((*row, "\n")).encode())
    return digest.hexdigest()
