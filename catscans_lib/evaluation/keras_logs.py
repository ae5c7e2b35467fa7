"""Learning curves that other programs wrote: files of Keras's `CSVLogger`, read into the tidy form of a history."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError

RATES = ("learning_rate", "lr")  # the second until Keras 2
ACCURACIES = ("acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
ABSENT = ("NA", "")  # a value that CSVLogger did not have


def read_keras_logs(paths: Iterable[Path]) -> pd.DataFrame:
    """Return several logs below each other, as `read_keras_log` returns one.

    Raises
    ------
    InputError
        If two files have the same name, or one is no such log.
    """
    paths = list(paths)
    names = [path.stem for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"Two logs are called {', '.join(sorted(twice))}; curves go by the file's name. Rename one.")
    return pd.concat(map(read_keras_log, paths), ignore_index=True)


def read_keras_log(path: Path) -> pd.DataFrame:
    """Read a file as `keras.callbacks.CSVLogger` writes it.

    Parameters
    ----------
    path : pathlib.Path
        Columns epoch (from 0), loss and other metrics, those on validation images with val_ in front; learning_rate or lr where
        it was logged; separated by commas, semicolons or tabs. acc, binary_accuracy and the like are read as accuracy, and the
        number of a metric (auc_1) is dropped, unless two columns would then have one name.

    Returns
    -------
    pandas.DataFrame
        Columns log (name of the file), learning_rate (of the first epoch; where it was logged), epoch (from 1), split (train or
        validation), metric, value (NaN or infinite where the log says so). Values that are not there (NA) are no rows, nor are
        lists of values.

    Raises
    ------
    InputError
        If the file is no such log; says where and why.
    """
    table = _text(path)
    epochs = _numbers(table["epoch"], path).to_numpy()
    if (epochs != np.floor(epochs)).any() or (np.diff(epochs) <= 0).any():
        raise InputError(
            f"{path.name}: epochs are whole numbers that rise; got {', '.join(table['epoch'][:12])}. "
            "A file that holds several trainings has to be cut into one file each."
        )
    rate = next((name for name in RATES if name in table), None)
    plain = [_plain(column) for column in table.columns]
    parts = []
    for column in table.columns.drop(["epoch", *([rate] if rate else [])]):
        shown = table[column][~table[column].isin(ABSENT)]
        if shown.empty or shown.str.match(r'"?\[').all():
            continue
        split = "validation" if column.startswith("val_") else "train"
        metric = (_plain(column) if plain.count(_plain(column)) == 1 else column).removeprefix("val_")
        values = {"epoch": epochs[shown.index].astype(int) + 1, "split": split, "metric": metric}
        parts.append(pd.DataFrame(values | {"value": _numbers(shown, path).to_numpy()}))
    history = pd.concat(parts, ignore_index=True)
    if rate:
        history.insert(0, "learning_rate", _numbers(table[rate], path).iloc[0])
    history.insert(0, "log", path.stem)
    return history


def _text(path: Path) -> pd.DataFrame:
    """Return the cells as text; checked are the columns without which there is no curve."""
    if not path.is_file():
        raise InputError(f"No log '{path}'. Pass a CSV file as keras.callbacks.CSVLogger writes it.")
    try:
        head = path.read_text(encoding="utf-8").partition("\n")[0]
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=max(",;\t", key=head.count))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path.name} is not readable as a CSV file: {error}") from error
    if missing := [name for name in ("epoch", "loss") if name not in table]:
        raise InputError(
            f"{path.name} has no column {' and no column '.join(missing)}; it has: {', '.join(table.columns)}. "
            "keras.callbacks.CSVLogger writes both."
        )
    if table.empty:
        raise InputError(f"{path.name} has no epoch: training ended before the first was over.")
    return table


def _numbers(cells: pd.Series, path: Path) -> pd.Series:
    values = pd.to_numeric(cells, errors="coerce")
    wrong = values.isna() & (cells.str.lower() != "nan")
    if wrong.any():
        line = cells.index[wrong][0] + 2  # below the names of the columns, counted from 1
        raise InputError(f"{path.name}, line {line}: {cells.name} is '{cells[wrong].iloc[0]}', which is no number.")
    return values


def _plain(column: str) -> str:
    """Return the plain name of a column.

    >>> _plain("val_auc_1"), _plain("binary_accuracy")
    ('val_auc', 'accuracy')
    """
    split = "val_" if column.startswith("val_") else ""
    name = re.sub(r"_\d+$", "", column.removeprefix("val_"))
    return split + ("accuracy" if name in ACCURACIES else name)
