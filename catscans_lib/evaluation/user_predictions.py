"""Evaluate predictions from any CSV file: AUC with intervals, metrics, and a paired test against another file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError, and_more
from catscans_lib.evaluation.intervals import FEW_GROUPS, LEVEL, interval
from catscans_lib.statistics import bootstrap, delong
from catscans_lib.statistics.metrics import auc, classification_metrics

LABELS, SCORES, IDS = ("y_true", "label", "y"), ("score", "y_score", "scores", "probability"), ("image_id", "id")
PREFIX = "score_"


class Predictions(NamedTuple):
    """Predictions of one file: labels, shape (n,); scores, shape (n, n_classes); groups and ids if the file has them."""

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray | None
    ids: pd.Index | None


def read(path: Path, *, label: str | None = None, group: str | None = None, positive: str | None = None) -> Predictions:
    """Read a CSV with one row per image; InputError if a column or a value is missing or invalid.

    Columns: the true class (`label`; None: y_true, label or y); for two classes one of score, y_score, scores or probability,
    for the class `positive` (None: the last in sorted order, 1 of 0 and 1), otherwise one score_<class> per class; optionally
    image_id or id, and the patients, lesions or slides (`group`; None: the column group, if there is one).
    """
    table = _read_text(path)
    labels = table[_column(table, path, (label,) if label else LABELS, "the true class")]
    if (labels == "").any():
        raise InputError(f"{path.name}: row {int(np.argmax(labels == '')) + 2} has no true class.")
    classes, scores = _scores(table, path, labels, positive)
    groups = table[_column(table, path, (group,), "the group")] if group else table.get("group")
    ids = next((table[name] for name in IDS if name in table), None)
    if ids is not None and ids.duplicated().any():
        raise InputError(f"{path.name}: '{ids[ids.duplicated()].iloc[0]}' is predicted more than once.")
    return Predictions(
        path.name, classes, labels.to_numpy(), scores, None if groups is None else groups.to_numpy(),
        None if ids is None else pd.Index(ids),
    )  # fmt: skip


def evaluate(
    one: Predictions, other: Predictions | None = None, *, average: str, n_draws: int, seed: int, method: str = "logit"
) -> dict:
    """Return AUC, intervals and metrics of predictions, and their difference from other predictions of the same images.

    `method` is DeLong's interval, logit or wald. A dict of plain values: name, n_images, n_groups (None without groups),
    classes (counts by name), average, auc, intervals (low, high by method), metrics (empty if scores are not probabilities);
    with `other` also against: name, auc, difference (one minus other), tests (low, high, p by method). Raises InputError if the
    images differ or the predictions give no AUC.
    """
    options = {"average": average, "n_draws": n_draws, "seed": seed, "method": method}
    try:
        value = auc(one.labels, one.scores, one.classes, average)
        is_probability = ((one.scores >= 0) & (one.scores <= 1)).all()
        found = {
            "name": one.name,
            "n_images": len(one.labels),
            "n_groups": None if one.groups is None else len(set(one.groups)),
            "classes": {name: int((one.labels == name).sum()) for name in one.classes},
            "average": "binary" if len(one.classes) == 2 else average,
            "auc": value,
            "intervals": _by_method(one, None, options),
            "metrics": classification_metrics(one.labels, one.scores, one.classes) if is_probability else {},
        }
        if other is not None:
            other = _aligned(one, other)
            other_auc = auc(other.labels, other.scores, other.classes, average)
            tests = _by_method(one, other, options)
            found["against"] = {"name": other.name, "auc": other_auc, "difference": value - other_auc, "tests": tests}
        return found
    except ValueError as error:
        raise InputError(f"{one.name}: {error}") from error


def as_text(found: dict) -> str:
    """Format the result of `evaluate` for the terminal."""
    counts = ", ".join(f"{name} {n:,}" for name, n in found["classes"].items())
    groups = "" if found["n_groups"] is None else f", {found['n_groups']:,} groups"
    kind = "AUC" if found["average"] == "binary" else f"AUC ({found['average']})"
    lines = [f"{found['name']}: {found['n_images']:,} images ({counts}){groups}", f"  {kind:<20} {found['auc']:.4f}"]
    lines += [f"  {'95 %':<20} {_range(*ends)}   {method}" for method, ends in found["intervals"].items()]
    lines.append("  Intervals and tests describe this one trained network; another training would give another AUC.")
    if found["n_groups"] is not None and found["n_groups"] < FEW_GROUPS:
        lines.append(
            f"  With fewer than {FEW_GROUPS} groups, intervals are too short: 95 % ones cover about 90 % or less."
        )
    lines += [f"  {name.replace('_', ' '):<20} {value:.4f}" for name, value in found["metrics"].items()]
    if against := found.get("against"):
        lines.append(f"against {against['name']}: AUC {against['auc']:.4f}")
        lines.append(f"  {'difference':<20} {against['difference']:+.4f}")
        for method, (low, high, p) in against["tests"].items():
            lines.append(f"  {'95 %':<20} {_range(low, high, '+')}   p = {p:.3g}   {method}")
    return "\n".join(lines)


def _range(low: float, high: float, sign: str = "") -> str:
    return "not available: the estimated variance is zero" if np.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"


def _by_method(one: Predictions, other: Predictions | None, options: dict) -> dict[str, list[float]]:
    """Return low and high of the AUC, or low, high and p of the difference from `other`, by method."""
    found = {}
    unit = "images as independent" if one.groups is None else "over groups"
    scale = options["method"]
    if len(one.classes) == 2:
        positive = one.labels == one.classes[1]
        if other is None:
            value, variance = delong.delong(positive, one.scores[:, 1], one.groups)
            ends = delong.interval(value[0], variance[0, 0], LEVEL, scale)
            found[f"DeLong, {unit}, {scale} interval"] = list(ends)
        else:
            pair = delong.paired(positive, one.scores[:, 1], other.scores[:, 1], one.groups, level=LEVEL)
            found[f"paired DeLong, {unit}, wald interval"] = [pair.low, pair.high, pair.p]
    if len(one.classes) > 2 or one.groups is not None:
        unit, groups = ("images", np.arange(len(one.labels))) if one.groups is None else ("groups", one.groups)
        tables = np.stack([one.scores] if other is None else [one.scores, other.scores])
        drawing = {name: options[name] for name in ("average", "n_draws", "seed")}
        drawn = bootstrap.auc_draws(one.labels, tables, one.classes, groups, **drawing)
        draws = drawn[0] if other is None else drawn[0] - drawn[1]
        low, high = (float(end[0]) for end in interval(draws))
        p = [] if other is None else [float(bootstrap.p_value(draws))]
        found[f"bootstrap over {unit}, {options['n_draws']:,} draws, seed {options['seed']}"] = [low, high, *p]
    return found


def _aligned(one: Predictions, other: Predictions) -> Predictions:
    """Return the other predictions in the order of the first; raise if images or classes differ."""
    if one.classes != other.classes:
        raise InputError(f"{one.name} scores {', '.join(one.classes)}; {other.name} scores {', '.join(other.classes)}.")
    if len(one.labels) != len(other.labels):
        raise InputError(
            f"{one.name} has {len(one.labels)} images, {other.name} has {len(other.labels)}. "
            "A paired test needs the same images in both."
        )
    order = np.arange(len(other.labels))
    if one.ids is not None and other.ids is not None:
        order = other.ids.get_indexer(one.ids)
        if (order < 0).any():
            raise InputError(f"{other.name} lacks '{one.ids[int(np.argmax(order < 0))]}', which {one.name} has.")
    if differ := int((other.labels[order] != one.labels).sum()):
        raise InputError(
            f"{one.name} and {other.name} disagree on the true class of {differ} images. "
            "Add a column image_id to both, so that rows can be matched."
        )
    return other._replace(labels=one.labels, scores=other.scores[order], groups=one.groups, ids=one.ids)


def _read_text(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"No file {path}. Pass a CSV with one row per image.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read as a CSV: {error}") from error
    if table.empty:
        raise InputError(f"{path.name} has no rows.")
    return table.rename(columns=str.strip)


def _column(table: pd.DataFrame, path: Path, names: tuple[str, ...], what: str) -> str:
    """Return the first of the names that is a column."""
    if found := [name for name in names if name in table]:
        return found[0]
    wanted = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    raise InputError(f"{path.name} has no column {wanted} for {what}; it has: {and_more(list(table))}.")


def _scores(
    table: pd.DataFrame, path: Path, labels: pd.Series, positive: str | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return classes and scores, shape (n, n_classes); of two classes the positive one is last."""
    per_class = [column for column in table if column.startswith(PREFIX)]
    if len(per_class) >= 2:
        classes = _positive_last(tuple(column.removeprefix(PREFIX) for column in per_class), positive, path)
        return classes, np.column_stack([_numbers(table, path, f"{PREFIX}{name}") for name in classes])
    name = per_class[0] if per_class else _column(table, path, SCORES, f"scores (or {PREFIX}<class> per class)")
    classes = tuple(sorted(labels.unique()))
    if len(classes) != 2:
        raise InputError(
            f"{path.name} has one column of scores but {len(classes)} classes ({and_more(classes, 10)}). "
            f"For more than two classes, give one column {PREFIX}<class> per class."
        )
    positive = positive or (name.removeprefix(PREFIX) if per_class else None)
    scores = _numbers(table, path, name)
    return _positive_last(classes, positive, path), np.column_stack([1 - scores, scores])


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
        raise InputError(f"{path.name}: row {row + 2}, {column}: '{table[column].iloc[row]}' is not a finite number.")
    return numbers
