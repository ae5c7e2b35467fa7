"""AUCs of sources and their differences."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catscans_lib.figures.style import COLOURS, Titles, ordered

Failed = Mapping[tuple[str, str, str], str]  # source, target, mode of networks that did not learn, and the words for it
NOT_SOURCES = {"none_long": "random weights, longer", "none_features": "random features"}


def auc_panels(
    aucs: pd.DataFrame, intervals: pd.DataFrame, mode: str, *, titles: Titles, failed: Failed | None = None
) -> np.ndarray:
    """Plot all sources on all targets: a panel per target, a row per source in a common order, random weights as lines.

    A diamond is the mean, its line the 95 % bootstrap interval, a faint point one fold and seed. The source with the highest
    mean over the targets is on top. Networks that did not learn (`failed`, `learning.failures`) are left out.
    """
    targets = ordered(aucs.loc[aucs["mode"] == mode, "target"])
    if failed:
        aucs = aucs[[key not in failed for key in zip(aucs["source"], aucs["target"], aucs["mode"], strict=True)]]
    here = aucs[(aucs["mode"] == mode) & (aucs["source"] != "none")]
    relative = here["auc"] - here.groupby("target")["auc"].transform("mean")
    sources = relative.groupby(here["source"]).mean().sort_values().index.tolist()
    label = f"AUC on held-out images, {mode.replace('_', '-')}"
    panels = _panels(len(targets), label, 5, 2.3, 1.1 + 0.3 * len(sources), sharey=True)
    for ax, target in zip(panels, targets, strict=True):
        _rows_of_sources(ax, here[here["target"] == target], intervals[intervals["target"] == target], mode, sources)
        none = aucs[(aucs["target"] == target) & (aucs["source"] == "none")]
        # Random weights are solid with the same budget; beside fine-tuning, dashed with the longer one, dotted without training.
        for of, dash in (
            (mode, "-"),
            *((("fine_tune_long", "--"), ("linear_probe", ":")) if mode == "fine_tune" else ()),
        ):
            if len(values := none.loc[none["mode"] == of, "auc"]):
                ax.axvline(values.mean(), color="#666666", lw=1.2, ls=dash, zorder=1)
        ax.set_title(titles[target])
    panels[0].set_yticks(range(len(sources)), [titles[source] for source in sources])
    return panels


def _panels(n: int, label: str, n_columns: int, width: float, height: float, **shared: bool) -> np.ndarray:
    """Return the axes of `n` panels of this size (inches), in rows of at most `n_columns`; `shared`: sharex or sharey.

    The middle panel of the last row has the label of the x axis.
    """
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    size = (1.9 + width * n_columns, 0.3 + height * n_rows)
    _, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, **shared)
    for ax in axes.flat[n:]:
        ax.remove()
    for ax in axes.flat[:n]:
        ax.tick_params(labelbottom=True)
    last = axes.flat[(n_rows - 1) * n_columns : n]
    last[len(last) // 2].set_xlabel(label)
    return axes.flat[:n]


def _rows_of_sources(ax: Axes, here: pd.DataFrame, intervals: pd.DataFrame, mode: str, sources: list[str]) -> None:
    ends = intervals[intervals["mode"] == mode].set_index("source")
    means = here.groupby("source")["auc"].mean()
    for place, source in enumerate(sources):
        ax.axhline(place, color="#EEEEEE", lw=0.8, zorder=0)
        if source not in means:
            continue
        values, is_best = here.loc[here["source"] == source, "auc"], means[source] == means.max()
        colour = COLOURS[1] if is_best else COLOURS[0]
        ax.scatter(values, [place] * len(values), s=12, color="#333333", alpha=0.35, linewidths=0, zorder=2)
        if source in ends.index:
            ax.plot(ends.loc[source, ["low", "high"]], [place, place], color=colour, lw=1.8, zorder=3)
        ax.scatter(means[source], place, s=42, color=colour, edgecolor="black", linewidths=0.8, marker="D", zorder=4)


def difference_panels(best: pd.DataFrame, margin: float, *, titles: Titles) -> np.ndarray:
    """Plot the best source of every target minus each other one: a panel per target, intervals, the margin as a grey band.

    Takes `inference.best_minus_others`. Filled points are known differences, squares equivalent sources, rings are open.
    """
    targets = ordered(best["target"])
    n_rows = best.groupby("target").size().max()
    label = "Difference in AUC, 95 % interval of the primary test"
    panels = _panels(len(targets), label, 3, 3.2, 1.1 + 0.28 * n_rows, sharex=True)
    for ax, target in zip(panels, targets, strict=True):
        here = best[best["target"] == target].sort_values("difference", ascending=False)
        ax.axvspan(-margin, margin, color="#DDDDDD", zorder=0)
        ax.axvline(0, color="#888888", lw=0.8, zorder=1)
        for place, row in enumerate(here.itertuples()):
            colour = "#666666" if row.other.startswith("none") else COLOURS[0]
            ax.plot([row.low, row.high], [place, place], color=colour, lw=1.6, zorder=2)
            style = {"marker": "s" if row.verdict == "equivalent" else "o", "edgecolor": colour, "zorder": 3}
            ax.scatter(row.difference, place, s=34, facecolor="white" if row.verdict == "open" else colour, **style)
        ax.set_yticks(range(len(here)), [titles.get(name, NOT_SOURCES.get(name, name)) for name in here["other"]])
        ax.set_title(f"{titles[target]}:\n{titles[here['best'].iloc[0]]} minus ...")
    return panels
