"""How training went."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catscans_lib import datasets
from catscans_lib.figures.style import COLOURS, MARKERS, ordered


def learning_curves(
    history: pd.DataFrame, *, metric: str | None = None, by: str | None = None, titles: dict[str, str] | None = None
) -> np.ndarray:
    """Curves over the epochs: every fold and seed faint, their mean on top.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns mode, fold, seed, epoch, split, metric, value (and `by`).
    metric : str or None
        Show one metric, with a panel per split; None: a panel per metric, splits as colours.
    by : str or None
        Column that gives the colours; None: mode and split.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (n_panels,)
    """
    shown = history if metric is None else history[history["metric"] == metric]
    panel = "split" if metric else "metric"
    panels = list(shown[panel].unique())
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.4), squeeze=False)
    colour_by = [by] if by else [key for key in ("mode", "split") if shown[key].nunique() > 1] or ["split"]
    for ax, name in zip(axes[0], panels, strict=True):
        _curves(ax, shown[shown[panel] == name], colour_by, titles or {})
        ax.set_title(f"{name} images" if metric else name.capitalize())
        ax.set_xlabel("Epoch")
        ax.set_ylabel((metric or name).capitalize())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return axes[0]


def stability_points(numbers: pd.DataFrame, *, titles: dict[str, str]) -> np.ndarray:
    """Both stability numbers of every source, a point per fold and seed, marked by target; lower is calmer.

    Parameters
    ----------
    numbers : pandas.DataFrame
        As `stability.numbers` returns it; the modes with the common budget are shown.
    """
    shown = numbers[numbers["mode"] == "fine_tune"]
    sources = ordered(shown["source"])[::-1]
    targets = ordered(shown["target"])
    what = {"late_sd": "Spread of the loss, last third of the epochs", "largest_rise": "Largest rise of the loss"}
    figure, axes = plt.subplots(1, 2, figsize=(9, 1.4 + 0.34 * len(sources)), sharey=True)
    for ax, (column, label) in zip(axes, what.items(), strict=True):
        for number, target in enumerate(targets):
            rows = shown[shown["target"] == target]
            place = rows["source"].map(sources.index) + 0.22 * (number - (len(targets) - 1) / 2)
            style = {"color": COLOURS[number], "marker": MARKERS.get(target, "o")}
            ax.scatter(rows[column], place, s=14, alpha=0.35, linewidths=0, **style)
            mean = rows.groupby("source")[column].mean()
            at = np.array([sources.index(source) for source in mean.index]) + 0.22 * (number - (len(targets) - 1) / 2)
            ax.scatter(mean, at, s=42, edgecolor="black", label=titles[target], **style)
        ax.set_xlabel(label)
        ax.grid(axis="y", color="#EEEEEE")
    axes[0].set_yticks(range(len(sources)), [titles[source] for source in sources])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(targets), fontsize=8)
    return axes


def _curves(ax: Axes, rows: pd.DataFrame, colour_by: list[str], titles: dict[str, str]) -> None:
    one = [key for key in ("source", "mode", "fold", "seed", "split") if key in rows and key not in colour_by]
    order = {(name,): place for place, name in enumerate([*datasets.known(), "none"])}
    for number, (key, part) in enumerate(rows.groupby(colour_by, sort=False)):
        number = order.get(key, number)  # a source has one colour in every figure
        colour, dashes = COLOURS[number % len(COLOURS)], "-" if number < len(COLOURS) else "--"
        for _, curve in part.groupby(one, sort=False):
            ax.plot(curve["epoch"], curve["value"], color=colour, alpha=0.18, lw=0.8)
        mean = part.groupby("epoch")["value"].mean()
        label = ", ".join(titles.get(str(name), str(name).replace("_", "-")) for name in key)
        style = {"marker": "o"} if len(mean) == 1 else {}
        ax.plot(mean.index, mean, color=colour, ls=dashes, lw=2, label=label, **style)
