from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets, figures

TITLES = datasets.titles()


@pytest.fixture(autouse=True)
def style():
    figures.set_style()


def texts(ax):
    return [text.get_text() for text in ax.texts]


def aucs():
    means = {
        ("dtd", "fine_tune"): 0.8, ("none", "fine_tune"): 0.7, ("none", "fine_tune_long"): 0.75, ("imagenet", "fine_tune"): 0.9
    }  # fmt: skip
    rows = [(source, mode, fold, auc + fold / 100) for (source, mode), auc in means.items() for fold in (1, 2, 3)]
    columns = ["source", "mode", "fold", "auc"]
    return pd.DataFrame(rows, columns=columns).assign(target="isic2018", seed=0, average="weighted")


def test_panels_have_a_common_order_the_best_source_in_orange_and_both_baselines_as_lines():
    table = aucs()
    other = table[table["source"] == "dtd"].assign(target="chest", auc=0.6)
    methods = {"method": "bootstrap over groups", "mode": "fine_tune", "low": 0.5, "high": 0.95}
    intervals = pd.DataFrame([{"source": s, "target": "isic2018"} | methods for s in ("dtd", "imagenet")])
    first, second = figures.auc_panels(pd.concat([table, other]), intervals, "fine_tune", titles=TITLES)
    assert [label.get_text() for label in first.get_yticklabels()] == [TITLES["dtd"], TITLES["imagenet"]]
    diamonds = first.collections[-1]
    means = dict(zip(map(tuple, diamonds.get_offsets().round(3).tolist()), diamonds.get_facecolor(), strict=True))
    assert set(means) == {(0.82, 0), (0.92, 1)}
    assert means[(0.92, 1)][0] > means[(0.92, 1)][2]  # orange
    baselines = [line.get_xdata()[0] for line in first.lines if line.get_color() == "#666666"]
    assert baselines == pytest.approx([0.72, 0.77])
    assert not [line for line in second.lines if line.get_color() == "#666666"]


def test_networks_that_did_not_learn_are_marked_and_no_source_is_compared_with_them():
    probe = aucs().query("source == 'none' and mode == 'fine_tune'").assign(mode="linear_probe")
    table, failed = pd.concat([aucs(), probe]), {("none", "isic2018", "fine_tune"): "did not learn"}
    intervals = pd.DataFrame(columns=["source", "target", "mode", "method", "low", "high"]).astype({"method": str})
    (panel,) = figures.auc_panels(table, intervals, "fine_tune", titles=TITLES, failed=failed)
    lines = [line.get_linestyle() for line in panel.lines if line.get_color() == "#666666"]
    assert lines == ["--", ":"]  # the longer baseline and random features; not the one that did not learn


def test_differences_show_interval_margin_and_verdict():
    rows = {
        "other": ["dtd", "none", "none_long"],
        "difference": [0.2, 0.1, 0.0],
        "verdict": ["better", "open", "equivalent"],
    }
    best = pd.DataFrame(rows).assign(target="chest", best="imagenet")
    best = best.assign(low=best["difference"] - 0.15, high=best["difference"] + 0.15)
    (ax,) = figures.difference_panels(best, 0.01, titles=TITLES)
    assert [label.get_text() for label in ax.get_yticklabels()][1:] == ["random weights", "random weights, longer"]
    lines, *points = (part for part in ax.collections if len(part.get_offsets()) or part.get_paths())
    assert [tuple(ends[:, 0]) for ends in lines.get_segments()] == [
        tuple(row) for row in best[["low", "high"]].to_numpy()
    ]
    faces = {
        tuple(at): face for part in points for at, face in zip(part.get_offsets(), part.get_facecolors(), strict=True)
    }
    filled = [tuple(faces[row.difference, place][:3]) != (1, 1, 1) for place, row in enumerate(best.itertuples())]
    assert filled == [True, False, True]  # a ring is open


def panel():
    ends = {"dtd": (0.70, 0.90), "imagenet": (0.85, 0.97), "none": (0.60, 0.80)}
    rows = [(source, "fine_tune", *at, "bootstrap over groups") for source, at in ends.items()]
    rows.append(("none", "fine_tune_long", 0.65, 0.85, "bootstrap over groups"))
    intervals = pd.DataFrame(rows, columns=["source", "mode", "low", "high", "method"]).assign(target="isic2018")
    return figures.auc_panels(aucs(), intervals, "fine_tune", titles=TITLES)[0]


def test_panels_show_every_fold_and_the_bootstrap_interval_of_their_own_mode():
    ax = panel()
    assert ax.get_xlabel() == "AUC on held-out images"
    folds, lines, means = ax.collections
    assert (len(folds.get_offsets()), len(means.get_offsets())) == (2 * 3, 2)
    assert [tuple(segment[:, 0]) for segment in lines.get_segments()] == [(0.70, 0.90), (0.85, 0.97)]


def test_figures_of_generated_images_say_demo_and_others_do_not(tmp_path):
    for is_demo in (True, False):
        figures.save(plt.figure(), tmp_path, "empty", pd.DataFrame(), is_demo=is_demo)
        assert ("DEMO" in (tmp_path / "empty.svg").read_text()) is is_demo


def test_the_same_figure_gives_identical_files_and_a_table(tmp_path):
    for folder in ("one", "two"):
        figures.save(panel().figure, tmp_path / folder, "panel", aucs(), is_demo=True)
        plt.close("all")
    for name in ("panel.svg", "panel.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one" / "panel.csv"), aucs())


def test_learning_curves_have_a_panel_per_metric_and_a_source_keeps_its_colour():
    history = pd.DataFrame(
        list(product(("dtd", "none"), (1, 2), (1, 2, 3), ("train", "validation"), ("loss", "accuracy"))),
        columns=["source", "fold", "epoch", "split", "metric"],
    ).assign(value=lambda table: 1 / table["epoch"])
    axes = figures.learning_curves(history, by="source", titles=TITLES)
    assert [ax.get_title(loc="left") for ax in axes] == ["Loss", "Accuracy"]
    assert len(axes[0].lines) == 2 * 2 * (2 + 1)  # per source and split two folds and their mean
    (alone, _) = figures.learning_curves(history[history["source"] == "none"], by="source", titles=TITLES)
    assert alone.lines[-1].get_color() == axes[0].lines[-1].get_color() != axes[0].lines[0].get_color()


def test_the_image_grid_shows_every_image():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = figures.image_grid(np.stack([image] * 5), list("abcde"), n_columns=3)
    sheet = figure.axes[0].images[0].get_array()
    assert (sheet.sum(axis=2) == 0).sum() == 5 * 48**2
    assert [text for text in texts(figure.axes[0]) if text] == list("abcde")


def test_the_axis_of_a_measure_is_named_also_in_the_demo(tmp_path):
    pairs = pd.DataFrame({"source": ["dtd", "imagenet"], "value": [0.1, 0.4]}).assign(
        target="isic2018", measure="logme", larger_is_closer=True
    )
    axes = figures.measure_against_auc(aucs(), pairs, "logme", titles=TITLES | {"logme": "LogME"})
    figures.save(axes[0].figure, tmp_path, "scatter", pairs, is_demo=True)
    drawn = (tmp_path / "scatter.svg").read_text()
    assert "LogME, closer to the right" in drawn and "DEMO" in drawn
