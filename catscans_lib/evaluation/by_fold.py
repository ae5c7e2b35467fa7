"""Predictions of many runs, taken apart into folds once: a fold is a slice of sorted arrays, not a table of its own."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd


class Fold(NamedTuple):
    """Predictions of one fold, rows in the order of the table.

    Attributes
    ----------
    keys : tuple
        Values of the key columns.
    classes : tuple of str
    labels, groups : numpy.ndarray of object, shape (n_images,)
        Class of every image, and its patient, lesion or slide; groups are None where the table has none.
    scores : numpy.ndarray of float, shape (n_images, n_classes)
    """

    keys: tuple
    classes: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray | None
    scores: np.ndarray


def folds(predictions: pd.DataFrame, keys: list[str]) -> Iterator[Fold]:
    """Yield the folds of a table of predictions, in the order in which they begin there; a row without a key is in none.

    The classes of a fold are those that have a score in it, as targets differ in theirs; all where none has.

    Parameters
    ----------
    predictions : pandas.DataFrame
        The key columns, label, one score_<class> per class, and group where groups are needed.
    keys : list of str
        Columns that tell folds apart.
    """
    number = predictions.groupby(keys, sort=False).ngroup().fillna(-1).to_numpy()  # without a key: before all folds
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    stops = np.append(starts, len(order))[1:]
    labels = predictions["label"].to_numpy()[order]
    groups = predictions["group"].to_numpy()[order] if "group" in predictions else None
    scores = {name: predictions[name].to_numpy(float)[order] for name in _named_as_scores(predictions)}
    scored = {name: np.logical_or.reduceat(~np.isnan(values), starts) for name, values in scores.items()}
    names = zip(*(predictions[key].to_numpy()[order[starts]].tolist() for key in keys), strict=True)
    for at, (of, start, stop) in enumerate(zip(names, starts.tolist(), stops.tolist(), strict=True)):
        here = [name for name in scores if scored[name][at]] or list(scores)
        yield Fold(
            of, classes_of(here), labels[start:stop], None if groups is None else groups[start:stop],
            np.stack([scores[name][start:stop] for name in here], axis=1) if here else np.empty((stop - start, 0)),
        )  # fmt: skip


def score_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the score columns of predictions of one target; those of other targets' classes are empty there."""
    return [column for column in _named_as_scores(predictions) if predictions[column].notna().any()]


def classes_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that score columns are of."""
    return tuple(column.removeprefix("score_") for column in columns)


def _named_as_scores(predictions: pd.DataFrame) -> list[str]:
    return [column for column in predictions if column.startswith("score_")]
