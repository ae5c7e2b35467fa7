import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets, figures

TITLES = datasets.titles()


@pytest.fixture(autouse=True)
def closed():
    figures.set_style()
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def aucs():
    rows = [
        (source, "isic2018", mode, fold, 0, "weighted", auc + fold / 100)
        for source, mode, auc in (
            ("dtd", "fine_tune", 0.8),
            ("none", "fine_tune", 0.7),
            ("none", "fine_tune_long", 0.75),
            ("imagenet", "fine_tune", 0.9),
        )
        for fold in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=["source", "target", "mode", "fold", "seed", "average", "auc"])


def test_the_heat_map_prints_means_leaves_a_run_that_did_not_happen_empty_and_names_the_pair_with_itself():
    summary = pd.DataFrame(
        [("dtd", "isic2018", 0.85), ("dtd", "chest", 0.9), ("isic2018", "chest", 0.7), ("none", "isic2018", 0.6)],
        columns=["source", "target", "auc_mean"],
    ).assign(mode="fine_tune")
    ax = figures.auc_heatmap(summary, "fine_tune", titles=TITLES)
    assert texts(ax) == ["0.850", "0.900", "itself", "0.700", "0.600"]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [TITLES["dtd"], TITLES["isic2018"], "random weights"]


def test_scores_are_coloured_from_a_centre_at_zero():
    scores = pd.DataFrame(
        {
            "source": ["dtd", "dtd"],
            "target": "chest",
            "mode": "linear_probe",
            "fold": [1, 2],
            "transfer_score": [2.0, 4.0],
        }
    )
    ax = figures.score_heatmap(scores, "linear_probe", titles=TITLES)
    assert texts(ax) == ["+3.0"]
    assert ax.images[0].norm.vcenter == 0


def test_bars_show_every_fold_the_number_of_them_and_the_longer_baseline_of_its_own():
    ax = figures.auc_bars(aucs(), "isic2018", "fine_tune", titles=TITLES)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [
        "random weights (n = 3)",
        "random weights, longer (n = 3)",
        "Describable Textures (DTD) (n = 3)",
        "ImageNet (n = 3)",
    ]
    assert ax.get_xlabel().startswith("weighted one-vs-rest AUC on held-out fold\n")
    points = sum(len(collection.get_offsets()) for collection in ax.collections)
    assert points == 4 * (3 + 1)


def test_every_demo_figure_says_demo_and_no_other_does(tmp_path):
    for profile in ("demo", "demo/scratch", "sample"):
        ax = figures.auc_bars(aucs(), "isic2018", "fine_tune", titles=TITLES)
        figures.save(ax.figure, tmp_path / profile, "bars", aucs(), profile)
    for profile in ("demo", "demo/scratch"):
        assert "DEMO" in (tmp_path / profile / "bars.svg").read_text()
    assert "DEMO" not in (tmp_path / "sample" / "bars.svg").read_text()


def test_the_same_figure_gives_the_same_files_with_its_table_beside_it(tmp_path):
    for folder in ("one", "two"):
        ax = figures.auc_bars(aucs(), "isic2018", "fine_tune", titles=TITLES)
        figures.save(ax.figure, tmp_path / folder, "bars", aucs(), "demo")
        plt.close("all")
    for name in ("bars.svg", "bars.png", "bars.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one" / "bars.csv"), aucs())


def test_learning_curves_have_a_panel_per_metric_or_per_split():
    history = pd.DataFrame(
        [
            (source, "fine_tune", fold, 0, epoch, split, metric, 1 / epoch)
            for source in ("dtd", "none")
            for fold in (1, 2)
            for epoch in (1, 2, 3)
            for split in ("train", "validation")
            for metric in ("loss", "accuracy")
        ],
        columns=["source", "mode", "fold", "seed", "epoch", "split", "metric", "value"],
    )
    assert [ax.get_title(loc="left") for ax in figures.learning_curves(history)] == ["Loss", "Accuracy"]
    axes = figures.learning_curves(history, metric="accuracy", by="source", titles=TITLES)
    assert [ax.get_title(loc="left") for ax in axes] == ["train images", "validation images"]
    assert len(axes[0].lines) == 2 * (2 + 1)  # per source two folds and their mean
    (alone, *_) = figures.learning_curves(
        history[history["source"] == "none"], metric="accuracy", by="source", titles=TITLES
    )
    assert alone.lines[-1].get_color() == axes[0].lines[-1].get_color() != axes[0].lines[0].get_color()


def test_grids_show_every_image_and_every_map():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = figures.image_grid(np.stack([image] * 5), list("abcde"), n_columns=3)
    sheet = figure.axes[0].images[0].get_array()
    assert (sheet.sum(axis=2) == 0).sum() == 5 * 64
    assert [text.get_text() for text in figure.axes[0].texts] == list("abcde")
    maps = {"dtd": np.zeros((4, 4, 2)), "imagenet": np.zeros((4, 4, 2))}
    figure = figures.feature_map_grid(image, maps, titles=TITLES)
    assert sum(bool(ax.images) for ax in figure.axes) == 6


def test_stability_points_show_both_numbers_of_the_common_budget_only():
    numbers = pd.DataFrame(
        [
            (source, "chest", mode, 1, 0.1, 0.2)
            for source in ("dtd", "none")
            for mode in ("fine_tune", "fine_tune_long")
        ],
        columns=["source", "target", "mode", "fold", "late_sd", "largest_rise"],
    )
    axes = figures.stability_points(numbers, titles=TITLES)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["random weights", "Describable Textures (DTD)"]
    assert len(axes[0].collections[0].get_offsets()) == 2
