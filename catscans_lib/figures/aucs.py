"""AUCs of sources on one target."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catscans_lib.figures.style import COLOURS

AVERAGED = {"binary": "AUC", "weighted": "weighted one-vs-rest AUC", "macro": "macro one-vs-rest AUC"}


def auc_bars(aucs: pd.DataFrame, target: str, mode: str, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """AUC of every source on one target: a bar for the mean, a faint point for every fold and seed, best on top.

    The baseline is shown in grey; where it was also given a longer budget, that is a bar of its own.

    Parameters
    ----------
    aucs : pandas.DataFrame
        As `evaluation.all_aucs` returns it.
    """
    bars = _bars(aucs[aucs["target"] == target], mode, titles)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 1.1 + 0.34 * len(bars)))
    for place, (_, source, values) in enumerate(bars):
        colour = "#999999" if source == "none" else COLOURS[0]
        ax.barh(place, values.mean(), color=colour, alpha=0.55, height=0.62, zorder=1)
        spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        ax.scatter(values, place + np.asarray(spread), s=14, color="#333333", alpha=0.45, linewidths=0, zorder=2)
        ax.scatter(values.mean(), place, s=44, color=colour, edgecolor="black", marker="D", zorder=3)
    ax.set_yticks(range(len(bars)), [f"{label} (n = {len(values)})" for label, _, values in bars])
    averages = aucs.loc[aucs["target"] == target, "average"].unique()
    what = AVERAGED.get(averages[0], "AUC") if len(averages) == 1 else "AUC"
    ax.set_xlabel(f"{what} on held-out fold\npoints: folds and seeds; diamond: their mean")
    lowest = min(values.min() for *_, values in bars)
    ax.set_xlim(min(0.5, np.floor(lowest * 10) / 10), 1.0)
    ax.axvline(0.5, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set_title(f"{titles[target]}, {mode.replace('_', '-')}")
    return ax


def _bars(aucs: pd.DataFrame, mode: str, titles: dict[str, str]) -> list[tuple[str, str, np.ndarray]]:
    """Label, source and AUCs of every bar, from the bottom: the baselines, then sources by rising mean."""
    here = aucs[aucs["mode"] == mode]
    bars = [(titles[source], source, part["auc"].to_numpy()) for source, part in here.groupby("source", sort=False)]
    if mode == "fine_tune" and len(longer := aucs[aucs["mode"] == "fine_tune_long"]):
        bars.append((f"{titles['none']}, longer", "none", longer["auc"].to_numpy()))
    return sorted(bars, key=lambda bar: (bar[1] != "none", bar[2].mean()))
