"""Measures of similarity: against the AUC, their associations, their ranks of sources; and advice."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from catscans_lib.figures.style import COLOURS, MARKERS, Titles, heatmap, ordered, panels


def measure_against_auc(results: pd.DataFrame, similarity: pd.DataFrame, measure: str, *, titles: Titles) -> np.ndarray:
    """Plot the AUC of the sources against a measure, a panel per target; closer sources are on the right.

    `results` are AUCs of one mode; faint points are folds and seeds, strong ones their mean.
    """
    here = similarity[similarity["measure"] == measure]
    values = here.groupby(["source", "target"])["value"].mean().rename("value")
    shown = results[results["source"] != "none"].join(values, on=["source", "target"], how="inner")
    targets = list(shown["target"].unique())
    is_distance = not here["larger_is_closer"].iloc[0]
    what = titles.get(measure, measure) + (" (a distance: axis reversed)" if is_distance else "")
    axes = panels(len(targets), 2, 3.8, 3.2, f"{what}, closer to the right")
    for number, (ax, target) in enumerate(zip(axes, targets, strict=True)):
        part = shown[shown["target"] == target]
        means = part.groupby("source", sort=False)[["value", "auc"]].mean()
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS.get(target, "o")}
        ax.scatter(part["value"], part["auc"], s=12, alpha=0.3, linewidths=0, **style)
        ax.scatter(means["value"], means["auc"], s=42, edgecolor="black", linewidths=0.6, zorder=3, **style)
        ax.locator_params(axis="x", nbins=5)
        if is_distance:
            ax.invert_xaxis()
        _label_points(ax, means["value"], means["auc"], [titles.get(name, name) for name in means.index])
        ax.set_title(f"{titles.get(target, target)} (n = {len(means)})", fontsize=10)
    plt.setp(axes[::2], ylabel="AUC on held-out fold")
    return axes


def association_forest(associations: pd.DataFrame, *, n_draws: int, titles: Titles) -> Axes:
    """Plot Spearman's correlation of every measure over all targets with its interval, the best on top; rules are orange.

    Takes the table of `transferability.associations` for one evidence and mode. Measures without a value are left out.
    """
    here = associations[(associations["statistic"] == "spearman") & (associations["target"] == "all")]
    here = here.dropna(subset="value").sort_values("value", kind="stable")
    of_rule, of_measure = {"color": COLOURS[1], "marker": "D"}, {"color": COLOURS[0], "marker": "o"}
    styles = [of_rule if kind == "baseline" else of_measure for kind in here["kind"]]
    ax = _interval_rows(here, "value", [titles.get(name, name) for name in here["measure"]], styles, 0.27)
    low, high = (here["n"].min(), here["n"].max()) if len(here) else (0, 0)
    count = f"n = {low} pairs" if low == high else f"n = {low} to {high} pairs"
    line = f"line: 95 % bootstrap over sources and folds, {n_draws:,} draws"
    ax.set_xlabel(f"Spearman's ρ ({count})\n{line}\ndiamond: simple rule")
    return ax


def advice_bars(advice: pd.DataFrame, *, targets: int) -> Axes:
    """Plot the expected AUC of every source on a new target, relative to their mean, with intervals; the best on top.

    Takes the table of `recommend.model.rank` with a column title; `targets` is the number of calibration targets.
    """
    here = advice.iloc[::-1]
    labels = [f"{row.title} (best: {row.p_best:.0%})" for row in here.itertuples()]
    ax = _interval_rows(here, "gain", labels, [{"color": COLOURS[0]}] * len(here), 0.3)
    line = f"line: 95 % interval, calibrated on n = {targets} targets"
    ax.set_xlabel(f"Expected AUC minus the mean of these {len(here)} sources\n{line}")
    return ax


def _interval_rows(
    rows: pd.DataFrame, value: str, labels: list[str], styles: list[dict[str, str]], height: float
) -> Axes:
    _, ax = plt.subplots(figsize=(7, 1.3 + height * len(rows)))
    ax.axvline(0, color="#999999", lw=0.9, zorder=0)
    for place, (row, style) in enumerate(zip(rows.itertuples(), styles, strict=True)):
        ax.plot([row.low, row.high], [place, place], color=style["color"], lw=1.6, solid_capstyle="butt")
        ax.scatter(getattr(row, value), place, s=40, edgecolor="black", linewidths=0.6, zorder=3, **style)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    return ax


def rank_map(ranks: pd.DataFrame, *, titles: Titles) -> Axes:
    """Plot the rank of every source (column) by every measure (row): 1 is the closest, hatched means no value.

    Takes columns measure, source and rank, measures in the order in which they are shown.
    """
    wide = ranks.pivot(index="measure", columns="source", values="rank")
    wide = wide.reindex(list(dict.fromkeys(ranks["measure"])), columns=ordered(ranks["source"]))
    size = (3.4 + 0.75 * wide.shape[1], 2.4 + 0.24 * wide.shape[0])
    norm = Normalize(1, max(2, wide.shape[1]))
    ax = heatmap(wide, "cividis_r", norm, "{:.3g}", label="Rank (1: closest)", titles=titles, size=size)
    ax.set(xlabel="Source", ylabel="Measure")
    return ax


def _label_points(ax: Axes, x: pd.Series, y: pd.Series, names: list[str]) -> None:
    """Write names beside points: towards the outside if there is room, else on the other side, lower or higher."""
    ax.margins(x=0.45)
    ax.autoscale_view()
    points = (ax.transData - ax.transAxes).transform(np.column_stack([x, y]))  # in axes coordinates
    taken = [(at - 0.02, at + 0.02, height) for at, height in points]
    for (at, height), name in zip(points, names, strict=True):
        outwards = 1 if at > 0.5 else -1
        for lift, side in [*product((0, -0.05, 0.05, -0.1, 0.1), (outwards, -outwards)), (0, outwards)]:
            left, right = sorted((at + 0.025 * side, at + (0.023 * len(name) + 0.02) * side))
            level = height + lift
            near = [(start, end) for start, end, other in taken if abs(level - other) < 0.045]
            if -0.05 < left < right < 1.2 and not any(left < end and start < right for start, end in near):
                break
        taken.append((left, right, level))
        style = {"fontsize": 8, "va": "center", "ha": "left" if side > 0 else "right"}
        ax.annotate(name, (at + 0.03 * side, level), xycoords="axes fraction", **style)
