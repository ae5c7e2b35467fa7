"""The interactive figure as a piece of HTML that loads nothing from the network."""

import html
import json

import pandas as pd
import plotly.graph_objects as go

from catscans_lib import datasets
from catscans_lib.figures.style import COLOURS, ordered

SCRIPT = "scripts/plotly.min.js"  # where the book keeps Plotly; _static/interactive.js loads it and draws
CONFIG = {"displayModeBar": False, "responsive": True}
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "star", "cross")
Selectors = dict[str, tuple[str, dict[str, str]]]  # key of the traces' `meta`: label and choices (value to text)
CLOSER = {True: "larger is closer", False: "smaller is closer"}


def script() -> bytes:
    """Return Plotly's JavaScript, for `SCRIPT`."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()


def scatter(
    similarity: pd.DataFrame, aucs: pd.DataFrame, *, measures: dict[str, str], modes: dict[str, str], titles: dict[str, str]
) -> str:  # fmt: skip
    """Return a scatter plot of mean AUC against a measure, a point per source, with selectors of measure, target and mode.

    Values are means over draws of images, AUCs over folds and seeds. `measures`, `modes` and `titles` (of datasets) map keys to
    names; at first the figure shows the first of each, with all targets.
    """
    values = similarity.groupby(["measure", "target", "source"], sort=False)["value"].mean().reset_index()
    means = aucs.groupby(["mode", "target", "source"], sort=False)["auc"].mean().reset_index()
    points = values.merge(means, on=["target", "source"])
    closer = similarity.drop_duplicates("measure").set_index("measure")["larger_is_closer"]
    targets = ordered(points["target"])
    points = points[points["measure"].isin(measures) & points["mode"].isin(modes)]
    groups = points.groupby(["measure", "mode", "target"], sort=False)
    figure = go.Figure([_points(here, key, targets, measures, closer, titles) for key, here in groups])
    _layout(figure, height=480, xaxis_title="Measure", yaxis_title="AUC, mean of folds")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    chosen = {"measure": ("Measure", measures), "mode": ("Use of the source", modes)}
    chosen["target"] = ("Target", {"": "all"} | {name: datasets.get(name).title for name in targets})
    return _html(
        figure, "transfer-scatter", "Scatter plot of AUC against a measure of similarity, a point per source", chosen
    )


def _points(
    here: pd.DataFrame, key: tuple[str, str, str], targets: list[str], measures: dict[str, str], closer: pd.Series,
    titles: dict[str, str],
) -> go.Scatter:  # fmt: skip
    measure, mode, target = key
    number = targets.index(target)
    return go.Scatter(
        x=here["value"].tolist(), y=here["auc"].round(5).tolist(), text=here["source"].map(titles).tolist(), mode="markers",
        name=titles[target], marker={"color": COLOURS[number], "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 10},
        meta={"measure": measure, "mode": mode, "target": target, "x": f"{measures[measure]} ({CLOSER[bool(closer[measure])]})"},
        hovertemplate="%{text} → %{fullData.name}<br>AUC %{y:.3f}<br>measure %{x:.4g}<extra></extra>",
    )  # fmt: skip


def _layout(figure: go.Figure, **own: object) -> None:
    """Set a transparent layout: the page, which may be dark, sets the colours; dragging scrolls the page, also on a phone."""
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        template="none", paper_bgcolor=clear, plot_bgcolor=clear, dragmode=False, margin={"l": 10, "r": 10, "t": 30, "b": 10},
        xaxis={"automargin": True, "zeroline": False},
        yaxis={"automargin": True, "zeroline": False, "title": {"standoff": 12}}, **own,
    )  # fmt: skip


def _html(figure: go.Figure, name: str, what: str, selectors: Selectors) -> str:
    """Return a figure with its selectors as HTML; the page's script draws it when it comes near.

    `what` describes the figure to readers who cannot see it. The first choice of each selector is selected.
    """
    chosen = "".join(_select(name, key, *selector) for key, selector in selectors.items() if len(selector[1]) > 1)
    drawn = json.dumps(json.loads(figure.to_json()) | {"config": CONFIG})
    drawn = drawn.replace("<", "\\u003c")  # so no text can end the script
    return (
        f'<div class="selectors">{chosen}</div>\n<div role="img" aria-label="{html.escape(what)}">'
        f'<div class="interactive-figure" id="{name}" style="height: {figure.layout.height}px"></div></div>\n'
        f'<script type="application/json" data-figure="{name}">{drawn}</script>'
    )


def _select(figure: str, key: str, label: str, choices: dict[str, str]) -> str:
    options = "".join(f'<option value="{html.escape(k)}">{html.escape(v)}</option>' for k, v in choices.items())
    opened = f'<select data-figure="{figure}" name="{key}" autocomplete="off">'
    return f"<label>{html.escape(label)} {opened}{options}</select></label> "
