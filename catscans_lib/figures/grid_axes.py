"""AUCs over the axes of a grid: number of training images, networks, and the variance between repeats."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catscans_lib.figures.style import COLOURS, Titles, apart, ordered, panels

GREY = "#666666"  # random weights
GAP = 0.075  # between labels at the ends of lines, in heights of the panel


def size_curves(curves: pd.DataFrame, value: str, *, titles: Titles, margin: float = 0.0) -> np.ndarray:
    """Plot `value` ("auc" or "gain") against the number of training images: a panel per target, a labelled line per source.

    Takes rows of one mode of `sizes.curves`. A grey band shows the `margin` of gains. Intervals are bars, beside each other.
    """
    low, high = ("low", "high") if value == "auc" else ("gain_low", "gain_high")
    here = curves.dropna(subset=value)
    colours = _colours(here["source"])
    label = "AUC on held-out images" if value == "auc" else "AUC minus that of random weights"
    axes, targets = _panels(here, label)
    for ax, target in zip(axes, targets, strict=True):
        part = here[here["target"] == target]
        sizes = np.sort(part["n_train"].unique())
        for number, (source, of) in enumerate(part.groupby("source", sort=False)):
            x = of["n_train"] * 1.03 ** (number - part["source"].nunique() / 2)
            _line(ax, colours[source], x, of[value], [of[value] - of[low], of[high] - of[value]])
        if value == "gain":
            ax.axhspan(-margin, margin, color="#DDDDDD", zorder=0)
        ax.set(xscale="log", title=titles.get(target, target), xlabel="Training images of a fold")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        _label_ends(ax, part.loc[part["n_train"] == sizes[-1]], value, titles, colours)
    return axes


def backbone_lines(ranks: pd.DataFrame, *, titles: Titles, networks: Mapping[str, str]) -> np.ndarray:
    """Plot the AUC of every source with every network, a panel per target; lines that cross change the order of two sources.

    Takes rows of one mode of `backbones.ranks`; `networks` are printed names. A line breaks where a network lacks the source.
    """
    colours = _colours(ranks["source"])
    axes, targets = _panels(ranks, "AUC on held-out images", height=3.9)
    for ax, target in zip(axes, targets, strict=True):
        part = ranks[ranks["target"] == target]
        names = list(part["backbone"].unique())
        for source, of in part.groupby("source", sort=False):
            _line(ax, colours[source], range(len(names)), of.set_index("backbone")["auc"].reindex(names), None)
        ax.set_xticks(range(len(names)), [networks.get(name, name) for name in names], rotation=30, ha="right", size=9)
        ax.set(title=titles.get(target, target), xlim=(-0.2, len(names) - 0.8))
        _label_ends(ax, part.groupby("source", sort=False).tail(1), "auc", titles, colours)  # of its last network
    return axes


def component_panels(components: pd.DataFrame, *, titles: Titles, words: Mapping[str, str]) -> np.ndarray:
    """Plot standard deviations of an AUC: a panel per component, a row per target, with intervals; rings are 0.

    Takes rows of one mode of `variance.split`; `words` are printed names of the components in order.
    """
    here, targets = components.dropna(subset="sd"), ordered(components["target"])[::-1]
    names = [name for name in words if name in set(here["component"])]
    label = "Standard deviation of the AUC, 95 % interval"
    axes = panels(len(names), len(names), 1.5, 0.9 + 0.4 * len(targets), label, sharey=True, sharex=True)
    for number, (ax, name) in enumerate(zip(axes, names, strict=True)):
        for row in here[here["component"] == name].itertuples():
            y, colour = targets.index(row.target), COLOURS[number]
            ax.plot([row.low, row.high], [y, y], color=colour, lw=1.8)
            ax.plot(row.sd, y, "o", ms=6, mec=colour, mfc=colour if row.sd else "white", clip_on=False, zorder=3)
        ax.set_title(words[name], fontsize=10)
        ax.locator_params(axis="x", nbins=2)
        ax.set_xlim(0, 2 * here["sd"].max())
        ax.grid(axis="x", color="#EEEEEE")
    axes[0].set_yticks(range(len(targets)), [titles.get(name, name) for name in targets])
    return axes


def _panels(table: pd.DataFrame, label: str, height: float = 3) -> tuple[np.ndarray, list[str]]:
    targets = ordered(table["target"])
    axes = panels(len(targets), 2, 4.1, height)
    for ax in axes[::2]:
        ax.set_ylabel(label)
    return axes, targets


def _colours(sources: pd.Series) -> dict[str, str]:
    names = [name for name in ordered(sources) if name != "none"]
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)} | {"none": GREY}


def _line(ax: Axes, colour: str, x: pd.Series, y: pd.Series, reach: list[pd.Series] | None) -> None:
    style = {"color": colour, "ls": "--" if colour == GREY else "-", "marker": "o", "ms": 4, "lw": 1.5}
    ax.errorbar(x, y, None if reach is None else np.nan_to_num(np.maximum(reach, 0)), elinewidth=1, **style)


def _label_ends(ax: Axes, ends: pd.DataFrame, value: str, titles: Titles, colours: dict[str, str]) -> None:
    """Write the name of every line at its right end, names apart from each other."""
    bottom, top = ax.get_ylim()
    for at, y in apart((ends[value] - bottom) / (top - bottom), GAP).items():
        source = ends.loc[at, "source"]
        text = "random weights" if source == "none" else titles.get(source, source)
        ax.text(1.02, y, text, transform=ax.transAxes, va="center", fontsize=9, color=colours[source])
