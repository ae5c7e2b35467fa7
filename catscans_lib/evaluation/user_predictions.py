"""Evaluate predictions from any CSV file: AUC with intervals, metrics, and a paired test against another file."""

import shlex

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from catscans_lib.errors import InputError
from catscans_lib.evaluation.intervals import FEW_GROUPS, LEVEL, interval
from catscans_lib.evaluation.prediction_files import Predictions
from catscans_lib.images import inventory
from catscans_lib.images.listing import Problem, class_key
from catscans_lib.statistics import bootstrap, delong
from catscans_lib.statistics.metrics import area, auc, classification_metrics, per_class


def evaluate(
    one: Predictions, other: Predictions | None = None, *, average: str, n_draws: int, seed: int, method: str = "logit"
) -> dict:
    """Return AUC, intervals and metrics of predictions, and their difference from other predictions of the same images.

    `method` is DeLong's interval, logit or wald. A dict of plain values: name, n_images, n_groups (None without groups),
    classes (counts by name), average, auc, intervals (low, high by method; None if not available), reasons (why, by method),
    metrics (empty if scores are not probabilities), inventory (as `inventory.inventory` returns it); with `other` also against:
    name, auc, difference (one minus other), tests (low, high, p by method), reasons. Raises InputError if the images differ or
    the predictions give no AUC.
    """
    options = {"average": average, "n_draws": n_draws, "seed": seed, "method": method}
    try:
        value = auc(one.labels, one.scores, one.classes, average)
        is_probability = ((one.scores >= 0) & (one.scores <= 1)).all()
        intervals, reasons = _by_method(one, None, options)
        found = {
            "name": one.name,
            "n_images": len(one.labels),
            "n_groups": None if one.groups is None else len(set(one.groups)),
            "classes": {name: int((one.labels == name).sum()) for name in one.classes},
            "average": "binary" if len(one.classes) == 2 else average,
            "auc": value,
            "intervals": intervals,
            "reasons": reasons,
            "metrics": classification_metrics(one.labels, one.scores, one.classes) if is_probability else {},
            "inventory": _inventory(one, other),
        }
        if other is not None:
            other = _aligned(one, other)
            other_auc = auc(other.labels, other.scores, other.classes, average)
            tests, reasons = _by_method(one, other, options)
            found["against"] = {
                "name": other.name, "auc": other_auc, "difference": value - other_auc, "tests": tests, "reasons": reasons,
            }  # fmt: skip
        return found
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{one.name}: {error}") from error


def as_text(found: dict) -> str:
    """Format the result of `evaluate` for the terminal."""
    counts = ", ".join(f"{name} {n:,}" for name, n in found["classes"].items())
    groups = "" if found["n_groups"] is None else f", {found['n_groups']:,} groups"
    kind = "AUC" if found["average"] == "binary" else f"AUC ({found['average']})"
    lines = [f"{found['name']}: {found['n_images']:,} images ({counts}){groups}", f"  {kind:<20} {found['auc']:.4f}"]
    lines += [
        f"  {'95 %':<20} {_range(*ends, found['reasons'].get(method))}   {method}"
        for method, ends in found["intervals"].items()
    ]
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
            shown = _range(low, high, against["reasons"].get(method), "+")
            lines.append(f"  {'95 %':<20} {shown}   p {'unknown' if p is None else f'= {p:.3g}'}   {method}")
    return "\n".join([*lines, inventory.as_text(found["inventory"])])


def _range(low: float | None, high: float | None, reason: str | None, sign: str = "") -> str:
    return f"not available: {reason}" if low is None else f"{low:{sign}.4f} to {high:{sign}.4f}"


def _inventory(one: Predictions, other: Predictions | None) -> dict:
    """What was read of both files, and a note if the scores seem to be those of another class."""
    paths = [f"image {number}" for number in range(len(one.labels))] if one.ids is None else one.ids
    images = pd.DataFrame({"path": paths, "label": one.labels, "group": one.groups})
    problems = list(one.problems)
    for read_file in (one, other) if other else (one,):
        problems += [Problem("", note) for note in _exchanged(read_file)]
        if read_file is not one:
            problems += [problem._replace(problem=f"{other.name}: {problem.problem}") for problem in other.problems]
    table = pd.DataFrame(problems, columns=Problem._fields, dtype=str)
    return inventory.inventory(images, table, group=None if one.groups is None else "group")


def _exchanged(one: Predictions) -> list[str]:
    """Return a note if the scores of a class are higher for images of other classes than for its own."""
    found = [row for row in per_class(one.labels, one.scores, one.classes) if row[2] and row[3]]
    low, value, n, n_others = min(reversed(found), key=lambda row: row[1])  # of two classes the positive one
    if value >= 0.5:
        return []
    fits = {name: area(one.labels == name, one.scores[:, one.classes.index(low)]) for name, *_ in found}
    best = max(fits, key=fits.get)
    # two standard errors of a random score
    is_chance = 0.5 - value < 2 * np.sqrt((n + n_others + 1) / (12 * n * n_others))
    seems = f"its scores seem to be those of '{best}' (AUC {fits[best]:.3f})" + (", or random" if is_chance else "")
    how = "Exchange the columns" + (
        f", or of a single column: --positive {shlex.quote(best)}" if len(found) == 2 else "."
    )
    return [f"{one.name}: The AUC of '{low}' is {value:.3f}, below 0.5: {seems}. {how}"]


def _by_method(one: Predictions, other: Predictions | None, options: dict) -> tuple[dict[str, list], dict[str, str]]:
    """Return low and high of the AUC, or low, high and p of the difference from `other`, by method; and why some are None."""
    found, reasons = {}, {}
    unit = "images as independent" if one.groups is None else "over groups"
    scale = options["method"]
    if len(one.classes) == 2:
        positive = one.labels == one.classes[1]
        if other is None:
            name = f"DeLong, {unit}, {scale} interval"
            value, variance = delong.delong(positive, one.scores[:, 1], one.groups)
            ends = delong.interval(value[0], max(variance[0, 0], 0), LEVEL, scale)
        else:
            name = f"paired DeLong, {unit}, wald interval"
            pair = delong.paired(positive, one.scores[:, 1], other.scores[:, 1], one.groups, level=LEVEL)
            ends = pair.low, pair.high, pair.p
        found[name], reasons[name] = list(ends), _why_not(one, other)
    if len(one.classes) > 2 or one.groups is not None:
        unit, groups = ("images", np.arange(len(one.labels))) if one.groups is None else ("groups", one.groups)
        name = f"bootstrap over {unit}, {options['n_draws']:,} draws, seed {options['seed']}"
        reasons[name] = (
            "all draws are equal, or none has all classes" if len(set(groups)) > 1 else "there is only one group"
        )
        found[name] = [np.nan] * (2 if other is None else 3)
        if len(set(groups)) > 1:
            stacked = np.stack([one.scores] if other is None else [one.scores, other.scores])
            drawing = {name: options[name] for name in ("average", "n_draws", "seed")}
            drawn = bootstrap.auc_draws(one.labels, stacked, one.classes, groups, **drawing)
            draws = drawn[0] if other is None else drawn[0] - drawn[1]
            ends = [float(end[0]) for end in interval(draws)]
            found[name] = ends if other is None else [*ends, float(bootstrap.p_value(draws))]
    plain = {name: [None if np.isnan(end) else float(end) for end in ends] for name, ends in found.items()}
    return plain, {name: reasons[name] for name, ends in plain.items() if ends[0] is None}


def _why_not(one: Predictions, other: Predictions | None) -> str:
    """Why DeLong's method has no interval."""
    units = np.arange(len(one.labels)) if one.groups is None else one.groups
    for name in one.classes:
        if len(set(units[one.labels == name])) == 1:
            return f"only one {'image is' if one.groups is None else 'group has images'} of class '{name}'"
    files = [one] if other is None else [one, other]
    if other is not None and np.array_equal(*(rankdata(part.scores[:, 1]) for part in files)):
        return "both files rank the images alike"
    if all(len(set(part.scores[:, 1])) == 1 for part in files):
        return "all scores are equal"
    if all(area(one.labels == one.classes[1], part.scores[:, 1]) in (0, 1) for part in files):
        return "the scores separate the classes without an error"
    return "the estimated variance is zero"


def _aligned(one: Predictions, other: Predictions) -> Predictions:
    """Return the other predictions in the order of the first; raise if images or classes differ."""
    keys = {class_key(name): column for column, name in enumerate(other.classes)}
    columns = [keys.get(class_key(name), -1) for name in one.classes]
    if len(one.classes) != len(other.classes) or -1 in columns:
        raise InputError(f"{one.name} scores {', '.join(one.classes)}; {other.name} scores {', '.join(other.classes)}.")
    if len(one.labels) != len(other.labels):
        raise InputError(
            f"{one.name} has {len(one.labels)} images, {other.name} has {len(other.labels)}. "
            "A paired test needs the same images in both."
        )
    if (one.ids is None) != (other.ids is None):
        without = one.name if one.ids is None else other.name
        raise InputError(
            f"{without} has no column image_id, the other file has one. Add it, so that rows can be matched."
        )
    order = np.arange(len(other.labels))
    if one.ids is not None and other.ids is not None:
        order = other.ids.get_indexer(one.ids)
        if (order < 0).any():
            raise InputError(f"{other.name} lacks '{one.ids[int(np.argmax(order < 0))]}', which {one.name} has.")
    names = dict(zip([other.classes[column] for column in columns], one.classes, strict=True))
    if differ := sum(names.get(theirs) != ours for theirs, ours in zip(other.labels[order], one.labels, strict=True)):
        raise InputError(
            f"{one.name} and {other.name} disagree on the true class of {differ} images. "
            "Add a column image_id to both, so that rows can be matched."
        )
    scores = other.scores[order][:, columns]
    return other._replace(classes=one.classes, labels=one.labels, scores=scores, groups=one.groups, ids=one.ids)
