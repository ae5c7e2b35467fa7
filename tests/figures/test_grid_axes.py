"""Figures over the axes of a grid: lines with labels that do not overlap, a panel per target or component."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from catscans_lib import figures
from catscans_lib.figures import grid_axes

TITLES = {"chest": "Chest X-rays", "dtd": "Textures", "stl10": "STL-10"}


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context({"axes.titlelocation": "center"}):  # whatever style other tests have set
        yield
    plt.close("all")


def curves():
    rows = [
        (source, target, n, auc, auc - 0.1, auc + 0.05, None if source == "none" else gain, gain - 0.02, gain + 0.02)
        for target in ("chest", "malaria")
        for source, gain in (("none", 0.0), ("dtd", 0.1), ("stl10", 0.1001))
        for n, auc in ((10, 0.6 + gain), (100, 0.7 + gain))
    ]
    columns = ["source", "target", "n_train", "auc", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns).astype({"gain": float}).assign(mode="fine_tune")


@pytest.mark.parametrize("value", ["auc", "gain"])
def test_every_source_is_a_labelled_line_and_labels_are_apart(value):
    axes = figures.size_curves(curves(), value, titles=TITLES, margin=0.01)
    assert [ax.get_title() for ax in axes] == ["Chest X-rays", "malaria"]
    texts = {text.get_text(): text.get_position()[1] for text in axes[0].texts}
    assert set(texts) == {"Textures", "STL-10"} | ({"random weights"} if value == "auc" else set())
    assert np.diff(sorted(texts.values())).min() >= grid_axes.GAP - 1e-9
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["10", "100"]
    drawn = {line.get_label(): line for line in axes[0].lines}
    assert drawn and all(len(line.get_ydata()) == 2 for line in axes[0].lines)


def test_lines_of_networks_end_in_the_order_of_their_aucs():
    rows = [("chest", network, source, auc) for network, of in (("a", (0.9, 0.8)), ("b", (0.7, 0.8)))
            for source, auc in zip(("dtd", "stl10"), of, strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["target", "backbone", "source", "auc"])
    (ax,) = figures.backbone_lines(table, titles=TITLES, networks={"a": "Net A"})
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["STL-10"] > heights["Textures"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Net A", "b"]


def test_a_line_breaks_where_a_network_lacks_the_source():
    rows = [("chest", network, "dtd", auc) for network, auc in (("a", 0.9), ("b", 0.7), ("c", 0.8))]
    rows += [("chest", "a", "stl10", 0.6), ("chest", "c", "stl10", 0.5)]
    table = pd.DataFrame(rows, columns=["target", "backbone", "source", "auc"])
    (ax,) = figures.backbone_lines(table, titles=TITLES, networks={})
    assert [np.isfinite(np.asarray(line.get_ydata(), float)).tolist() for line in ax.lines] == [
        [True] * 3,
        [True, False, True],
    ]


def test_components_have_a_panel_each_and_a_component_of_zero_is_a_ring():
    rows = [
        ("chest", "source", 0.02, 0.01, 0.05),
        ("chest", "fold", 0.0, 0.0, 0.04),
        ("chest", "rest", None, None, None),
    ]
    table = pd.DataFrame(rows, columns=["target", "component", "sd", "low", "high"]).astype({"sd": float})
    axes = figures.component_panels(
        table, titles=TITLES, words={"source": "source", "rest": "rest", "fold": "the fold"}
    )
    assert [ax.get_title() for ax in axes] == ["source", "the fold"]
    assert [ax.lines[-1].get_markerfacecolor() == "white" for ax in axes] == [False, True]
