"""AUCs of sources, their differences, and their drops on another collection."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from catscans_lib.figures.style import COLOURS, Titles, apart, ordered, panels

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
    label = "AUC on held-out images"
    axes = panels(len(targets), 5, 2.3, 1.1 + 0.3 * len(sources), label, sharey=True)
    for ax, target in zip(axes, targets, strict=True):
        shown, ends = here[here["target"] == target], intervals[intervals["target"] == target]
        ends = ends[ends["mode"] == mode].set_index("source").reindex(sources)[["low", "high"]].astype(float)
        means, places = shown.groupby("source")["auc"].mean().reindex(sources), np.arange(len(sources))
        colours = np.where(means == means.max(), COLOURS[1], COLOURS[0])
        ax.yaxis.grid(color="#EEEEEE", lw=0.8)
        ax.set_axisbelow(True)
        points = {"s": 12, "color": "#333333", "alpha": 0.35, "linewidths": 0}
        ax.scatter(shown["auc"], means.index.get_indexer(shown["source"]), zorder=2, **points)
        ax.hlines(places, ends["low"].where(means.notna()), ends["high"], colors=colours, lw=1.8, zorder=3)
        ax.scatter(means, places, s=42, color=colours, edgecolor="black", linewidths=0.8, marker="D", zorder=4)
        none = aucs[(aucs["target"] == target) & (aucs["source"] == "none")]
        # Random weights are solid with the same budget; beside fine-tuning, dashed with the longer one, dotted without training.
        longer = {"fine_tune_long": "--", "linear_probe": ":"} if mode == "fine_tune" else {}
        for of, dash in ({mode: "-"} | longer).items():
            if len(values := none.loc[none["mode"] == of, "auc"]):
                ax.axvline(values.mean(), color="#666666", lw=1.2, ls=dash, zorder=1)
        ax.set_title(titles[target])
    axes[0].set_yticks(range(len(sources)), [titles[source] for source in sources])
    return axes


def difference_panels(best: pd.DataFrame, margin: float, *, titles: Titles) -> np.ndarray:
    """Plot the best source of every target minus each other one: a panel per target, intervals, the margin as a grey band.

    Takes `inference.best_minus_others`. Filled points are known differences, squares equivalent sources, rings are open.
    """
    targets = ordered(best["target"])
    n_rows, label = best.groupby("target").size().max(), "Difference in AUC, 95 % interval of the primary test"
    axes = panels(len(targets), 3, 3.2, 1.1 + 0.28 * n_rows, label, sharex=True)
    for ax, target in zip(axes, targets, strict=True):
        here = best[best["target"] == target].sort_values("difference", ascending=False)
        ax.axvspan(-margin, margin, color="#DDDDDD", zorder=0)
        ax.axvline(0, color="#888888", lw=0.8, zorder=1)
        places, is_open = np.arange(len(here)), (here["verdict"] == "open").to_numpy()
        colours = np.where(here["other"].str.startswith("none"), "#666666", COLOURS[0])
        ax.hlines(places, here["low"], here["high"], colors=colours, lw=1.6, zorder=2)
        for marker, shown in (("s", here["verdict"] == "equivalent"), ("o", here["verdict"] != "equivalent")):
            style = {
                "marker": marker,
                "facecolor": np.where(is_open, "white", colours)[shown],
                "edgecolor": colours[shown],
            }
            ax.scatter(here["difference"][shown], places[shown], s=34, zorder=3, **style)
        ax.set_yticks(range(len(here)), [titles.get(name, NOT_SOURCES.get(name, name)) for name in here["other"]])
        ax.set_title(f"{titles[target]}:\n{titles[here['best'].iloc[0]]} minus ...")
    return axes


def slopes(drops: pd.DataFrame, mode: str, *, titles: Titles) -> np.ndarray:
    """Plot the AUC of every source inside and outside, a panel per pair of collections.

    Takes `drops.drops` with column test. The vertical line is the 95 % interval outside; the best source outside is orange,
    random weights are grey.
    """
    pairs = list(drops.loc[drops["mode"] == mode].groupby(["target", "test"], sort=False))
    axes = panels(len(pairs), len(pairs), 3.2, 2.3 + 0.2 * max(len(here) for _, here in pairs))
    for ax, ((train, test), here) in zip(axes, pairs, strict=True):
        here = here.sort_values("auc_outside", ignore_index=True)
        shown = here[["auc_inside", "auc_outside", "outside_low", "outside_high"]].stack()
        low, high = shown.min(), shown.max()
        gap = (high - low) / (4 + len(here))
        places = apart(here["auc_outside"], gap)
        for row, place in zip(here.itertuples(), places, strict=True):
            is_best = row.auc_outside == here.loc[here["source"] != "none", "auc_outside"].max()
            colour = "#888888" if row.source == "none" else COLOURS[1] if is_best else COLOURS[0]
            ax.plot([0, 1], [row.auc_inside, row.auc_outside], color=colour, marker="o", ms=4, lw=1.6)
            ax.plot([1, 1], [row.outside_low, row.outside_high], color=colour, lw=1, alpha=0.6)
            style = {"arrowprops": {"arrowstyle": "-", "color": "#BBBBBB", "lw": 0.6}, "color": colour, "va": "center"}
            ax.annotate(titles[row.source], (1, row.auc_outside), (1.08, place), annotation_clip=False, **style)
        if low < 0.5:
            ax.plot([-0.1, 1.1], [0.5, 0.5], color="#B00020", lw=0.8, ls=":")
        ax.set(xlim=(-0.15, 2.3), ylim=(min(low, places.min()) - gap / 2, max(high, places.max()) + gap / 2))
        ax.set_xticks([0, 1], ["inside", "outside"])
        ax.spines["bottom"].set_bounds(0, 1)
        ax.set_title(f"{titles[train]}\n→ {titles[test]}")
    axes[0].set_ylabel("AUC of the common classes (macro)")
    return axes
