"""Reads features that any program computed of the user's images, and joins them to the images by id or path."""

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError, and_more

IDS = (
    "image_id", "path", "id", "file", "filename", "image", "name", "ids", "paths", "files", "filenames", "images", "names"
)  # fmt: skip
ARRAYS = ("features", "embeddings", "embedding", "x")
# Columns that would leak the class or the order, and are no features.
NO_FEATURES = ("label", "class", "target", "y", "y_true", "group", "patient", "split", "fold", "index", "unnamed: 0")
ADVICE = "catscans recommend --help shows how to make such a file."


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the features of a file, indexed by the ids in it, and notes on ignored columns.

    `.npz`: an array of ids and one of numbers, shape (n_images, n_features). `.csv` and `.parquet`: a column of ids (one of
    `IDS`, or the first one if it holds text), all others numbers. InputError if the file is not like that.
    """
    readers = {".npz": _from_npz, ".csv": _from_table, ".parquet": _from_table}
    if not path.is_file() or path.suffix.lower() not in readers:
        raise InputError(f"No feature file '{path}'. Known formats: {', '.join(readers)}. {ADVICE}")
    try:
        table = readers[path.suffix.lower()](path)
    except ImportError:
        raise InputError(f"'{path.name}' needs pyarrow: .venv/bin/pip install pyarrow, or save it as .csv.") from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"Feature file '{path.name}' cannot be read: {error} {ADVICE}") from error
    leaks = [name for name in table if str(name).lower() in NO_FEATURES]
    table = table.drop(columns=leaks)
    if texts := [name for name, kind in table.dtypes.items() if kind.kind not in "biuf"]:
        got = f"column '{texts[0]}' holds text ('{table[texts[0]].iloc[0]}')"
        raise InputError(f"Feature file '{path.name}': {got}, and features are numbers. Remove it. {ADVICE}")
    return table.astype(np.float64), [f"{path.name}: not used as a feature: {and_more(leaks, 5)}."] if leaks else []


def _from_npz(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as file:  # an array of objects is a pickle, which could run code
        ids, numbers = _named(file.files, IDS), _named(file.files, ARRAYS)
        if ids is None or numbers is None:
            raise InputError(f"it has the arrays {', '.join(file.files)}; needed are path (or image_id) and features.")
        known, values = file[ids], file[numbers]
    if values.ndim != 2 or known.shape != values.shape[:1]:
        shapes = f"{ids} has the shape {known.shape}, {numbers} {values.shape}"
        raise InputError(f"{shapes}; needed are (n_images,) and (n_images, n_features).")
    return pd.DataFrame(values, index=known.astype(str))


def _from_table(path: Path) -> pd.DataFrame:
    if path.suffix.lower() == ".csv":
        header = list(pd.read_csv(path, nrows=0).columns)
        table = pd.read_csv(path, dtype={_named(header, IDS) or header[0]: str})
    else:
        table = pd.read_parquet(path)
        table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
    ids = _named(list(table.columns), IDS) or table.columns[0]
    if str(ids).lower() not in IDS and pd.to_numeric(table[ids], errors="coerce").notna().all():
        raise InputError(f"no column holds the image ids or paths, such as {', '.join(IDS[:3])}.")
    return table.set_index(table[ids].fillna("").astype(str)).drop(columns=ids)


def _named(names: list[str], known: tuple[str, ...]) -> str | None:
    found = {str(name).lower(): name for name in names}
    return next((found[one] for one in known if one in found), None)


def joined(path: Path, table: pd.DataFrame, images: pd.DataFrame, listed: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return the features of `images` in their order, shape (n_images, n_features), and notes on what was ignored.

    `images` and `listed` (all images found, of which `images` are some) have the columns image_id and path. A row belongs to
    the image whose id, path (also with folders before it) or, in a row without a folder, file name it has. InputError, naming
    the images, if one has no row or several, or its features are not finite.
    """
    rows = _rows(list(table.index), listed)
    strange = [name for name, row in zip(table.index, rows, strict=True) if row is None]
    if len(strange) == len(rows):
        first, mine = next(iter(table.index), ""), listed.iloc[0]
        example = f"first id is '{first}'; your first image has id '{mine['image_id']}' and path '{mine['path']}'"
        raise InputError(f"'{path.name}': none of its {len(rows):,} ids is one of your images. Its {example}.")
    if twice := [row for row, n in Counter(row for row in rows if row is not None).items() if n > 1]:
        several = f"several rows for {_counted(twice, 'image')}: {and_more(twice, 3)}"
        raise InputError(f"'{path.name}': {several}. Keep one of each.")
    if missing := sorted(set(images["image_id"]) - set(rows)):
        raise InputError(
            f"'{path.name}': no row for {_counted(missing, 'image')} of {len(images):,}: {and_more(missing, 3)}. Candidates are "
            "compared on the same images: compute the features of these, too, or remove the images."
        )
    found = table.set_axis([row or "" for row in rows]).loc[images["image_id"]]
    is_bad = ~np.isfinite(found.to_numpy())
    if is_bad.any():
        bad, columns = found.index[is_bad.any(axis=1)], [str(name) for name in found.columns[is_bad.any(axis=0)]]
        raise InputError(
            f"'{path.name}': NaN or infinite features in {_counted(bad, 'image')}: {and_more(bad, 3)}; columns: "
            f"{and_more(columns, 3)}. Compute them again."
        )
    varies = np.ptp(found.to_numpy(), axis=0) > 0
    if not varies.any():
        raise InputError(f"'{path.name}': every feature is the same for all images. Did the network get the images?")
    notes = []
    if strange:
        notes.append(f"{path.name}: ignored {_counted(strange, 'row')} of no image read, such as {strange[0]}.")
    if len(constant := [str(name) for name in found.columns[~varies]]):
        notes.append(f"{path.name}: ignored {_counted(constant, 'constant feature')}: {and_more(constant, 3)}.")
    return found.to_numpy()[:, varies], notes


def _rows(names: list[str], listed: pd.DataFrame) -> list[str | None]:
    """Return the image id that each name means; None if it means none, or its file name occurs in two folders."""
    full, files = {}, {}
    for image_id, path in zip(listed["image_id"], listed["path"], strict=True):
        full |= {image_id: image_id, path: image_id}
        for name in {PurePosixPath(path).name, PurePosixPath(path).stem}:
            files[name] = None if name in files else image_id
    found = []
    for name in names:
        parts = name.replace("\\", "/").removeprefix("./").split("/")
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        image_id = next((full[end] for end in ends if end in full), None)
        found.append(image_id or (files.get(name) if len(parts) == 1 else None))
    return found


def _counted(names: list[str], what: str) -> str:
    return f"{len(names):,} {what}{'s' * (len(names) != 1)}"
