"""Sources inside and outside of the collection that their networks were trained on."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from catscans_lib.figures.style import COLOURS, Titles

EDGES = ["outside_low", "outside_high"]


def slopes(drops: pd.DataFrame, mode: str, *, titles: Titles) -> np.ndarray:
    """Plot the AUC of every source inside and outside, a panel per pair of collections; returns the axes.

    Takes `drops.drops` with column test. The vertical line is the 95 % interval outside; the best source outside is orange,
    random weights are grey. Labels that would touch are moved apart.
    """
    pairs = list(drops.loc[drops["mode"] == mode].groupby(["target", "test"], sort=False))
    size = (0.6 + 3.4 * len(pairs), 2.6 + 0.2 * max(len(here) for _, here in pairs))
    _, axes = plt.subplots(1, len(pairs), figsize=size, squeeze=False)
    for ax, ((train, test), here) in zip(axes[0], pairs, strict=True):
        here = here.sort_values("auc_outside", ignore_index=True)
        low, high = (getattr(here[["auc_inside", "auc_outside", *EDGES]].stack(), of)() for of in ("min", "max"))
        gap = (high - low) / (4 + len(here))
        places = here["auc_outside"] + 0.0
        for row in range(1, len(here)):
            places[row] = max(places[row], places[row - 1] + gap)
        places -= (places - here["auc_outside"]).mean()
        for row, place in zip(here.itertuples(), places, strict=True):
            is_best = row.auc_outside == here.loc[here["source"] != "none", "auc_outside"].max()
            colour = "#888888" if row.source == "none" else COLOURS[1] if is_best else COLOURS[0]
            ax.plot([0, 1], [row.auc_inside, row.auc_outside], color=colour, marker="o", ms=4, lw=1.6)
            ax.plot([1, 1], [row.outside_low, row.outside_high], color=colour, lw=1, alpha=0.6)
            ax.annotate(
                titles[row.source], (1, row.auc_outside), (1.08, place), color=colour, va="center", annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": "#BBBBBB", "lw": 0.6},
            )  # fmt: skip
        if low < 0.5:
            ax.plot([-0.1, 1.1], [0.5, 0.5], color="#B00020", lw=0.8, ls=":")
        ax.set(xlim=(-0.15, 2.3), ylim=(min(low, places.min()) - gap / 2, max(high, places.max()) + gap / 2))
        ax.set_xticks([0, 1], ["inside", "outside"])
        ax.spines["bottom"].set_bounds(0, 1)
        ax.set_title(f"{titles[train]}\n→ {titles[test]}")
    axes[0, 0].set_ylabel(f"AUC (macro one-vs-rest), {mode.replace('_', '-')}")
    return axes[0]
