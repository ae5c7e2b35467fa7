"""Learning curves over the epochs, and how stable they were."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catscans_lib import datasets
from catscans_lib.figures.style import COLOURS, MARKERS, Titles, ordered

METRICS = {"loss": "Loss", "accuracy": "Accuracy", "auc": "AUC"}  # in the order of the panels
RATE_METRIC = "accuracy"  # compared between learning rates
SPLITS = {"train": "training", "validation": "inner validation"}
NUMBERS = {
    "late_sd": "Late spread of the loss (sd)", "largest_rise": "Largest rise of the loss",
    "auc_late_sd": "Late spread of the AUC (sd)", "auc_largest_drop": "Largest drop of the AUC",
}  # fmt: skip


def learning_curves(history: pd.DataFrame, *, by: str | None = None, titles: Titles | None = None) -> np.ndarray:
    """Plot curves over the epochs, a panel per metric, a colour per value of `by` (None: the mode, if there are several).

    Folds and seeds are faint, their mean is strong; training is dashed, inner validation solid. The mean of an epoch includes
    the curves that reached it.
    """
    metrics, by = _metrics(history), by or _several(history, "mode")
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.6 * len(metrics), 3.4), squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        _curves(ax, history[history["metric"] == metric], by, titles or {})
        ax.set_title(_title(metric))
        ax.set_xlabel("Epoch")
        ax.set_ylabel(_label(metric, history["split"]))
    _legend(figure, axes)
    return axes[0]


def curve_grid(history: pd.DataFrame, *, by: str = "source", titles: Titles | None = None) -> np.ndarray:
    """Plot all curves of a target: a row per value of `by`, a column per metric, a colour per learning rate.

    Lines and table as for `learning_curves`. Returns Axes of shape (n_rows, n_metrics).
    """
    names, metrics, titles = ordered(history[by]), _metrics(history), titles or {}
    colours = _several(history, "learning_rate")
    size = (3.4 * len(metrics), 0.8 + 1.7 * len(names))
    figure, axes = plt.subplots(len(names), len(metrics), figsize=size, squeeze=False, sharex=True, sharey="col")
    for row, name in zip(axes, names, strict=True):
        of_row = history[history[by] == name]
        for ax, metric in zip(row, metrics, strict=True):
            _curves(ax, of_row[of_row["metric"] == metric], colours, titles, keys=history[colours] if colours else None)
            ax.set_ylabel(_title(metric))
        row[0].set_title(titles.get(name, name), fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("Epoch")
    _legend(figure, axes)
    return axes


def rate_curves(history: pd.DataFrame, *, by: str, titles: Titles | None = None) -> np.ndarray:
    """Plot the accuracy at every learning rate that was tried, a panel per rate with common axes.

    Takes the table of `learning_curves` with a column learning_rate. With several colours (values of `by`) per panel, only
    the inner validation is shown if it exists; otherwise training is dashed and inner validation solid.
    """
    shown = history[history["metric"] == RATE_METRIC]
    if shown.groupby("learning_rate")[by].nunique().gt(1).any() and "validation" in set(shown["split"]):
        shown = shown[shown["split"] == "validation"]
    rates = sorted(history["learning_rate"].dropna().unique())
    figure, axes = plt.subplots(1, len(rates), figsize=(4.2 * len(rates), 3.4), squeeze=False, sharex=True, sharey=True)
    for ax, rate in zip(axes[0], rates, strict=True):
        _curves(ax, shown[shown["learning_rate"] == rate], by, titles or {}, keys=shown[by])
        ax.set_title(f"learning rate {rate:g}")
        ax.set_xlabel("Epoch")
    axes[0, 0].set_ylabel(_label(RATE_METRIC, shown["split"]))
    _legend(figure, axes)
    return axes[0]


def stability_points(numbers: pd.DataFrame, *, titles: Titles) -> np.ndarray:
    """Plot the stability numbers of every source, a panel per number, a point per fold and seed; lower is more stable.

    Takes the table of `stability.numbers`; shows fine-tuning with the common budget, or logs.
    """
    if "log" in numbers:
        numbers = numbers.assign(source=numbers["log"], target="logs", mode="fine_tune")
    shown = numbers[numbers["mode"] == "fine_tune"]
    sources, targets = ordered(shown["source"])[::-1], ordered(shown["target"])
    what = {column: label for column, label in NUMBERS.items() if column in shown and shown[column].notna().any()}
    size = (1.5 + 3.2 * max(1, len(what)), 1.4 + 0.34 * len(sources))
    figure, axes = plt.subplots(1, max(1, len(what)), figsize=size, sharey=True, squeeze=False)
    for ax, (column, label) in zip(axes[0], what.items(), strict=bool(what)):
        for number, target in enumerate(targets):
            rows = shown[shown["target"] == target]
            offset = 0.22 * (number - (len(targets) - 1) / 2)
            style = {"color": COLOURS[number], "marker": MARKERS.get(target, "o")}
            places = rows["source"].map(sources.index) + offset
            ax.scatter(rows[column], places, s=14, alpha=0.35, linewidths=0, **style)
            mean = rows.groupby("source")[column].mean()
            at = np.array([sources.index(source) for source in mean.index]) + offset
            ax.scatter(mean, at, s=42, edgecolor="black", label=titles.get(target, target), **style)
        ax.set_xlabel(label)
        ax.grid(axis="y", color="#EEEEEE")
    axes[0, 0].set_yticks(range(len(sources)), [titles.get(source, source) for source in sources])
    entries = axes[0, 0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper right", ncols=max(1, len(targets)), fontsize=8)
    return axes[0]


def _curves(ax: Axes, rows: pd.DataFrame, by: str | None, titles: Titles, keys: Sequence | None = None) -> None:
    """Draw one panel; `keys` are the values of `by` in the whole figure, of which this panel may lack some."""
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    keys = list(dict.fromkeys(rows[by] if keys is None else keys)) if by else [None]
    one = [column for column in rows if column not in ("epoch", "metric", "value", "split", by)]
    place = {name: number for number, name in enumerate([*datasets.known(), "none"])}
    for number, key in enumerate(keys):
        number = place.get(key, number)  # a source has one colour in every figure
        of_key = rows[rows[by] == key] if by else rows
        for split, part in of_key.groupby("split", sort=False):
            # A panel with one split does not need dashes for it, so they mark sources beyond the number of colours.
            is_dashed = number >= len(COLOURS) if rows["split"].nunique() == 1 else split == "train"
            style = {"color": COLOURS[number % len(COLOURS)], "ls": "--" if is_dashed else "-"}
            for _, curve in part.groupby(one, sort=False, dropna=False) if one else [((), part)]:
                ax.plot(curve["epoch"], curve["value"], alpha=0.18, lw=0.8, **style)
            mean = part.groupby("epoch")["value"].mean()
            words = [_name(key, by, titles)] if by else []
            words += [SPLITS[split]] if rows["split"].nunique() > 1 else []
            marker = {"marker": "o"} if len(mean) == 1 else {}
            ax.plot(mean.index, mean, lw=2, label=", ".join(words) or SPLITS[split], **style, **marker)


def _name(key: object, by: str, titles: Titles) -> str:
    if by == "learning_rate":
        return f"learning rate {key:g}"
    return titles.get(str(key), str(key) if by == "log" else str(key).replace("_", "-"))


def _legend(figure: Figure, axes: np.ndarray) -> None:
    """Draw one legend for all panels, with the curves of every panel."""
    entries = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside right upper", fontsize=8)


def _metrics(history: pd.DataFrame) -> list[str]:
    """Return the metrics of a history: loss, accuracy and AUC first, in this order in every figure."""
    here = list(dict.fromkeys(history["metric"]))
    return [name for name in METRICS if name in here] + [name for name in here if name not in METRICS]


def _several(history: pd.DataFrame, column: str) -> str | None:
    return column if column in history and history[column].nunique() > 1 else None


def _title(metric: str) -> str:
    return METRICS.get(metric, metric)


def _label(metric: str, splits: Sequence[str]) -> str:
    """Return the label of the y axis: the metric, and the images if all are of one split."""
    here = [SPLITS[split] for split in dict.fromkeys(splits)]
    return f"{_title(metric)} on {' and '.join(here)} images" if len(here) == 1 else _title(metric)
