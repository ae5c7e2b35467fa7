"""Figures one may point at and tables one may sort and search, as pieces of HTML that load nothing from outside."""

import html

import pandas as pd
import plotly.graph_objects as go

from catscans_lib.figures.style import ordered

SCRIPT = "_static/plotly.min.js"  # where the book has Plotly
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"], "responsive": True}


def script() -> bytes:
    """Return Plotly's own script, to be put at `SCRIPT`."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()


def auc_heatmap(intervals: pd.DataFrame, *, titles: dict[str, str], modes: dict[str, str]) -> str:
    """Mean AUC of every source and target, a button per mode; pointing at a cell shows its interval and n.

    Parameters
    ----------
    intervals : pandas.DataFrame
        As `evaluation.auc_intervals` returns it; those over groups are shown.
    modes : dict of str
        Printed title of every mode shown.
    """
    shown = intervals[intervals["method"].str.startswith("bootstrap")]
    figure = go.Figure([_heatmap(shown[shown["mode"] == mode], titles) for mode in modes])
    for number, trace in enumerate(figure.data):
        trace.visible = number == 0
    buttons = [
        {"label": title, "method": "restyle", "args": ["visible", [other == number for other in range(len(modes))]]}
        for number, title in enumerate(modes.values())
    ]
    menu = {"buttons": buttons, "type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "y": 1.14}
    n_rows = shown["source"].nunique()
    figure.update_layout(
        template="simple_white", height=150 + 34 * n_rows, margin={"l": 10, "r": 10, "t": 60, "b": 10},
        updatemenus=[menu] if len(modes) > 1 else [], xaxis_title="Target", yaxis_title="Source",
        yaxis={"autorange": "reversed", "automargin": True}, plot_bgcolor="#EEEEEE",
    )  # fmt: skip
    return _html(figure, "auc-heatmap", "Heat map of the AUC of every source and target")


def _heatmap(cells: pd.DataFrame, titles: dict[str, str]) -> go.Heatmap:
    sources, targets = ordered(cells["source"]), ordered(cells["target"])
    by_cell = cells.set_index(["source", "target"])

    def grid(of: pd.Series) -> list[list]:
        return of.unstack().reindex(index=sources, columns=targets).to_numpy(dtype=object, na_value=None).tolist()

    lines = by_cell.apply(
        lambda cell: (
            f"AUC {cell['auc']:.3f}<br>95 % {cell['low']:.3f} to {cell['high']:.3f} ({cell['method']})<br>"
            f"spread of folds {cell['fold_sd']:.3f}<br>{cell['n_images']:,} images, {cell['n_groups']:,} groups, "
            f"{cell['n_folds']} folds, {cell['n_seeds']} seed{'s' * (cell['n_seeds'] > 1)}"
        ),
        axis=1,
    )
    return go.Heatmap(
        z=grid(by_cell["auc"]), x=[titles[name] for name in targets], y=[titles[name] for name in sources],
        customdata=grid(lines), texttemplate="%{z:.3f}", colorscale="Cividis", hoverongaps=False, xgap=2, ygap=2,
        hovertemplate="%{y} → %{x}<br>%{customdata}<extra></extra>", zmin=min(0.5, by_cell["auc"].min()), zmax=1,
        colorbar={"title": {"text": "AUC, mean of folds", "side": "right"}},
    )  # fmt: skip


def _html(figure: go.Figure, name: str, what: str) -> str:
    """Return a figure as HTML that takes Plotly from the book's own folder, with words for those who cannot see it."""
    piece = figure.to_html(full_html=False, include_plotlyjs=SCRIPT, config=CONFIG, div_id=name)
    return f'<div role="img" aria-label="{html.escape(what)}">{piece}</div>'


def table(shown: pd.DataFrame, name: str, caption: str) -> str:
    """Return a table one may sort by any column and search; numbers are sorted as numbers."""
    from itables.javascript import to_html_datatable

    return to_html_datatable(
        shown, caption, table_id=name, connected=False, display_logo_when_loading=False, showIndex=False,
        lengthMenu=[10, 25, 100], pageLength=25, scrollX=True, classes="display compact", maxBytes=0, style="width:100%",
    )  # fmt: skip


def table_script() -> str:
    """Return what a page needs once before its first table."""
    from itables import options
    from itables.javascript import generate_init_offline_itables_html

    return generate_init_offline_itables_html(options.dt_bundle)
