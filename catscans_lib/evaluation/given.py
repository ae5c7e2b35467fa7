"""Anybody's predictions, from a CSV of their own: AUC, its interval, and a paired test against other predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.evaluation.uncertainty import LEVEL
from catscans_lib.statistics import bootstrap, delong
from catscans_lib.statistics.auc import auc
from catscans_lib.statistics.calibration import metrics

LABELS, SCORES, IDS = ("y_true", "label", "y"), ("score", "y_score", "scores", "probability"), ("image_id", "id")
PREFIX = "score_"


@dataclass(frozen=True)
class Given:
    """Predictions as read: labels, shape (n,); scores, shape (n, n_classes); groups and ids where the file has them."""

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray | None
    ids: pd.Index | None


def read(path: Path, *, label: str | None = None, group: str | None = None, positive: str | None = None) -> Given:
    """Read a CSV with a row per image.

    Parameters
    ----------
    path : pathlib.Path
        Columns: the true class (`label`; None: y_true, label or y); for two classes one column score, y_score, scores or
        probability, of the positive class, else a column score_<class> per class; where there are, image_id or id, and group.
    group : str, optional
        Column of patients, lesions or slides; None: `group` where there is one.
    positive : str, optional
        Which of two classes the score is of; None: the last in the order of names (1 of 0 and 1).

    Raises
    ------
    InputError
        If the file is no such table; says what it has and what is needed.
    """
    table = _table(path)
    labels = table[_column(table, path, label, LABELS, "the true class")]
    if (labels == "").any():
        raise InputError(f"{path.name}: row {int(np.argmax(labels == '')) + 2} has no true class.")
    classes, scores = _scores(table, path, labels, positive)
    groups = _optional(table, path, group, ("group",))
    ids = _optional(table, path, None, IDS)
    if ids is not None and ids.duplicated().any():
        raise InputError(f"{path.name}: '{ids[ids.duplicated()].iloc[0]}' is predicted more than once.")
    return Given(
        path.name, classes, labels.to_numpy(), scores, None if groups is None else groups.to_numpy(),
        None if ids is None else pd.Index(ids),
    )  # fmt: skip


def evaluate(one: Given, other: Given | None, *, average: str, n_draws: int, seed: int) -> dict:
    """Return AUC, intervals and metrics of predictions, and how they differ from other predictions of the same images.

    Returns
    -------
    dict
        Plain values: name, n_images, n_groups (None without groups), classes (count by name), average, auc, intervals (by
        method: low, high), metrics; with `other` also against: name, auc, difference (of one minus other), tests (by
        method: low, high, p).

    Raises
    ------
    InputError
        If the two files are not about the same images, or the predictions give no AUC.
    """
    try:
        found = _alone(one, average, n_draws, seed)
        if other is None:
            return found
        other = _aligned(one, other)
        return found | {"against": _against(one, other, average, n_draws, seed)}
    except ValueError as error:
        raise InputError(f"{one.name}: {error}") from error


def text(found: dict) -> str:
    """Return what `evaluate` found as lines to read."""
    counts = ", ".join(f"{name} {n:,}" for name, n in found["classes"].items())
    groups = "" if found["n_groups"] is None else f", {found['n_groups']:,} groups"
    lines = [f"{found['name']}: {found['n_images']:,} images ({counts}){groups}"]
    kind = "AUC" if found["average"] == "binary" else f"AUC ({found['average']})"
    lines.append(f"  {kind:<20} {found['auc']:.4f}")
    for method, (low, high) in found["intervals"].items():
        lines.append(f"  {'95 %':<20} {_range(low, high)}   {method}")
    lines += [f"  {name.replace('_', ' '):<20} {value:.4f}" for name, value in found["metrics"].items()]
    if against := found.get("against"):
        lines += [f"against {against['name']}: AUC {against['auc']:.4f}"]
        lines += [f"  {'difference':<20} {against['difference']:+.4f}"]
        for method, (low, high, p) in against["tests"].items():
            lines.append(f"  {'95 %':<20} {_range(low, high, '+')}   p = {p:.3g}   {method}")
    return "\n".join(lines)


def _range(low: float, high: float, sign: str = "") -> str:
    return (
        "none, as the classes are told apart without a fault"
        if np.isnan(low)
        else f"{low:{sign}.4f} to {high:{sign}.4f}"
    )


def _alone(one: Given, average: str, n_draws: int, seed: int) -> dict:
    intervals = {}
    if len(one.classes) == 2:
        value, variance = delong.delong(one.labels == one.classes[1], one.scores[:, 1])
        low, high = delong.interval(float(np.ravel(value)[0]), float(np.ravel(variance)[0]), LEVEL)
        intervals["DeLong, images as independent"] = [float(low), float(high)]
    if len(one.classes) > 2 or one.groups is not None:
        low, high = bootstrap.interval(_draws(one, average, n_draws, seed), LEVEL)
        intervals[_method(one, n_draws, seed)] = [float(low), float(high)]
    labels, n = np.unique(one.labels, return_counts=True)
    counts = dict(zip(labels.tolist(), n.tolist(), strict=True))
    is_probability = bool(((one.scores >= 0) & (one.scores <= 1)).all())
    return {
        "name": one.name,
        "n_images": len(one.labels),
        "n_groups": None if one.groups is None else len(np.unique(one.groups)),
        "classes": {name: counts.get(name, 0) for name in one.classes},
        "average": "binary" if len(one.classes) == 2 else average,
        "auc": auc(one.labels, one.scores, one.classes, average),
        "intervals": intervals,
        "metrics": metrics(one.labels, one.scores, one.classes) if is_probability else {},
    }


def _against(one: Given, other: Given, average: str, n_draws: int, seed: int) -> dict:
    value = auc(other.labels, other.scores, other.classes, average)
    tests = {}
    if len(one.classes) == 2:
        pair = delong.paired(one.labels == one.classes[1], one.scores[:, 1], other.scores[:, 1], LEVEL)
        tests["paired DeLong, images as independent"] = [float(pair.low), float(pair.high), float(pair.p)]
    if len(one.classes) > 2 or one.groups is not None:
        drawn = _draws(one, average, n_draws, seed) - _draws(other, average, n_draws, seed)
        p = bootstrap.p_value(drawn)
        tests[_method(one, n_draws, seed)] = [*map(float, bootstrap.interval(drawn, LEVEL)), float(p)]
    difference = auc(one.labels, one.scores, one.classes, average) - value
    return {"name": other.name, "auc": value, "difference": difference, "tests": tests}


def _draws(given: Given, average: str, n_draws: int, seed: int) -> np.ndarray:
    groups = np.arange(len(given.labels)) if given.groups is None else given.groups
    return bootstrap.auc_draws(
        given.labels, given.scores, given.classes, groups, n_draws=n_draws, seed=seed, average=average
    )


def _method(given: Given, n_draws: int, seed: int) -> str:
    return f"bootstrap over {'images' if given.groups is None else 'groups'}, {n_draws:,} draws, seed {seed}"


def _aligned(one: Given, other: Given) -> Given:
    """Return the other predictions in the order of the first ones; they need the same images with the same classes."""
    if one.classes != other.classes:
        raise InputError(f"{one.name} scores {', '.join(one.classes)}; {other.name} scores {', '.join(other.classes)}.")
    if len(one.labels) != len(other.labels):
        raise InputError(
            f"{one.name} has {len(one.labels)} images, {other.name} {len(other.labels)}; a test needs the same."
        )
    order = np.arange(len(other.labels))
    if one.ids is not None and other.ids is not None:
        order = other.ids.get_indexer(one.ids)
        if (order < 0).any():
            raise InputError(
                f"{other.name} does not have '{one.ids[int(np.argmax(order < 0))]}', which {one.name} has."
            )
    if differ := int((other.labels[order] != one.labels).sum()):
        raise InputError(
            f"{one.name} and {other.name} give {differ} of the images different true classes. "
            "Give both a column image_id, so that rows can be matched."
        )
    return Given(other.name, other.classes, one.labels, other.scores[order], one.groups, one.ids)


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"No file {path}. Give a CSV with a row per image.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read as a CSV: {error}") from error
    if table.empty:
        raise InputError(f"{path.name} has no rows.")
    return table.rename(columns=str.strip)


def _column(table: pd.DataFrame, path: Path, asked: str | None, known: tuple[str, ...], what: str) -> str:
    for name in [asked] if asked else known:
        if name in table:
            return name
    wanted = f"'{asked}'" if asked else f"any of {', '.join(known)}"
    raise InputError(f"{path.name} has no column {wanted} for {what}; it has: {', '.join(table)}.")


def _optional(table: pd.DataFrame, path: Path, asked: str | None, known: tuple[str, ...]) -> pd.Series | None:
    if asked is None and not set(known) & set(table):
        return None
    return table[_column(table, path, asked, known, "it")]


def _scores(
    table: pd.DataFrame, path: Path, labels: pd.Series, positive: str | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Classes and scores, shape (n, n_classes)."""
    per_class = [column for column in table if column.startswith(PREFIX)]
    if len(per_class) >= 2:
        classes = tuple(column.removeprefix(PREFIX) for column in per_class)
        classes = _positive_last(classes, positive, path)
        return classes, np.column_stack([_numbers(table, path, f"{PREFIX}{name}") for name in classes])
    name = (
        per_class[0] if per_class else _column(table, path, None, SCORES, f"scores (or {PREFIX}<class> for each class)")
    )
    classes = tuple(sorted(labels.unique()))
    if len(classes) != 2:
        raise InputError(
            f"{path.name} has one column of scores but {len(classes)} classes ({', '.join(classes[:10])}). "
            f"One column is for two classes; else give a column {PREFIX}<class> for each."
        )
    of = positive or (name.removeprefix(PREFIX) if per_class else None)
    scores = _numbers(table, path, name)
    return _positive_last(classes, of, path), np.column_stack([1 - scores, scores])


def _positive_last(classes: tuple[str, ...], positive: str | None, path: Path) -> tuple[str, ...]:
    if positive is None or len(classes) != 2:
        return classes
    if positive not in classes:
        raise InputError(f"{path.name} has no class '{positive}'; it has: {', '.join(classes)}.")
    return (*(name for name in classes if name != positive), positive)


def _numbers(table: pd.DataFrame, path: Path, column: str) -> np.ndarray:
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise InputError(f"{path.name}: row {row + 2}, {column}: '{table[column].iloc[row]}' is no number.")
    return numbers
