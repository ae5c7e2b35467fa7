"""Networks layer by layer: how alike they are, and how far fine-tuning moved them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator

from catscans_lib.figures.style import ordered


def cka_matrices(table: pd.DataFrame, *, titles: dict[str, str]) -> np.ndarray:
    """Similarity of every two sources, a panel per layer.

    Parameters
    ----------
    table : pandas.DataFrame
        As `cka.between` returns it.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (n_layers,)
    """
    layers, sources = list(table["layer"].unique()), ordered(table["source"])
    side = 0.6 + 0.24 * len(sources)
    figure, axes = plt.subplots(
        1, len(layers), figsize=(side * len(layers) + 2.6, side + 1.7), sharey=True, squeeze=False
    )
    for ax, layer in zip(axes[0], layers, strict=True):
        wide = table[table["layer"] == layer].pivot(index="source", columns="other", values="cka")
        picture = _cells(ax, wide.loc[sources, sources], Normalize(0, 1, clip=True), titles, "{:.2f}", 5.5)
        ax.set_title(layer, fontsize=9)
        ax.set_aspect("equal")
    figure.colorbar(picture, ax=axes, label=f"linear CKA, n = {table['n_images'].iloc[0]} images", shrink=0.6)
    return axes[0]


def change_heatmap(table: pd.DataFrame, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Relative change of every layer's weights by fine-tuning, source by source (row), from the first layer to the last.

    Parameters
    ----------
    table : pandas.DataFrame
        As `filters.changes` returns it.
    """
    positive = table.loc[table["change"] > 0, "change"]
    most = positive.max() if len(positive) else 1.0
    norm = LogNorm(
        min(positive.min(), most / 10) if len(positive) else 0.1, most, clip=True
    )  # 0 has the darkest colour
    return _by_layer(table, "change", norm, "||after − before|| / ||before||", "{:#.2g}", titles, ax)


def kept_heatmap(table: pd.DataFrame, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Similarity of every source's network after fine-tuning with itself before, from the first layer to the last.

    Parameters
    ----------
    table : pandas.DataFrame
        As `cka.kept` returns it.
    """
    label = f"linear CKA, n = {table['n_images'].iloc[0]} images"
    return _by_layer(table, "cka", Normalize(0, 1, clip=True), label, "{:.2f}", titles, ax)


def _by_layer(
    table: pd.DataFrame, column: str, norm: Normalize, label: str, form: str, titles: dict[str, str], ax: Axes | None
) -> Axes:
    wide = table.pivot(index="source", columns="layer", values=column)
    wide = wide.loc[ordered(table["source"]), table["layer"].unique()]
    if ax is None:
        width = min(11.0, 3.2 + 0.42 * wide.shape[1])
        _, ax = plt.subplots(figsize=(width, 1.6 + 0.26 * len(wide)))
    picture = _cells(ax, wide, norm, titles, form if wide.shape[1] <= 16 else None, 6.5)
    ax.set_xlabel("Layer, from the image to the head")
    bar = ax.figure.colorbar(picture, ax=ax, label=label, format="%.2g")
    if isinstance(norm, LogNorm):
        bar.set_ticks(LogLocator(subs=(1, 2, 5)))
        bar.ax.minorticks_off()
    return ax


def _cells(
    ax: Axes, wide: pd.DataFrame, norm: Normalize, titles: dict[str, str], form: str | None, size: float
) -> AxesImage:
    """A table as colours, with its numbers in this form and font size (None: without)."""
    picture = ax.imshow(np.ma.masked_invalid(wide.to_numpy(float)), cmap="cividis", norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(wide.to_numpy(float)):
        if form and np.isfinite(value):
            dark = np.dot(picture.cmap(picture.norm(value))[:3], (0.299, 0.587, 0.114)) < 0.5
            ax.text(
                column, row, form.format(value), ha="center", va="center", fontsize=size, color="w" if dark else "k"
            )
    names = [titles.get(name, name) for name in wide.columns]
    shown = range(0, len(names), -(-len(names) // 40))
    ax.set_xticks(shown, [names[place] for place in shown], rotation=90, fontsize=7)
    ax.set_yticks(range(len(wide)), [titles[name] for name in wide.index], fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return picture
