"""Published differences between natural and medical sources: means of studies, forest of targets, by number of images."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from catscans_lib.figures.style import COLOURS, Titles

ORDER = (  # a modality keeps its colour in all figures
    "X-ray", "histopathology", "skin", "retina", "ultrasound", "CT", "MRI", "mammography", "blood cells", "tissue cells"
)  # fmt: skip
MODALITIES = dict(zip(ORDER, COLOURS, strict=True))
REACH = 0.2  # differences and intervals beyond it are cut, and marked with an arrow
DIFFERENCE = "natural minus medical source"
Summaries = Mapping[str, Mapping[str, float]]  # the random-effects mean of some studies (`evidence.contrasts.pooled`)


def study_means(
    contrasts: pd.DataFrame, summaries: Summaries, *, blocks: Mapping[str, tuple[str, ...]], titles: Titles
) -> Axes:
    """Plot one row per study: the difference on each target as a dot, their random-effects mean as a diamond.

    `blocks` has the studies under each heading.
    """
    labels = [one for heading, studies in blocks.items() for one in (heading, *studies)]
    _, ax = plt.subplots(figsize=(10, 0.9 + 0.42 * len(labels)))
    for y, name in enumerate(labels):
        here, found = contrasts[contrasts["study"] == name], summaries.get(name, {})
        if here.empty:
            continue
        dots = {"ms": 5, "mew": 0, "color": COLOURS[0], "alpha": 0.4}
        ax.plot(here["difference"].clip(-REACH, REACH), [0.2 - y] * len(here), "o", **dots)
        text = f"{(here['difference'] > 0).sum()} of {len(here)}"
        if np.isfinite(found.get("mean", np.nan)):
            _mean(ax, -0.15 - y, found, height=0.17)
            text += f":  {found['mean']:+.3f}  ({found['low']:+.3f} to {found['high']:+.3f})".replace("-", "−")
        ax.text(REACH * 1.04, -y, text, va="center", fontsize=9)
    ax.text(REACH * 1.04, 0, "natural better on:  mean difference (95 %)", va="center", fontsize=9, weight="bold")
    _label_rows(ax, [(titles.get(name, name), name in blocks) for name in labels], 10)
    ax.spines.left.set_visible(False)
    ax.set(xlim=(-REACH, REACH), ylim=(0.6 - len(labels), 0.6))
    return ax


def _label_rows(ax: Axes, labels: list[tuple[str, bool]], size: float) -> None:
    """Label rows from top to bottom, in bold where that is True, and the axis of differences."""
    ax.axvline(0, color="#666666", lw=0.9, zorder=0)
    ax.set_yticks([-y for y in range(len(labels))], [label for label, _ in labels], fontsize=size)
    ax.tick_params(axis="y", length=0)
    for text, (_, is_bold) in zip(ax.get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if is_bold else "normal")
    ax.set_xlabel(f"Difference, {DIFFERENCE}\n← medical better | natural better →", fontsize=size + 1.5)


def source_forest(
    contrasts: pd.DataFrame, summaries: Summaries, *, columns: tuple[tuple[str, ...], ...], titles: Titles
) -> np.ndarray:
    """Plot the difference of every study and target with its interval, coloured by modality; returns the axes, (n_columns,).

    `contrasts` has one row per study and target; `summaries` are drawn as diamonds with prediction intervals; `columns` has the
    studies of each column. Open circles have no interval: the study did not repeat.
    """
    figure, axes = plt.subplots(1, len(columns), figsize=(10, 1), squeeze=False)
    n_rows = max(_column(ax, contrasts, of, summaries, titles) for ax, of in zip(axes[0], columns, strict=True))
    figure.set_figheight(1.3 + 0.165 * n_rows)
    plt.setp(axes[0], xlim=(-REACH, REACH), ylim=(0.4 - n_rows, 0.7))
    shown = [name for name in MODALITIES if name in set(contrasts["modality"])]
    handles = [Line2D([], [], color=MODALITIES[name], marker="o", label=name) for name in shown]
    handles.append(Line2D([], [], color="black", marker="D", lw=0.8, label="mean of a study; line: next target"))
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=8)
    return axes[0]


def _column(ax: Axes, contrasts: pd.DataFrame, studies: tuple[str, ...], summaries: Summaries, titles: Titles) -> int:
    """Draw studies from top to bottom, each as a heading, its targets, its mean and a gap; return the number of rows."""
    labels: list[tuple[str, bool]] = []
    for study in studies:
        here = contrasts[contrasts["study"] == study].sort_values("difference", ascending=False)
        metric = here["metric"].iloc[0].replace("macro_auc", "auc").replace("auc", "AUC")
        labels += [("", False)] * bool(labels)
        labels.append((f"{titles.get(study, study)} ({metric})", True))
        for row in here.to_dict("records"):
            _difference(ax, -len(labels), row)
            labels.append((titles.get(row["target"], row["target"].replace("_", " ")), False))
        if np.isfinite(summaries.get(study, {}).get("mean", np.nan)):
            _mean(ax, -len(labels), summaries[study])
            labels.append(("mean", False))
    _label_rows(ax, labels, 7.5)
    return len(labels)


def _difference(ax: Axes, y: float, row: dict) -> None:
    colour, has_interval = MODALITIES[row["modality"]], np.isfinite(row["se"])
    if has_interval:
        ax.plot(np.clip([row["low"], row["high"]], -REACH, REACH), [y, y], color=colour, lw=1.3, solid_capstyle="butt")
        for end, marker in ((row["low"], "<"), (row["high"], ">")):
            if abs(end) > REACH:
                ax.plot(np.sign(end) * REACH, y, color=colour, marker=marker, ms=4, clip_on=False)
    at = np.clip(row["difference"], -REACH, REACH)
    ax.plot(at, y, "o", ms=4.5, mec=colour, mew=1.1, mfc=colour if has_interval else "white", zorder=3, clip_on=False)


def _mean(ax: Axes, y: float, row: Mapping[str, float], height: float = 0.4) -> None:
    """Draw a random-effects mean as a diamond as wide as its interval, and a thin line where a further target lies."""
    ax.plot(np.clip([row["prediction_low"], row["prediction_high"]], -REACH, REACH), [y, y], color="black", lw=0.8)
    corners = [row["low"], row["mean"], row["high"], row["mean"]], [y, y + height, y, y - height]
    ax.fill(*corners, color="black", zorder=3)


def size_panels(contrasts: pd.DataFrame, noise: pd.DataFrame, *, titles: Titles) -> np.ndarray:
    """Plot differences and seed noise against the number of training images per class, a line per target; axes (2,).

    `contrasts` has a row per target and n_per_class, `noise` is as `evidence.contrasts.by_size` returns it, in ascending order.
    """
    _, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    sizes = sorted(set(noise["n_per_class"]), key=lambda size: (size == "all", len(size), size))
    places = {size: number for number, size in enumerate(sizes)}
    for number, target in enumerate(dict.fromkeys(noise["target"])):
        style = {"color": COLOURS[number], "label": titles.get(target, target), "lw": 1.3}
        here = contrasts[contrasts["target"] == target].sort_values("n_per_class", key=lambda names: names.map(places))
        x = here["n_per_class"].map(places) + 0.08 * (number - 1)
        axes[0].errorbar(x, here["difference"], here["high"] - here["difference"], marker="o", ms=4, **style)
        part = noise[noise["target"] == target]
        axes[1].plot(part["n_per_class"].map(places), part["sd"], marker="o", ms=4, **style)
    axes[0].axhline(0, color="#666666", lw=0.9, zorder=0)
    axes[0].set_ylabel(f"Difference in AUC,\n{DIFFERENCE}")
    axes[1].set(ylabel="Standard deviation of AUC over seeds\n(median of the sources)", yscale="log")
    for ax in axes:
        ax.set_xticks(list(places.values()), list(places))
        ax.set_xlabel("Training images per class")
    axes[1].legend(fontsize=8)
    return axes
