"""AUCs of sources on one target, how sure they are, and the curves behind them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catscans_lib.figures.style import COLOURS, DASHES, ordered

AVERAGED = {
    "binary": "AUC", "weighted": "weighted one-vs-rest AUC", "macro": "macro one-vs-rest AUC",
    "micro": "micro-averaged AUC", "ovo_macro": "one-vs-one AUC", "ovo_weighted": "weighted one-vs-one AUC",
}  # fmt: skip


def auc_bars(
    aucs: pd.DataFrame, target: str, mode: str, *, titles: dict[str, str], intervals: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """AUC of every source on one target: a bar for the mean, a faint point for every fold and seed, best on top.

    The baseline is shown in grey; where it was also given a longer budget, that is a bar of its own.

    Parameters
    ----------
    aucs : pandas.DataFrame
        As `evaluation.aucs` returns it.
    intervals : pandas.DataFrame, optional
        As `evaluation.auc_intervals` returns it: those over groups are drawn.
    """
    bars = _bars(aucs[aucs["target"] == target], mode, titles)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 1.1 + 0.34 * len(bars)))
    for place, (_, source, values, _) in enumerate(bars):
        colour = "#999999" if source == "none" else COLOURS[0]
        ax.barh(place, values.mean(), color=colour, alpha=0.55, height=0.62, zorder=1)
        spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        ax.scatter(values, place + np.asarray(spread), s=14, color="#333333", alpha=0.45, linewidths=0, zorder=2)
        ax.scatter(values.mean(), place, s=44, color=colour, edgecolor="black", marker="D", zorder=4)
    ends = [] if intervals is None else _ends(intervals[intervals["target"] == target], bars)
    for place, (low, high) in enumerate(ends):
        ax.plot([low, high], [place, place], color="black", lw=1.6, zorder=3, solid_capstyle="butt")
    ax.set_yticks(range(len(bars)), [f"{label} (n = {len(values)})" for label, _, values, _ in bars])
    averages = aucs.loc[aucs["target"] == target, "average"].unique()
    what = AVERAGED.get(averages[0], "AUC") if len(averages) == 1 else "AUC"
    note = "points: folds and seeds; diamond: mean"
    note += "\nline: 95 % bootstrap over groups" if len(ends) else ""
    ax.set_xlabel(f"{what} on held-out fold\n{note}")
    lowest = min([values.min() for _, _, values, _ in bars] + [low for low, _ in ends if np.isfinite(low)])
    ax.set_xlim(min(0.5, np.floor(lowest * 10) / 10), 1.0)
    ax.axvline(0.5, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set_title(f"{titles[target]}, {mode.replace('_', '-')}")
    return ax


def auc_panels(aucs: pd.DataFrame, intervals: pd.DataFrame, mode: str, *, titles: dict[str, str]) -> np.ndarray:
    """All sources on all targets: a panel per target, one row per source in the same order, random weights as lines.

    A diamond is the mean, its line the 95 % interval over groups, a faint point a fold and seed. Sources that are good over
    all targets stand on top.

    Parameters
    ----------
    aucs, intervals : pandas.DataFrame
        As `evaluation.aucs` and `evaluation.auc_intervals` return them.
    """
    here = aucs[(aucs["mode"] == mode) & (aucs["source"] != "none")]
    relative = here["auc"] - here.groupby("target")["auc"].transform("mean")
    sources = relative.groupby(here["source"]).mean().sort_values().index.tolist()
    targets = ordered(here["target"])
    size = (1.9 + 2.3 * len(targets), 1.3 + 0.3 * len(sources))
    _, panels = plt.subplots(1, len(targets), figsize=size, sharey=True, squeeze=False)
    for ax, target in zip(panels[0], targets, strict=True):
        _rows_of_sources(ax, here[here["target"] == target], intervals[intervals["target"] == target], mode, sources)
        _baselines(ax, aucs[(aucs["target"] == target) & (aucs["source"] == "none")], mode)
        ax.set_title(titles[target])
    panels[0, 0].set_yticks(range(len(sources)), [titles[source] for source in sources])
    panels[0, len(targets) // 2].set_xlabel(f"AUC on held-out images, {mode.replace('_', '-')}")
    return panels[0]


def _rows_of_sources(ax: Axes, here: pd.DataFrame, intervals: pd.DataFrame, mode: str, sources: list[str]) -> None:
    ends = intervals[intervals["method"].str.startswith("bootstrap") & (intervals["mode"] == mode)].set_index("source")
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


def _baselines(ax: Axes, none: pd.DataFrame, mode: str) -> None:
    """Vertical lines: random weights with the same budget, dashed with the longer one of fine-tuning."""
    for of, dash in ((mode, "-"), ("fine_tune_long", "--")):
        values = none.loc[none["mode"] == of, "auc"]
        if len(values) and (of == mode or mode == "fine_tune"):
            ax.axvline(values.mean(), color="#666666", lw=1.2, ls=dash, zorder=1)


def critical_difference(ranks: pd.DataFrame, mode: str, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Mean ranks of sources over targets (1: best); sources under one bar do not differ by Nemenyi's test at 5 %.

    Parameters
    ----------
    ranks : pandas.DataFrame
        As `evaluation.ranks` returns it.

    References
    ----------
    Demšar (2006), Journal of Machine Learning Research 7.
    """
    here = ranks[ranks["mode"] == mode].sort_values("mean_rank", kind="stable")
    names, at, width = here["source"].tolist(), here["mean_rank"].to_numpy(), here["critical_difference"].iloc[0]
    cliques = _cliques(at, width)
    half = -(-len(names) // 2)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 1.2 + 0.26 * half + 0.16 * len(cliques)))
    depth = 0.45 * len(cliques) + 0.7
    for number, (name, rank) in enumerate(zip(names, at, strict=True)):
        is_left = number < half
        y = depth + (number if is_left else len(names) - 1 - number)
        x = 0.7 if is_left else len(names) + 0.3
        ax.plot([rank, rank, x], [0, y, y], color="#555555", lw=0.9)
        text = f"{titles[name]} {rank:.1f}" if is_left else f"{rank:.1f} {titles[name]}"
        ax.text(x, y, f" {text} ", ha="right" if is_left else "left", va="center")
    for number, (first, last) in enumerate(cliques):
        ax.plot([at[first] - 0.05, at[last] + 0.05], [0.45 * (number + 1)] * 2, color=COLOURS[1], lw=3.5)
    ax.plot([1, 1 + width], [-0.9, -0.9], color="black", lw=1.5, marker="|")
    ax.text(1, -1.15, f"critical difference {width:.2f} (5 %)", va="bottom")
    ax.set(xlim=(0.5, len(names) + 0.5), ylim=(depth + half, -1.9))
    ax.xaxis.set_ticks_position("top")
    ax.xaxis.set_label_position("top")
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.spines["top"].set(visible=True, position=("data", 0))
    ax.set_xticks(range(1, len(names) + 1))
    ax.tick_params(direction="out", pad=1)
    ax.set_yticks([])
    ax.set_title(f"Mean rank over {here['n_targets'].iloc[0]} targets, {mode.replace('_', '-')}", pad=12)
    return ax


def roc_curves(bands: pd.DataFrame, *, titles: dict[str, str]) -> np.ndarray:
    """ROC curves, a panel per class, a colour and line style per source; the band spans the folds and seeds.

    Parameters
    ----------
    bands : pandas.DataFrame
        As `evaluation.roc_bands` returns it, of one mode.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (n_classes,)
    """
    classes = list(bands["class"].unique())
    n_columns = min(4, len(classes))
    n_rows = -(-len(classes) // n_columns)
    size = (2.5 * n_columns + (1.6 if n_columns < 3 else 0), 2.6 * n_rows + 0.7)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, classes, strict=False):
        ax.plot([0, 1], [0, 1], color="#BBBBBB", lw=0.8)
        for number, (source, part) in enumerate(bands[bands["class"] == name].groupby("source", sort=False)):
            x, style = part["false_positive_rate"], {"color": COLOURS[number], "ls": DASHES[number % len(DASHES)]}
            ax.fill_between(x, part["low"], part["high"], color=COLOURS[number], alpha=0.18, linewidth=0)
            label = f"{titles[source]} (n = {part['n'].iloc[0]})"
            ax.plot(x, part["true_positive_rate"], lw=1.8, label=label, **style)
        ax.set_title(f"{name} against the rest" if len(classes) > 1 else f"Positive: {name}")
        ax.set_aspect("equal")
    for ax in axes.flat[len(classes) :]:
        ax.set_axis_off()
    figure.supxlabel("False positive rate, held-out folds", fontsize=10)
    figure.supylabel("True positive rate", fontsize=10)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=8)
    return axes.flat[: len(classes)]


def calibration_curves(table: pd.DataFrame, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Share of images of a class among those given a probability for it, all classes together; the diagonal is perfect.

    Parameters
    ----------
    table : pandas.DataFrame
        As `evaluation.calibration` returns it, of one target and mode.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(4.6, 4.2))
    ax.plot([0, 1], [0, 1], color="#BBBBBB", lw=0.8)
    shown = table[table["n"] > 0]
    for number, (source, part) in enumerate(shown.groupby("source", sort=False)):
        weighted = part.assign(mean_score=part["mean_score"] * part["n"], share=part["share"] * part["n"])
        bins = weighted.groupby("low")[["mean_score", "share", "n"]].sum()
        x, y = bins["mean_score"] / bins["n"], bins["share"] / bins["n"]
        style = {"color": COLOURS[number], "ls": DASHES[number % len(DASHES)]}
        ax.plot(x, y, lw=1.5, **style)
        ax.scatter(x, y, s=8 + 120 * bins["n"] / bins["n"].sum(), color=COLOURS[number], label=titles[source])
    ax.set(xlabel="Predicted probability, held-out folds", ylabel="Share of images of that class")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.legend(title="Area of a point: share of images", fontsize=8, title_fontsize=8)
    return ax


def _bars(aucs: pd.DataFrame, mode: str, titles: dict[str, str]) -> list[tuple[str, str, np.ndarray, str]]:
    """Label, source, AUCs and mode of every bar, from the bottom: the baselines, then sources by rising mean."""
    here = aucs[aucs["mode"] == mode]
    bars = [
        (titles[source], source, part["auc"].to_numpy(), mode) for source, part in here.groupby("source", sort=False)
    ]
    if mode == "fine_tune" and len(longer := aucs[aucs["mode"] == "fine_tune_long"]):
        bars.append((f"{titles['none']}, longer", "none", longer["auc"].to_numpy(), "fine_tune_long"))
    return sorted(bars, key=lambda bar: (bar[1] != "none", bar[2].mean()))


def _ends(intervals: pd.DataFrame, bars: list[tuple[str, str, np.ndarray, str]]) -> list[tuple[float, float]]:
    over_groups = intervals[intervals["method"].str.startswith("bootstrap")].set_index(["source", "mode"])
    return [tuple(over_groups.loc[(source, mode), ["low", "high"]]) for _, source, _, mode in bars]


def _cliques(at: np.ndarray, width: float) -> list[tuple[int, int]]:
    """First and last place of every longest run of sorted ranks that lie within `width`."""
    runs = [(first, int(np.searchsorted(at, rank + width, side="right")) - 1) for first, rank in enumerate(at)]
    return [run for number, run in enumerate(runs) if run[1] > run[0] and (number == 0 or run[1] > runs[number - 1][1])]
