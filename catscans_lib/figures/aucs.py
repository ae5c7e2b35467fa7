"""AUCs and transfer scores of sources: bars, panels, heat maps, ROC and calibration curves."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize

from catscans_lib.figures.style import COLOURS, DASHES, Titles, heatmap, ordered

AVERAGED = {
    "binary": "AUC", "weighted": "weighted one-vs-rest AUC", "macro": "macro one-vs-rest AUC",
    "micro": "micro-averaged AUC", "ovo_macro": "one-vs-one AUC", "ovo_weighted": "weighted one-vs-one AUC",
}  # fmt: skip


Failed = Mapping[tuple[str, str, str], str]  # source, target, mode of networks that did not learn, and the words for it
NOT_SOURCES = {"none_long": "random weights, longer", "none_features": "random features"}
BASELINES = {"fine_tune_long": "random weights, longer", "linear_probe": "random features, logistic regression"}


def auc_bars(
    aucs: pd.DataFrame, target: str, mode: str, *, titles: Titles, intervals: pd.DataFrame, failed: Failed | None = None
) -> Axes:
    """Plot the AUC of every source on one target: a bar for the mean, a faint point per fold and seed, the best on top.

    Takes the tables of `inference`; of the intervals the bootstrap's are drawn. Grey bars are the baseline, also with its
    longer budget, and logistic regression on random features, if they were run. `failed` are `learning.failures`.
    """
    failed, here = failed or {}, aucs[aucs["target"] == target]
    bars, lows = _bars(here, mode, titles), []
    is_shown = (intervals["target"] == target) & intervals["method"].str.startswith("bootstrap")
    ends = intervals[is_shown].set_index(["source", "mode"])[["low", "high"]]
    _, ax = plt.subplots(figsize=(7, 1.1 + 0.34 * len(bars)))
    for place, (_, source, values, of) in enumerate(bars):
        colour = "#999999" if source == "none" else COLOURS[0]
        ax.barh(place, values.mean(), color=colour, alpha=0.55, height=0.62, zorder=1)
        spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
        ax.scatter(values, place + spread, s=14, color="#333333", alpha=0.45, linewidths=0, zorder=2)
        ax.scatter(values.mean(), place, s=44, color=colour, edgecolor="black", marker="D", zorder=4)
        ax.plot(ends.loc[(source, of)], [place, place], color="black", lw=1.6, zorder=3, solid_capstyle="butt")
        lows += [values.min(), ends.loc[(source, of), "low"]]
    notes = [
        ", ".join(filter(None, (f"n = {len(values)}", failed.get((source, target, of)))))
        for _, source, values, of in bars
    ]
    ax.set_yticks(range(len(bars)), [f"{bar[0]} ({note})" for bar, note in zip(bars, notes, strict=True)])
    what = AVERAGED.get(here["average"].iloc[0], "AUC")
    note = "points: folds and seeds; diamond: mean\nline: 95 % bootstrap over groups"
    ax.set_xlabel(f"{what} on held-out fold\n{note}")
    ax.set_xlim(min(0.5, np.floor(np.nanmin(lows) * 10) / 10), 1.0)
    ax.axvline(0.5, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set_title(f"{titles[target]}, {mode.replace('_', '-')}")
    return ax


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
    size = (1.9 + 2.3 * len(targets), 1.3 + 0.3 * len(sources))
    _, panels = plt.subplots(1, len(targets), figsize=size, sharey=True, squeeze=False)
    for ax, target in zip(panels[0], targets, strict=True):
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


def roc_curves(bands: pd.DataFrame, *, titles: Titles) -> np.ndarray:
    """Plot ROC curves, a panel per class, a colour and line style per source; bands span the folds and seeds.

    Takes the table of `roc_bands` for one mode; returns one Axes per class.
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


def calibration_curves(table: pd.DataFrame, *, titles: Titles) -> Axes:
    """Plot the observed frequency of a class against its predicted probability, all classes together.

    Takes the table of `calibration` for one target and mode. Perfect calibration lies on the diagonal.
    """
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
    ax.set(
        xlabel="Predicted probability, held-out folds", ylabel="Share of images of that class", xlim=(0, 1), ylim=(0, 1)
    )
    ax.legend(title="Area of a point: share of images", fontsize=8, title_fontsize=8)
    return ax


def auc_heatmap(summary: pd.DataFrame, mode: str, *, titles: Titles, failed: Failed | None = None) -> Axes:
    """Plot the mean AUC of every source (row) and target (column) in one mode, from the table of `tables.summary`.

    Cells of networks that did not learn (`failed`, `learning.failures`) are crossed out.
    """
    means = summary.loc[summary["mode"] == mode, ["source", "target", "auc_mean"]]
    norm = Normalize(min([0.5, *means["auc_mean"].dropna()]), 1.0)
    ax = _source_heatmap(means, "{:.3f}", "cividis", norm, "Mean AUC on held-out folds", titles)
    sources, targets = ordered(means["source"]), ordered(means["target"])
    for source, target, of in failed or {}:
        if of == mode:
            ax.plot(
                targets.index(target), sources.index(source), "x", color="#D55E00", markersize=24, markeredgewidth=1.5
            )
    ax.set_title(f"AUC, {mode.replace('_', '-')}")
    return ax


def gain_heatmap(gains: pd.DataFrame, mode: str, *, titles: Titles) -> Axes:
    """Plot the gain over random weights of every source and target in one mode, from the table of `inference.gains`."""
    here = gains.loc[gains["mode"] == mode, ["source", "target", "gain"]]
    ax = _source_heatmap(here, "{:+.3f}", "RdBu", CenteredNorm(0), "AUC minus that of random weights", titles)
    ax.set_title(f"Gain in AUC, {mode.replace('_', '-')}")
    return ax


def difference_panels(best: pd.DataFrame, margin: float, *, titles: Titles) -> np.ndarray:
    """Plot the best source of every target minus each other one: a panel per target, intervals, the margin as a grey band.

    Takes `inference.best_minus_others`. Filled points are known differences, squares equivalent sources, rings are open.
    """
    targets = ordered(best["target"])
    n_rows = best.groupby("target").size().max()
    size = (0.6 + 3.4 * len(targets), 1.4 + 0.28 * n_rows)
    _, panels = plt.subplots(1, len(targets), figsize=size, sharex=True, squeeze=False)
    for ax, target in zip(panels[0], targets, strict=True):
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
    panels[0, len(targets) // 2].set_xlabel("Difference in AUC, 95 % interval of the primary test")
    return panels[0]


def _source_heatmap(table: pd.DataFrame, form: str, cmap: str, norm: Normalize, label: str, titles: Titles) -> Axes:
    """Plot the third column of a table of source and target."""
    values = table.pivot(index="source", columns="target", values=table.columns[2])
    values = values.reindex(ordered(table["source"]), columns=ordered(table["target"]))
    size = (2.6 + 1.25 * values.shape[1], 1.3 + 0.36 * values.shape[0])
    ax = heatmap(values, cmap, norm, form, label=label, titles=titles, size=size)
    for row, column in np.argwhere(values.index.to_numpy()[:, None] == values.columns.to_numpy()):
        if np.isnan(values.iloc[row, column]):
            ax.text(column, row, "itself", ha="center", va="center", color="#777777", fontsize=8)
    ax.set(xlabel="Target", ylabel="Source")
    return ax


def _bars(aucs: pd.DataFrame, mode: str, titles: Titles) -> list[tuple[str, str, np.ndarray, str]]:
    """Return label, source, AUCs and mode of every bar, from the bottom: the baselines, then sources by mean."""
    groups = aucs[aucs["mode"] == mode].groupby("source", sort=False)["auc"]
    bars = [(titles[source], source, values.to_numpy(), mode) for source, values in groups]
    for of, title in BASELINES.items() if mode == "fine_tune" else ():
        if len(values := aucs.loc[(aucs["mode"] == of) & (aucs["source"] == "none"), "auc"]):
            bars.append((title, "none", values.to_numpy(), of))
    return sorted(bars, key=lambda bar: (bar[1] != "none", bar[2].mean()))
