"""Every figure of the book in one style. Functions take tidy tables and return axes; none of them trains or saves.

Colours are those of Okabe and Ito (2008), told apart also by readers who are colour-blind; cividis shows AUCs, a map
centred on 0 shows scores.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure

from catscans_lib import datasets

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933", "#882255", "#888888")
MARKERS = {"isic2018": "o", "chest": "s", "pcam_middle": "^"}
DEMO_STAMP = "DEMO – made-up images, not a medical result"
AVERAGED = {"binary": "AUC", "weighted": "weighted one-vs-rest AUC", "macro": "macro one-vs-rest AUC"}


def set_style() -> None:
    """Set the look of every figure that is drawn afterwards."""
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.dpi": 160,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "legend.frameon": False,
            "svg.hashsalt": "catscans",  # the same figure gives the same file
            "svg.fonttype": "none",
        }
    )


def stamp(figure: Figure, profile: str) -> None:
    """Write on a figure of the demo world that it is one."""
    if profile.split("/")[0] == "demo" and not any(text.get_text() == DEMO_STAMP for text in figure.texts):
        figure.supxlabel(DEMO_STAMP, fontsize=8, color="#B00020", weight="bold", x=0.01, ha="left")


def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame, profile: str) -> None:
    """Save a figure as SVG and PNG with the table it shows beside it, all called `name`."""
    stamp(figure, profile)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    table.to_csv(folder / f"{name}.csv", index=False)


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


def learning_curves(
    history: pd.DataFrame, *, metric: str | None = None, by: str | None = None, titles: dict[str, str] | None = None
) -> np.ndarray:
    """Curves over the epochs: every fold and seed faint, their mean on top.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns mode, fold, seed, epoch, split, metric, value (and `by`).
    metric : str or None
        Show one metric, with a panel per split; None: a panel per metric, splits as colours.
    by : str or None
        Column that gives the colours; None: mode and split.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, shape (n_panels,)
    """
    shown = history if metric is None else history[history["metric"] == metric]
    panel = "split" if metric else "metric"
    panels = list(shown[panel].unique())
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.4), squeeze=False)
    colour_by = [by] if by else [key for key in ("mode", "split") if shown[key].nunique() > 1] or ["split"]
    for ax, name in zip(axes[0], panels, strict=True):
        _curves(ax, shown[shown[panel] == name], colour_by, titles or {})
        ax.set_title(f"{name} images" if metric else name.capitalize())
        ax.set_xlabel("Epoch")
        ax.set_ylabel((metric or name).capitalize())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return axes[0]


def stability_points(numbers: pd.DataFrame, *, titles: dict[str, str]) -> np.ndarray:
    """Both stability numbers of every source, a point per fold and seed, marked by target; lower is calmer.

    Parameters
    ----------
    numbers : pandas.DataFrame
        As `stability.numbers` returns it; the modes with the common budget are shown.
    """
    shown = numbers[numbers["mode"] == "fine_tune"]
    sources = _ordered(shown["source"])[::-1]
    targets = _ordered(shown["target"])
    what = {"late_sd": "Spread of the loss, last third of the epochs", "largest_rise": "Largest rise of the loss"}
    figure, axes = plt.subplots(1, 2, figsize=(9, 1.4 + 0.34 * len(sources)), sharey=True)
    for ax, (column, label) in zip(axes, what.items(), strict=True):
        for number, target in enumerate(targets):
            rows = shown[shown["target"] == target]
            place = rows["source"].map(sources.index) + 0.22 * (number - (len(targets) - 1) / 2)
            style = {"color": COLOURS[number], "marker": MARKERS.get(target, "o")}
            ax.scatter(rows[column], place, s=14, alpha=0.35, linewidths=0, **style)
            mean = rows.groupby("source")[column].mean()
            at = np.array([sources.index(source) for source in mean.index]) + 0.22 * (number - (len(targets) - 1) / 2)
            ax.scatter(mean, at, s=42, edgecolor="black", label=titles[target], **style)
        ax.set_xlabel(label)
        ax.grid(axis="y", color="#EEEEEE")
    axes[0].set_yticks(range(len(sources)), [titles[source] for source in sources])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(targets), fontsize=8)
    return axes


def image_grid(images: np.ndarray, labels: list[str], *, n_columns: int) -> Figure:
    """Images side by side, each with its label above; uint8, shape (n_images, height, width, 3)."""
    n, height, width, _ = images.shape
    n_rows = -(-n // n_columns)
    # One picture, not an axes per image: with a hundred of them that is twenty times as fast.
    step_y, step_x = round(1.3 * height), round(1.1 * width)
    sheet = np.full((n_rows * step_y, n_columns * step_x, 3), 255, np.uint8)
    side = 1.25 if n_columns > 1 else 2.2
    figure, ax = plt.subplots(figsize=(side * n_columns, side * n_rows * step_y / step_x))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = number // n_columns * step_y + step_y - height, number % n_columns * step_x
        sheet[top : top + height, left : left + width] = image
        ax.text(left + width / 2, top - 0.04 * height, label, fontsize=7, ha="center", va="bottom")
    ax.imshow(sheet, interpolation="nearest")
    ax.set_axis_off()
    return figure


def feature_map_grid(image: np.ndarray, maps: dict[str, np.ndarray], *, titles: dict[str, str]) -> Figure:
    """One row per source: the image, then its feature maps, each scaled by itself.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (height, width, 3)
    maps : dict of numpy.ndarray, shape (height, width, n_maps)
    """
    n_maps = max(here.shape[2] for here in maps.values())
    figure, axes = plt.subplots(len(maps), n_maps + 1, figsize=(1.05 * (n_maps + 2), 1.1 * len(maps)), squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for row, (source, here) in zip(axes, maps.items(), strict=True):
        row[0].imshow(image, interpolation="nearest")
        row[0].set_ylabel(titles[source], rotation=0, ha="right", va="center", fontsize=9)
        for ax, number in zip(row[1:], range(here.shape[2]), strict=False):
            ax.imshow(here[:, :, number], cmap="cividis", interpolation="nearest")
    return figure


def _ordered(names: pd.Series) -> list[str]:
    """Sources or targets in the order of the study's tables, the baseline last."""
    here = list(dict.fromkeys(names))
    known = [*datasets.known(), *here]
    return sorted(here, key=lambda name: (name == "none", known.index(name)))


def _grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    wide = table.pivot(index="source", columns="target", values=column)
    return wide.reindex(_ordered(table["source"]), columns=_ordered(table["target"]))


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


def _bars(aucs: pd.DataFrame, mode: str, titles: dict[str, str]) -> list[tuple[str, str, np.ndarray]]:
    """Label, source and AUCs of every bar, from the bottom: the baselines, then sources by rising mean."""
    here = aucs[aucs["mode"] == mode]
    bars = [(titles[source], source, part["auc"].to_numpy()) for source, part in here.groupby("source", sort=False)]
    if mode == "fine_tune" and len(longer := aucs[aucs["mode"] == "fine_tune_long"]):
        bars.append((f"{titles['none']}, longer", "none", longer["auc"].to_numpy()))
    return sorted(bars, key=lambda bar: (bar[1] != "none", bar[2].mean()))


def _curves(ax: Axes, rows: pd.DataFrame, colour_by: list[str], titles: dict[str, str]) -> None:
    one = [key for key in ("source", "mode", "fold", "seed", "split") if key in rows and key not in colour_by]
    order = {(name,): place for place, name in enumerate([*datasets.known(), "none"])}
    for number, (key, part) in enumerate(rows.groupby(colour_by, sort=False)):
        number = order.get(key, number)  # a source has one colour in every figure
        colour, dashes = COLOURS[number % len(COLOURS)], "-" if number < len(COLOURS) else "--"
        for _, curve in part.groupby(one, sort=False):
            ax.plot(curve["epoch"], curve["value"], color=colour, alpha=0.18, lw=0.8)
        mean = part.groupby("epoch")["value"].mean()
        label = ", ".join(titles.get(str(name), str(name).replace("_", "-")) for name in key)
        style = {"marker": "o"} if len(mean) == 1 else {}
        ax.plot(mean.index, mean, color=colour, ls=dashes, lw=2, label=label, **style)
