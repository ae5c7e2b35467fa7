"""Read predictions from any CSV file: labels, scores of the classes, groups and ids."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax

from catscans_lib.errors import InputError, and_more
from catscans_lib.images import tables
from catscans_lib.images.listing import Problem, class_key
from catscans_lib.statistics.metrics import ROUNDING

LABELS, SCORES, IDS = ("y_true", "label", "y"), ("score", "y_score", "scores", "probability"), ("image_id", "id")
PREFIX = "score_"
ADVICE = "Pass a CSV with one row per image."


class Predictions(NamedTuple):
    """Predictions of one file: labels, shape (n,); scores, shape (n, n_classes); groups and ids if the file has them."""

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray | None
    ids: pd.Index | None
    problems: list[Problem]  #: rows that were left out, and notes


def read(path: Path, *, label: str | None = None, group: str | None = None, positive: str | None = None) -> Predictions:
    """Read a CSV with one row per image; InputError if a column or a value is missing or invalid.

    Columns: the true class (`label`; None: y_true, label or y); for two classes one of score, y_score, scores or probability,
    for the class `positive` (None: the last in sorted order, 1 of 0 and 1), otherwise one score_<class> per class, in any order;
    optionally image_id or id, and the patients, lesions or slides (`group`; None: the column group, if there is one). Rows
    without a true class are left out; an image without a group is a group of its own. Scores that do not sum to 1 are divided
    by their sum, or are logits if some are negative. All of this is noted in `problems`.
    """
    table, problems = tables.read(path, advice=ADVICE)
    if several := [name[6:] for name in table if name.startswith(PREFIX) and f"true_{name[6:]}" in table]:
        how = f"a CSV with y_true (true_{several[0]}), score (score_{several[0]}) and group"
        raise InputError(f"{path.name} has several findings per image. Evaluate one at a time: {how}.")
    labels = table[_column(table, path, (label,) if label else LABELS, "the true class")]
    is_known = ~labels.str.lower().isin(tables.NO_LABEL)
    problems += [Problem(f"row {row + 2}", "no true class; left out") for row in np.flatnonzero(~is_known)]
    table, labels = table[is_known], labels[is_known]
    if table.empty:
        raise InputError(f"{path.name} has no rows with a true class. {ADVICE}")
    classes, scores = _scores(table, path, labels, positive)
    spelling = {class_key(name): name for name in classes}
    labels = labels.map(lambda text: spelling.get(class_key(text), text)).to_numpy(dtype=object)
    has_groups = group or "group" in table
    groups = table[_column(table, path, (group or "group",), "the group")] if has_groups else None
    ids = next((table[name] for name in IDS if name in table), None)
    if ids is not None and ids.duplicated().any():
        raise InputError(f"{path.name}: '{ids[ids.duplicated()].iloc[0]}' is predicted more than once.")
    if groups is not None and (alone := groups.str.lower().isin(tables.NO_GROUP)).any():
        problems.append(Problem("", f"{alone.sum():,} images have no group: each of them is a group of its own."))
        groups = groups.where(~alone, [f"row {row + 2}" for row in table.index])
    scores = _probabilities(scores, path, problems, table.index)
    groups, ids = None if groups is None else groups.to_numpy(), None if ids is None else pd.Index(ids)
    return Predictions(path.name, classes, labels, scores, groups, ids, problems)


def _probabilities(scores: np.ndarray, path: Path, problems: list[Problem], rows: pd.Index) -> np.ndarray:
    """Return scores whose rows sum to 1; `rows` are their numbers in the file, from 0."""
    sums = scores.sum(axis=1)
    if (np.abs(sums - 1) <= ROUNDING * scores.shape[1]).all():
        return scores
    if (scores < 0).any():
        said = "some scores are negative, so they are used as logits (softmax of each row)"
        problems.append(Problem("", f"{path.name}: {said}."))
        return softmax(scores, axis=1)
    if (sums <= 0).any():
        raise InputError(f"{path.name}: row {rows[np.argmax(sums <= 0)] + 2}: all scores are 0.")
    said = f"the scores of a row sum to {sums.min():.3g} to {sums.max():.3g}, not to 1: each row is divided by its sum"
    problems.append(Problem("", f"{path.name}: {said}."))
    return scores / sums[:, None]


def _column(table: pd.DataFrame, path: Path, names: tuple[str, ...], what: str) -> str:
    """Return the first of the names that is a column, in any case."""
    found = {name.lower(): name for name in reversed(list(table))} | {name: name for name in table}
    if known := [found[name] for name in names if name in found]:
        return known[0]
    wanted = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    raise InputError(f"{path.name} has no column {wanted} for {what}; it has: {and_more(list(table))}.")


def _scores(
    table: pd.DataFrame, path: Path, labels: pd.Series, positive: str | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return classes and scores, shape (n, n_classes); of two classes the positive one is last."""
    per_class = {_plain(column.removeprefix(PREFIX)): column for column in table if column.startswith(PREFIX)}
    if len(per_class) >= 2:
        classes = _ordered(per_class, positive, path)
        return classes, np.column_stack([_numbers(table, path, per_class[name]) for name in classes])
    name = next(iter(per_class.values()), "") or _column(table, path, SCORES, f"scores (or {PREFIX}<class> per class)")
    spelled = {class_key(label): _plain(label) for label in labels.value_counts().index[::-1]}
    if len(spelled) != 2:
        said = f"one column of scores but {len(spelled)} classes ({and_more(sorted(spelled.values()), 10)})"
        advice = f"For more than two classes, give one column {PREFIX}<class> per class."
        raise InputError(f"{path.name} has {said}. {advice}")
    scores = _numbers(table, path, name)
    scores = scores / max(1, np.abs(scores).max() / 1e6)  # so that 1 - score keeps its digits
    classes = _ordered(spelled.values(), positive or next(iter(per_class), None), path)
    return classes, np.column_stack([1 - scores, scores])


def _plain(label: str) -> str:
    """Return a class as text: 1 for 1.0."""
    return class_key(label) if re.fullmatch(r"[+-]?\d+[.,]0*", label) else label


def _ordered(names: Iterable[str], positive: str | None, path: Path) -> tuple[str, ...]:
    """Return the classes, sorted (numbers by value), of two the positive one last."""
    numbers = tables.numbers(pd.Series(list(names), dtype=str))
    by_value = [name for _, name in sorted(zip(numbers, names, strict=True))]
    classes = by_value if np.isfinite(numbers).all() else sorted(names)
    if positive is None or len(classes) != 2:
        return tuple(classes)
    same = [name for name in classes if class_key(name) == class_key(positive)]
    if not same:
        raise InputError(f"{path.name} has no class '{positive}'; it has: {', '.join(classes)}.")
    return (*(name for name in classes if name != same[0]), same[0])


def _numbers(table: pd.DataFrame, path: Path, column: str) -> np.ndarray:
    numbers = tables.numbers(table[column])
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        said = f"row {table.index[row] + 2}, {column}: '{table[column].iloc[row]}' is not a finite number"
        raise InputError(f"{path.name}: {said}.")
    return numbers
