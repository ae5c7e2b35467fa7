"""Interactive figures and sortable tables as pieces of HTML that load nothing from the network."""

import html
import json

import pandas as pd
import plotly.graph_objects as go

from catscans_lib import datasets
from catscans_lib.figures.style import COLOURS, ordered
from catscans_lib.transferability.similarity_tables import closer

SCRIPT = "scripts/plotly.min.js"  # where the book keeps Plotly; _static/interactive.js loads it and draws
CONFIG = {"displayModeBar": False, "responsive": True}
LAYOUT = {  # of DataTables; with the default layout, small tables have no search field
    "topStart": "pageLength", "topEnd": {"search": {"placeholder": "any column"}}, "bottomStart": "info", "bottomEnd": "paging",
}  # fmt: skip
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "star", "cross")
Selectors = dict[str, tuple[str, dict[str, str]]]  # key of the traces' `meta`: label and choices (value to text)
CLOSER = {True: "larger is closer", False: "smaller is closer"}


def script() -> bytes:
    """Return Plotly's JavaScript, for `SCRIPT`."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()


def similarity_heatmap(similarity: pd.DataFrame, *, measures: dict[str, str], titles: dict[str, str]) -> str:
    """Return a heat map of a measure for every source and target, with a selector of the measure.

    The colour is the source's rank for the target. Values are means over draws of images. `similarity` must not have rows
    of a dataset with itself; `measures` and `titles` name measures and datasets.
    """
    by_measure = {name: similarity[similarity["measure"] == name] for name in measures}
    figure = go.Figure([_ranks(rows, name, measures[name], titles) for name, rows in by_measure.items()])
    height = 130 + 34 * similarity["source"].nunique()
    _layout(figure, height=height, xaxis_title="Target (rows: sources)")
    figure.update_layout(plot_bgcolor="rgba(128,128,128,0.15)", yaxis_autorange="reversed")
    figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    text = "Heat map of a measure for every source and target; the table below has its numbers"
    return _html(figure, "similarity-heatmap", text, {"measure": ("Measure", measures)})


def _ranks(rows: pd.DataFrame, name: str, title: str, titles: dict[str, str]) -> go.Heatmap:
    """Return the ranks by one measure as a heat map, sources and targets in the order of the study's tables."""
    larger = bool(rows["larger_is_closer"].iloc[0])
    values = rows.groupby(["source", "target"], sort=False)["value"].mean()
    ranks = closer(rows)[name].groupby("target").rank(ascending=False).reorder_levels(values.index.names)[values.index]
    counts = values.groupby("target").transform("count")
    lines = "rank " + ranks.map("{:g}".format) + " of " + counts.map("{:.0f}".format) + f"<br>{CLOSER[larger]}"
    sources, targets = ordered(rows["source"]), ordered(rows["target"])

    def grid(of: pd.Series, nothing: str | None = None) -> list[list]:
        return of.unstack().reindex(index=sources, columns=targets).to_numpy(dtype=object, na_value=nothing).tolist()

    return go.Heatmap(
        z=grid(ranks), x=[titles[name] for name in targets], y=[titles[name] for name in sources], meta={"measure": name},
        customdata=grid(title + " " + values.map("{:.4g}".format) + "<br>" + lines), hoverongaps=False, xgap=2, ygap=2,
        hovertemplate="%{y} → %{x}<br>%{customdata}<extra></extra>", colorscale="Cividis_r", zmin=1,
        text=grid(values.map("{:.3g}".format), ""), texttemplate="%{text}",
        colorbar={"title": {"text": "rank (1: closest)", "side": "right"}, "thickness": 14},
    )  # fmt: skip


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


def table(shown: pd.DataFrame, name: str, caption: str, *, n_digits: int | None = None) -> str:
    """Return a sortable and searchable table; numbers have `n_digits` significant digits, or else the decimals they have."""
    from itables.javascript import to_html_datatable

    with pd.option_context("display.float_format", f"{{:.{n_digits}g}}".format if n_digits else None):
        return to_html_datatable(
            shown, caption, table_id=name, connected=False, display_logo_when_loading=False, showIndex=False, layout=LAYOUT,
            lengthMenu=[10, 25, 100], pageLength=10, scrollX=True, classes="display compact", maxBytes=0, style="width:100%",
        )  # fmt: skip
