"""Learning curves over the epochs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from catscans_lib import datasets
from catscans_lib.figures.style import COLOURS, Titles

METRICS = {"loss": "Loss", "accuracy": "Accuracy", "auc": "AUC"}  # in the order of the panels
SPLITS = {"train": "training", "validation": "inner validation"}


def learning_curves(history: pd.DataFrame, *, by: str | None = None, titles: Titles | None = None) -> np.ndarray:
    """Plot curves over the epochs, a panel per metric, a colour per value of `by` (None: the mode, if there are several).

    Folds and seeds are faint, their mean is strong; training is dashed, inner validation solid. The mean of an epoch includes
    the curves that reached it.
    """
    metrics = [name for name in METRICS if name in set(history["metric"])]
    by = by or ("mode" if history["mode"].nunique() > 1 else None)
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.6 * len(metrics), 3.4), squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        _curves(ax, history[history["metric"] == metric], by, titles or {})
        ax.set_title(METRICS[metric])
        ax.set_xlabel("Epoch")
        here = [SPLITS[split] for split in history["split"].unique()]
        ax.set_ylabel(f"{METRICS[metric]} on {here[0]} images" if len(here) == 1 else METRICS[metric])
    # one legend for all panels
    entries = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside right upper", fontsize=8)
    return axes[0]


def _curves(ax: Axes, rows: pd.DataFrame, by: str | None, titles: Titles) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    keys = list(dict.fromkeys(rows[by])) if by else [None]
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
            words = [titles.get(key, key.replace("_", "-"))] if by else []
            words += [SPLITS[split]] if rows["split"].nunique() > 1 else []
            marker = {"marker": "o"} if len(mean) == 1 else {}
            ax.plot(mean.index, mean, lw=2, label=", ".join(words) or SPLITS[split], **style, **marker)
