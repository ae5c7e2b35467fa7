"""MedMNIST's sets, and other ``.npz`` files with ``{train,val,test}_{images,labels}``; read as a stream, without pickle."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images import findings
from catscans_lib.images.listing import Listing, Problem, Row, array_place, in_array, make_listing
from catscans_lib.images.tables import NO_LABEL

if TYPE_CHECKING:
    from catscans_lib.datasets.cards import DatasetInfo

SIZES_PX = (28, 64, 128, 224)  # published, the first without a suffix
FILES = "https://zenodo.org/records/10519652/files"
ADVICE = (
    "Give an .npz with train_images and train_labels, and optionally the same for val and test, as MedMNIST has it."
)


def read(card: "DatasetInfo", data_dir: Path) -> Listing:
    """List a published set: of the files present, the smallest one with at least `size_px` of the card's `reading`.

    They lie in ``medmnist/`` below the data folder, or in it. InputError, which names the file to download, without such a file.
    """
    wanted = min(card.reading.get("size_px", SIZES_PX[0]), SIZES_PX[-1])
    names = {size: f"{card.name}_{size}.npz" if size > SIZES_PX[0] else f"{card.name}.npz" for size in SIZES_PX}
    found = {
        size: path
        for size, name in names.items()
        for path in (data_dir / name, data_dir / "medmnist" / name)
        if path.is_file()
    }
    if not (enough := [size for size in found if size >= wanted]):
        name = names[min(size for size in SIZES_PX if size >= wanted)]
        there = ", ".join(path.name for path in found.values()) or "no file of it"
        raise InputError(
            f"'{card.name}' at {wanted} px needs {name} in '{data_dir / 'medmnist'}', which has {there}. Download "
            f"{FILES}/{name}, or set a smaller size_px."
        )
    return from_npz(found[min(enough)], card.classes, multi_label=card.reading.get("multi_label", False))


def from_npz(path: Path, class_names: Sequence[str] = (), *, multi_label: bool = False) -> Listing:
    """List the images of all splits; grey images get three equal channels.

    Images are numbers (n, height, width), also with a last axis of 1 or 3; labels (n,) or (n, 1) are whole numbers (named by
    `class_names`) or text, or a matrix (n, n_findings) of 0 and 1, which means one class per image if all rows have exactly one
    1, unless `multi_label`. Images without a label are left out. InputError for volumes, Python objects and unreadable files.
    """
    rows, problems = [], []
    by_split = {split: _labels(path, split, len(class_names)) for split in ("train", "val", "test")}
    every = [code for labels in by_split.values() for code in labels or ()]
    multi_label = multi_label or any(len(code) != 1 for code in every if isinstance(code, tuple))
    for split, labels in by_split.items():
        for index, code in enumerate(labels or ()):
            image_id = f"{split}_{index:06d}"
            place = in_array(f"{path.name}/{split}_images", index)
            if isinstance(code, tuple):
                label = findings.joined(_name(one, class_names, path) for one in code)
            else:
                label = findings.label(code.split(findings.SEPARATOR))[0] if multi_label else code
            if label:
                rows.append(Row(image_id, place, label, image_id, split))
            else:
                problems.append(Problem(place, "no label; left out"))
    codes = sorted({one for code in every if isinstance(code, tuple) for one in code})
    named = {"classes": tuple(_name(code, class_names, path) for code in codes), "multi_label": multi_label}
    return make_listing(rows, problems, path, root=path.parent, pixels=partial(_pixels, path.parent), **named)


def _labels(path: Path, split: str, n_names: int) -> list[tuple[int, ...] | str] | None:
    """Labels of one split ("": none), numbers in tuples, after a check of its images; None if the split is missing."""
    with _opened(path) as archive:
        names = set(archive.namelist())
        needed = {f"{split}_images.npy", f"{split}_labels.npy"}
        if not needed & names and split != "train":
            return None
        if not needed <= names:
            raise InputError(f"'{path}' lacks {min(needed - names)[:-4]}; it has {', '.join(sorted(names))}. {ADVICE}")
        with archive.open(f"{split}_images.npy") as file:
            shape, *_ = _shape(file, f"{path}: {split}_images")
        with archive.open(f"{split}_labels.npy") as file:
            labels = np.lib.format.read_array(file, allow_pickle=False)
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "iubf" and len(labels) == shape[0]:
        if n_names not in (0, labels.shape[1]) or not (np.isin(labels, (0, 1)) | np.isnan(labels)).all():
            got = f"{split}_labels has {labels.shape[1]} columns, of values {labels.min()} to {labels.max()}"
            raise InputError(f"'{path}': {got}; values 0 and 1 and a name for each ({n_names} given) are needed.")
        return ["" if np.isnan(row).any() else tuple(np.flatnonzero(row).tolist()) for row in labels]
    flat = labels.ravel()
    if flat.dtype.kind in "SU":
        found = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in flat.tolist()]
        found = ["" if text.strip().lower() in NO_LABEL else text.strip() for text in found]
    else:
        is_number = flat.dtype.kind in "iub" or (flat.dtype.kind == "f" and not (flat % 1 > 0).any())
        found = [(int(code),) if np.isfinite(code) else "" for code in flat.tolist()] if is_number else []
    if len(found) != shape[0]:
        got = f"{split}_labels is {labels.dtype} {labels.shape} for {shape[0]} images"
        advice = "one whole number or text per image is needed, or a matrix (n, n_findings) of 0 and 1."
        raise InputError(f"'{path}': {got}; {advice}")
    return found


def _shape(file: BinaryIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape of the images, whether they are in Fortran order, and their type, from the header of the array."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    shape, is_fortran, dtype = read(file) if read else ((), False, None)
    is_image = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if not is_image or dtype.kind not in "uifb":
        known = "known are numbers (n, height, width) and (n, height, width, 1 or 3)"
        raise InputError(f"'{where}' is {dtype} {shape}; {known}. Cut three-dimensional volumes into images first.")
    return shape, is_fortran, dtype


def _pixels(root: Path, paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Read images in the order of the file, one at a time; images between them are skipped."""
    for place, indices in groupby(map(array_place, paths), key=lambda found: found[0]):
        file_name, _, name = place.rpartition("/")
        with _opened(root / file_name) as archive, archive.open(f"{name}.npy") as file:
            shape, is_fortran, dtype = _shape(file, place)
            whole = np.frombuffer(file.read(), dtype).reshape(shape, order="F") if is_fortran else None
            n_bytes = int(np.prod(shape[1:])) * dtype.itemsize
            at = 0
            for _, index in indices:
                if whole is None:
                    for _ in range(index - at):
                        file.read(n_bytes)
                    image = np.frombuffer(file.read(n_bytes), dtype).reshape(shape[1:])
                    at = index + 1
                else:
                    image = whole[index]
                yield image if image.shape[2:] == (3,) else np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)


def _name(code: int, class_names: Sequence[str], path: Path) -> str:
    if not class_names:
        return str(code)
    if not 0 <= code < len(class_names):
        raise InputError(f"'{path}' has the label {code}, but only {len(class_names)} class names are given.")
    return class_names[code]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"Cannot read '{path}': {error}. {ADVICE}") from error
