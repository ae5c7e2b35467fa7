"""The image store: one HDF5 file per dataset and size, decoded once and read many times; and subsets of its images.

The pixels are one contiguous HDF5 dataset, so batches are read from a memory map, without HDF5.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.images import duplicates, findings, folds
from catscans_lib.images.decode import decode_files, resized
from catscans_lib.images.listing import Listing, Problem
from catscans_lib.images.pixels import NOTES, Resize
from catscans_lib.images.ranges import Deep

READER_VERSION = 4  # increase it when the same files would give other pixels or another table
COLUMNS = ("image_id", "label", "group", "split", "path", "sha256", "mode", "size")
BLOCK = 256  # images written at once; single rows are slow


@dataclass(frozen=True)
class ImageStore:
    """An opened store; row i of `table` describes ``images[i]``."""

    images: np.memmap  #: uint8 RGB, shape (n_images, size_px, size_px, 3), read-only
    table: pd.DataFrame  #: image_id (sorted, unique), label, group, split, path, sha256, mode, size; all strings
    classes: tuple[str, ...]  #: classes that have an image, in the order of the dataset's card
    dataset: str
    size_px: int
    fingerprint: str  #: SHA-256 over pixels, classes and table, without the paths of the files
    #: path, problem: what was lost of images that were read; path "": a note on the dataset
    losses: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=Problem._fields))
    value_range: tuple[float, float] | None = None  #: values that became 0 and 255, in images with more than 8 bits
    findings: np.ndarray | None = None  #: where images have several classes or none: bool, shape (n_images, n_classes)

    @property
    def labels(self) -> np.ndarray:
        """Class of every image by number, int (n_images,); `findings`, where images may have several."""
        if self.findings is not None:
            return self.findings
        return pd.Categorical(self.table["label"], self.classes).codes.astype(int)


@dataclass(frozen=True)
class Subset:
    """Some images of one dataset."""

    store: ImageStore
    rows: np.ndarray  #: of the store
    #: classes, numbered from 0 among those that occur, int (n_images,); or findings that some but not all of these images
    #: have, bool (n_images, n_findings)
    labels: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """Patient, lesion or slide of every image; one name for those that equal files link."""
        units = folds.linked(self.store.table)
        first = np.unique(units, return_index=True)[1]
        return self.store.table["group"].to_numpy()[first[units[self.rows]]]


def write(
    path: Path, listing: Listing, *, dataset: str, size_px: int, resize: Resize = "squash", n_processes: int = 1,
    value_range: tuple[float, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Decode the listed images, store them, and return the files that could not be decoded; InputError (no store) if none can.

    `value_range` are the values that become 0 and 255 in images with more than 8 bits (None: their own range).
    """
    kept, found, problems, losses = [], [], [], []
    names = list(listing.images["path"])
    if listing.pixels is None:
        decoded = decode_files((listing.root / name for name in names), size_px, n_processes, resize)
    else:
        decoded = resized(listing.pixels(names), size_px, resize)

    def readable(deep: Deep) -> Iterator[np.ndarray]:
        for row, (name, got) in enumerate(zip(names, decoded, strict=True)):
            if got.pixels is None:
                problems.append(Problem(name, got.problem))
                continue
            seen.update(np.ascontiguousarray(got.pixels))
            if got.extremes:
                deep.add(len(kept), got)
            kept.append(row)
            found.append((got.sha256, got.mode, got.size))
            losses.extend(Problem(name, loss) for loss in got.losses)
            yield np.zeros((size_px, size_px, 3), np.uint8) if got.extremes else got.pixels

    with paths.atomic_write(path) as part, h5py.File(part, "w") as file:
        deep = Deep(path.parent)
        pixels = file.create_dataset("images", (len(names), size_px, size_px, 3), np.uint8)
        start, rest, seen = 0, readable(deep), hashlib.sha256()
        while block := list(islice(rest, BLOCK)):
            pixels[start : start + len(block)] = np.stack(block)
            start += len(block)
        if not kept:
            first = f" First problem: {problems[0].path}: {problems[0].problem}." if problems else ""
            found = f"None of {len(names)} images of '{dataset}' could be decoded"
            raise InputError(f"{found}.{first} Check '{listing.root}'.")
        value_range, lost = deep.write(pixels, value_range)
        losses += [Problem(names[kept[row]] if row is not None else "", loss) for row, loss in lost]
        table = listing.images.iloc[kept].copy()
        table[["sha256", "mode", "size"]] = found
        if listing.joins_near_duplicates:
            hashes = duplicates.perceptual_hashes(pixels)[: len(table)]
            table["group"] = table["group"].to_numpy()[duplicates.groups(hashes)]
        _describe(file, table, listing, dataset, size_px, seen.hexdigest(), value_range)
        _write_table(file, "losses", _with_notes(losses))
    return pd.DataFrame(problems, columns=Problem._fields, dtype=str)


def write_arrays(
    path: Path, images: np.ndarray, table: pd.DataFrame, classes: tuple[str, ...], *, dataset: str, size_px: int
) -> None:
    """Store images in memory, uint8 (n_images, size_px, size_px, 3), sorted by the table's image_id; without paths."""
    order = np.argsort(table["image_id"].to_numpy(dtype=str), kind="stable")
    listed = table.iloc[order].assign(path="")
    listing = Listing(listed, classes, pd.DataFrame(), Path(), pixels=lambda _: (images[row] for row in order))
    write(path, listing, dataset=dataset, size_px=size_px)


def open_store(path: Path) -> ImageStore:
    """Open a store, images in a read-only memory map; InputError if it is missing, or of another kind or reader version."""
    if not path.is_file():
        raise InputError(f"No image store '{path}'. Run the ingest notebook of this dataset first.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"'{path}' is not an HDF5 file. Delete it and run ingest again.") from error
    with file:
        attrs = dict(file.attrs)
        if attrs.get("reader_version") != READER_VERSION or "images" not in file:
            got = f"reader version {attrs.get('reader_version', 'none')}, not {READER_VERSION}"
            raise InputError(f"'{path}' has {got}. Delete it and run ingest again.")
        table = _read_table(file, "table", COLUMNS)
        losses = _read_table(file, "losses", Problem._fields)
        shape = (len(table), *file["images"].shape[1:])
        images = np.memmap(path, np.uint8, "r", offset=file["images"].id.get_offset(), shape=shape)
        has = file["findings"][:].astype(bool) if "findings" in file else None
    value_range = tuple(map(float, attrs["value_range"])) if "value_range" in attrs else None
    named = {"dataset": attrs["dataset"], "size_px": int(attrs["size_px"]), "fingerprint": attrs["fingerprint"]}
    return ImageStore(
        images, table, tuple(attrs["classes"]), **named, losses=losses, value_range=value_range, findings=has
    )


def subset(store: ImageStore, rows: np.ndarray, n_images: int, seed: int) -> Subset:
    """Draw about `n_images` of the given rows of a store, as `draw` does."""
    labels = store.table["label"].to_numpy() if store.findings is None else store.findings
    chosen = rows[draw(labels[rows], n_images, seed)]
    return Subset(store, chosen, occurring(labels[chosen]))


def draw(labels: np.ndarray, n_images: int, seed: int) -> np.ndarray:
    """Return sorted indices of about `n_images` labels: each class in its share, with at least two images if it has them."""
    if labels.ndim == 2:  # findings
        share, units = min(1, n_images / len(labels)), np.arange(len(labels))
        return np.flatnonzero(findings.stratified(labels, units, (share, 1 - share), seed, least=2) == 0)
    rng, drawn = np.random.default_rng(seed), []
    for name in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == name))
        drawn.append(members[: max(2, round(n_images * len(members) / len(labels)))])
    return np.sort(np.concatenate(drawn))


def occurring(labels: np.ndarray) -> np.ndarray:
    """Return labels as `Subset.labels` describes them."""
    return labels[:, findings.vary(labels)] if labels.ndim == 2 else np.unique(labels, return_inverse=True)[1]


def half(store: ImageStore, rows: np.ndarray, seed: int, which: int) -> np.ndarray:
    """Return the rows of one half (0 or 1) of the units; no patient, lesion, slide or file is in both halves."""
    codes = pd.factorize(folds.linked(store.table)[rows])[0]
    return rows[np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % 2 == which]


def _describe(
    file: h5py.File, table: pd.DataFrame, listing: Listing, dataset: str, size_px: int, pixels: str,
    value_range: tuple[float, float] | None,
) -> None:  # fmt: skip
    found = set(findings.each(table["label"]))
    _write_table(file, "table", table[list(COLUMNS)])
    file.attrs["dataset"] = dataset
    file.attrs["size_px"] = size_px
    file.attrs["classes"] = [label for label in listing.classes if label in found]
    file.attrs["reader_version"] = READER_VERSION
    digest = hashlib.sha256(f"{READER_VERSION}\n{size_px}\n{pixels}\n{file.attrs['classes']}\n".encode())
    for row in zip(*(table[name] for name in COLUMNS if name != "path"), strict=True):
        digest.update("\t".join((*row, "\n")).encode())
    if listing.multi_label:
        file["findings"] = findings.matrix(table["label"], file.attrs["classes"])
        digest.update(b"findings")
    if value_range:
        file.attrs["value_range"] = value_range
        digest.update(repr(value_range).encode())
    file.attrs["fingerprint"] = digest.hexdigest()


def _with_notes(losses: list[Problem]) -> pd.DataFrame:
    """Return losses with what is usual counted for the whole dataset."""
    counts = Counter(loss.problem for loss in losses)
    notes = [Problem("", f"{counts[text]:,} images: {text}") for text in NOTES if counts[text]]
    rest = [loss for loss in losses if loss.problem not in NOTES]
    return pd.DataFrame([*rest, *notes], columns=Problem._fields, dtype=str)


def _write_table(file: h5py.File, name: str, table: pd.DataFrame) -> None:
    for column in table:
        values = table[column].astype(object).to_numpy()
        file.create_dataset(f"{name}/{column}", data=values, dtype=h5py.string_dtype())


def _read_table(file: h5py.File, name: str, columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({column: file[f"{name}/{column}"].asstr()[:] for column in columns}, dtype=str)
