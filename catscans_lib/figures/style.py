"""The style of all figures: colours, markers, the DEMO stamp, saving, panels, and cells of heat maps."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from catscans_lib import datasets

Titles = Mapping[str, str]  # printed titles of datasets, measures and layers by name
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933", "#882255", "#888888")
MARKERS = {"isic2018": "o", "chest": "s", "pcam_middle": "^"}
DEMO_STAMP = "DEMO – made-up images, not a medical result"


def set_style() -> None:
    """Set the style of all figures drawn afterwards."""
    mpl.rc("figure.constrained_layout", use=True, w_pad=0.1)  # inches; a reader's font may be wider than ours
    mpl.rc("figure", dpi=100)
    mpl.rc("savefig", dpi=160)
    mpl.rc("font", size=10)
    mpl.rc("axes", titlesize=11, titleweight="bold", titlelocation="left", grid=False)
    mpl.rc("axes", prop_cycle=mpl.cycler(color=COLOURS))
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rc("legend", frameon=False)
    mpl.rc("svg", fonttype="none", hashsalt="catscans")  # the same figure gives the same file


def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame, *, is_demo: bool) -> None:
    """Save a figure as SVG, and the table it shows as CSV, both named `name`; mark results of generated images as DEMO."""
    if is_demo and not any(text.get_text().startswith("DEMO") for text in figure.texts):
        text = DEMO_STAMP if figure.get_figwidth() > 3.5 else DEMO_STAMP.replace(", ", ",\n")
        figure.supxlabel(text, fontsize=8, color="#B00020", weight="bold", x=0.01, ha="left")
    folder.mkdir(parents=True, exist_ok=True)
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine("none")  # every drawing would make the layout again, which takes most of its time
    whole = figure.get_tightbbox().padded(0.1)  # inches; labels of a small grid reach beyond the axes
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches=whole)
    table.to_csv(folder / f"{name}.csv", index=False)


def ordered(names: pd.Series) -> list[str]:
    """Return sources or targets in the order of the study's tables, the baseline last."""
    here = list(dict.fromkeys(names))
    known = [*datasets.known(), *here]
    return sorted(here, key=lambda name: (name == "none", known.index(name)))


def panels(n: int, n_columns: int, width: float, height: float, label: str = "", **shared: bool) -> np.ndarray:
    """Return the axes of `n` panels of this size (inches), in rows of at most `n_columns`; `shared`: sharex or sharey.

    The middle panel of the last row has the label of the x axis.
    """
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    size = (1.9 + width * n_columns, 0.3 + height * n_rows)
    axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, **shared)[1].flat
    for ax in axes[n:]:
        ax.remove()
    for ax in axes[:n]:
        ax.tick_params(labelbottom=True)
    last = axes[(n_rows - 1) * n_columns : n]
    last[len(last) // 2].set_xlabel(label)
    return axes[:n]


def apart(places: pd.Series, gap: float) -> pd.Series:
    """Return places in ascending order, moved until they are at least `gap` apart; their mean stays."""
    places, steps = places.sort_values(), gap * np.arange(len(places))
    moved = np.maximum.accumulate(places - steps) + steps
    return moved - (moved - places).mean()


def heatmap(
    values: pd.DataFrame, cmap: str, norm: Normalize, form: str, *, label: str, titles: Titles,
    size: tuple[float, float],
) -> Axes:  # fmt: skip
    """Plot a table of sources, targets, measures or layers as a heat map with numbers, titles and colour bar.

    Missing cells are hatched.
    """
    _, ax = plt.subplots(figsize=size)
    ax.set_facecolor("#EEEEEE")
    ax.patch.set(hatch="////", edgecolor="#CCCCCC")
    picture = ax.imshow(np.ma.masked_invalid(values.to_numpy(float)), cmap=cmap, norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        if np.isfinite(value):
            is_dark = np.dot(picture.cmap(picture.norm(value))[:3], (0.299, 0.587, 0.114)) < 0.5
            ax.text(column, row, form.format(value), ha="center", va="center", color="white" if is_dark else "black")
    ax.tick_params(length=0)
    ax.tick_params(axis="x", rotation=60)
    ax.spines[:].set_visible(False)
    ax.set_xticks(range(values.shape[1]), [titles[name] for name in values.columns])
    ax.set_yticks(range(values.shape[0]), [titles[name] for name in values.index])
    ax.figure.colorbar(picture, ax=ax, label=label)
    return ax
