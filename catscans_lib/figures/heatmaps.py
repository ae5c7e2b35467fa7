"""Heat maps of sources and targets."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize

from catscans_lib.figures.style import ordered


def auc_heatmap(summary: pd.DataFrame, mode: str, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Mean AUC of every source (row) and target (column) in one mode; hatched: not run.

    Parameters
    ----------
    summary : pandas.DataFrame
        As `evaluation.summary` returns it.
    """
    means = _grid(summary[summary["mode"] == mode], "auc_mean")
    low = min(0.5, np.nanmin(means.to_numpy())) if means.size else 0.5
    ax = _heatmap(means, titles, "{:.3f}", "cividis", Normalize(low, 1.0), "AUC on held-out folds, mean", ax)
    ax.set_title(f"AUC, {mode.replace('_', '-')}")
    return ax


def score_heatmap(scores: pd.DataFrame, mode: str, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Mean transfer score (per cent) of every source and target in one mode, colours centred on 0; hatched: not run.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `evaluation.transfer_scores` returns it.
    """
    here = scores[scores["mode"] == mode].groupby(["source", "target"], sort=False)["transfer_score"].mean()
    means = _grid(here.reset_index(), "transfer_score")
    ax = _heatmap(means, titles, "{:+.1f}", "RdBu", CenteredNorm(0), "Transfer score (%), mean", ax)
    ax.set_title(f"Transfer score, {mode.replace('_', '-')}")
    return ax


def factors_heatmap(factors: pd.DataFrame, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Share of a target's class factors that a source's labels exercise: the truth of the demo world."""
    shares = _grid(factors, "share")
    ax = _heatmap(shares, titles, "{:.2f}", "cividis", Normalize(0, 1), "Share of the target's class factors", ax)
    ax.set_title("Shared factors, declared before training")
    return ax


def rank_map(ranks: pd.DataFrame, *, titles: dict[str, str], ax: Axes | None = None) -> Axes:
    """Rank of every source (column) by every measure (row), 1 being the closest; hatched: the measure cannot see it.

    Parameters
    ----------
    ranks : pandas.DataFrame
        Columns measure, source, rank; measures are shown in their order.
    titles : dict of str
        Printed titles of sources and measures.
    """
    wide = ranks.pivot(index="measure", columns="source", values="rank")
    wide = wide.reindex(list(dict.fromkeys(ranks["measure"])), columns=ordered(ranks["source"]))
    if ax is None:
        _, ax = plt.subplots(figsize=(3.4 + 0.75 * wide.shape[1], 1.6 + 0.24 * wide.shape[0]))
    norm = Normalize(1, max(2, wide.shape[1]))
    ax = _heatmap(wide, titles, "{:.3g}", "cividis_r", norm, "Rank (1: closest)", ax)
    ax.set(xlabel="Source", ylabel="Measure")
    ax.tick_params(axis="x", rotation=60)
    return ax


def _grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    wide = table.pivot(index="source", columns="target", values=column)
    return wide.reindex(ordered(table["source"]), columns=ordered(table["target"]))


def _heatmap(
    values: pd.DataFrame, titles: dict[str, str], form: str, cmap: str, norm: Normalize, label: str, ax: Axes | None
) -> Axes:
    if ax is None:
        _, ax = plt.subplots(figsize=(2.6 + 1.25 * values.shape[1], 1.3 + 0.36 * values.shape[0]))
    ax.set_facecolor("#EEEEEE")
    ax.patch.set(hatch="////", edgecolor="#CCCCCC")
    picture = ax.imshow(np.ma.masked_invalid(values.to_numpy(float)), cmap=cmap, norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        own = values.index[row] == values.columns[column]
        if np.isfinite(value):
            dark = np.dot(picture.cmap(picture.norm(value))[:3], (0.299, 0.587, 0.114)) < 0.5
            ax.text(column, row, form.format(value), ha="center", va="center", color="white" if dark else "black")
        elif own:
            ax.text(column, row, "itself", ha="center", va="center", color="#777777", fontsize=8)
    ax.set_xticks(range(values.shape[1]), [titles[target] for target in values.columns])
    ax.set_yticks(range(values.shape[0]), [titles[source] for source in values.index])
    ax.set(xlabel="Target", ylabel="Source")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(picture, ax=ax, label=label)
    return ax
