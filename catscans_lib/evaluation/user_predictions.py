"""Evaluate predictions from any CSV file: AUC with intervals, metrics, and a paired test against another file."""

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.evaluation.intervals import FEW_GROUPS, interval
from catscans_lib.evaluation.prediction_files import Predictions
from catscans_lib.images import inventory
from catscans_lib.images.listing import Problem, class_key
from catscans_lib.statistics import bootstrap, delong
from catscans_lib.statistics.metrics import auc, classification_metrics, per_class


def evaluate(one: Predictions, other: Predictions | None = None, *, average: str, n_draws: int, seed: int) -> dict:
    """Return AUC, intervals and metrics of predictions, and their difference from other predictions of the same images.

    A dict of plain values: intervals are low and high by method (None if not available), metrics are empty if scores are not
    probabilities; with `other` also against, whose tests are low, high and p of the difference (one minus other) by method.
    Raises InputError if the images differ or the predictions give no AUC.
    """
    options = {"average": average, "n_draws": n_draws, "seed": seed}
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
            "inventory": _inventory(one, other),
        }
        if other is not None:
            other = _aligned(one, other)
            found["against"] = against = {"name": other.name, "tests": _by_method(one, other, options)}
            against["auc"] = auc(other.labels, other.scores, other.classes, average)
            against["difference"] = value - against["auc"]
        return found
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"{one.name}: {error}") from error


def as_text(found: dict) -> str:
    """Format the result of `evaluate` for the terminal."""
    counts = ", ".join(f"{name} {n:,}" for name, n in found["classes"].items())
    groups = "" if found["n_groups"] is None else f", {found['n_groups']:,} groups"
    kind = "AUC" if found["average"] == "binary" else f"AUC ({found['average']})"
    lines = [f"{found['name']}: {found['n_images']:,} images ({counts}){groups}", f"  {kind:<20} {found['auc']:.4f}"]
    lines += [f"  {'95 %':<20} {_range(*ends)}   {method}" for method, ends in found["intervals"].items()]
    lines.append("  Intervals and tests describe this one trained network; another training would give another AUC.")
    if found["n_groups"] is not None and found["n_groups"] < FEW_GROUPS:
        said = "intervals are too short: 95 % ones cover about 90 % or less."
        lines.append(f"  With fewer than {FEW_GROUPS} groups, {said}")
    lines += [f"  {name.replace('_', ' '):<20} {value:.4f}" for name, value in found["metrics"].items()]
    if against := found.get("against"):
        lines.append(f"against {against['name']}: AUC {against['auc']:.4f}")
        lines.append(f"  {'difference':<20} {against['difference']:+.4f}")
        for method, (low, high, p) in against["tests"].items():
            said = f"p {'unknown' if p is None else f'= {p:.3g}'}"
            lines.append(f"  {'95 %':<20} {_range(low, high, '+')}   {said}   {method}")
    return "\n".join([*lines, inventory.as_text(found["inventory"])])


def _range(low: float | None, high: float | None, sign: str = "") -> str:
    if low is None:
        return "not available: the estimated variance is zero (too few images or groups, or no image is ranked wrongly)"
    return f"{low:{sign}.4f} to {high:{sign}.4f}"


def _inventory(one: Predictions, other: Predictions | None) -> dict:
    """What was read of both files, and a note if the scores of a class may be those of another one."""
    paths = [f"image {number}" for number in range(len(one.labels))] if one.ids is None else one.ids
    images = pd.DataFrame({"path": paths, "label": one.labels, "group": one.groups})
    problems = list(one.problems)
    if other is not None:
        problems += [problem._replace(problem=f"{other.name}: {problem.problem}") for problem in other.problems]
    for name, value, n, n_others in per_class(one.labels, one.scores, one.classes):
        if n and n_others and value < 0.5:
            how = "Are its scores those of another class? Exchange the columns, or name the class of a single column"
            said = f"The AUC of '{name}' is {value:.3f}, below 0.5. {how}: --positive."
            problems.append(Problem("", said))
    table = pd.DataFrame(problems, columns=Problem._fields, dtype=str)
    return inventory.inventory(images, table, group=None if one.groups is None else "group")


def _by_method(one: Predictions, other: Predictions | None, options: dict) -> dict[str, list]:
    """Return low and high of the AUC, or low, high and p of the difference from `other`, by method; None: not available."""
    found = {}
    if len(one.classes) == 2:
        positive, unit = one.labels == one.classes[1], "images as independent" if one.groups is None else "over groups"
        if other is None:
            value, variance = delong.delong(positive, one.scores[:, 1], one.groups)
            ends = delong.interval(value[0], max(variance[0, 0], 0))
            found[f"DeLong, {unit}, logit interval"] = list(ends)
        else:
            pair = delong.paired(positive, one.scores[:, 1], other.scores[:, 1], one.groups)
            found[f"paired DeLong, {unit}, wald interval"] = [pair.low, pair.high, pair.p]
    if len(one.classes) > 2 or one.groups is not None:
        unit, groups = ("images", np.arange(len(one.labels))) if one.groups is None else ("groups", one.groups)
        name = f"bootstrap over {unit}, {options['n_draws']:,} draws, seed {options['seed']}"
        found[name] = [np.nan] * (2 if other is None else 3)
        if len(set(groups)) > 1:
            stacked = np.stack([one.scores] if other is None else [one.scores, other.scores])
            drawn = bootstrap.auc_draws(one.labels, stacked, one.classes, groups, **options)
            draws = drawn[0] if other is None else drawn[0] - drawn[1]
            ends = [float(end[0]) for end in interval(draws)]
            found[name] = ends if other is None else [*ends, float(bootstrap.p_value(draws))]
    return {name: [None if np.isnan(end) else float(end) for end in ends] for name, ends in found.items()}


def _aligned(one: Predictions, other: Predictions) -> Predictions:
    """Return the other predictions in the order of the first; raise if images or classes differ."""
    keys = {class_key(name): column for column, name in enumerate(other.classes)}
    columns = [keys.get(class_key(name), -1) for name in one.classes]
    if len(one.classes) != len(other.classes) or -1 in columns:
        raise InputError(f"{one.name} scores {', '.join(one.classes)}; {other.name} scores {', '.join(other.classes)}.")
    if len(one.labels) != len(other.labels):
        numbers = f"{one.name} has {len(one.labels)} images, {other.name} has {len(other.labels)}."
        raise InputError(f"{numbers} A paired test needs the same images in both.")
    advice = "so that rows can be matched."
    if (one.ids is None) != (other.ids is None):
        without = one.name if one.ids is None else other.name
        raise InputError(f"{without} has no column image_id, the other file has one. Add it, {advice}")
    order = np.arange(len(other.labels))
    if one.ids is not None and other.ids is not None:
        order = other.ids.get_indexer(one.ids)
        if (order < 0).any():
            raise InputError(f"{other.name} lacks '{one.ids[int(np.argmax(order < 0))]}', which {one.name} has.")
    names = dict(zip([other.classes[column] for column in columns], one.classes, strict=True))
    if differ := sum(names.get(theirs) != ours for theirs, ours in zip(other.labels[order], one.labels, strict=True)):
        said = f"{one.name} and {other.name} disagree on the true class of {differ} images."
        raise InputError(f"{said} Add a column image_id to both, {advice}")
    scores = other.scores[order][:, columns]
    return other._replace(classes=one.classes, labels=one.labels, scores=scores, groups=one.groups, ids=one.ids)
