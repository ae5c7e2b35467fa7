import numpy as np
import pandas as pd

from catscans_lib import figures

ROWS = pd.DataFrame(
    {
        "study": ["one", "one", "two"], "target": ["chest", "far", "open"], "modality": ["X-ray", "skin", "CT"],
        "metric": "auc", "difference": [0.01, 0.5, -0.02], "low": [0.0, 0.4, np.nan], "high": [0.02, 0.6, np.nan],
        "se": [0.005, 0.05, np.nan], "n_per_class": ["1", "all", "all"],
    }
)  # fmt: skip
MEAN = {"mean": 0.02, "low": 0.01, "high": 0.03, "prediction_low": -0.1, "prediction_high": 0.1, "kind": "study"}


def test_a_forest_has_a_row_per_target_a_diamond_per_mean_and_open_circles_without_interval():
    figures.set_style()
    (ax,) = figures.source_forest(ROWS, {"one": MEAN}, columns=(("one", "two"),), titles={"chest": "Chest X-rays"})
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["one (AUC)", "far", "Chest X-rays", "mean", "", "two (AUC)", "open"]
    assert len(ax.patches) == 1
    circles = [line for line in ax.lines if line.get_marker() == "o"]
    assert [circle.get_markerfacecolor() for circle in circles].count("white") == 1
    assert max(line.get_xdata()[0] for line in circles) == ax.get_xlim()[1]  # cut, and marked by an arrow
    assert [line.get_marker() for line in ax.lines].count(">") == 1


def test_means_have_a_row_per_study_a_dot_per_target_and_a_diamond_where_the_study_repeated():
    blocks = {"Fine-tuned": ("one", "absent"), "Frozen": ("two",)}
    ax = figures.study_means(ROWS, {"one": MEAN, "two": {}}, blocks=blocks, titles={"two": "Two"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Fine-tuned", "one", "absent", "Frozen", "Two"]
    dots = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[0.01, 0.2], [-0.02]]  # beyond the axis: at its end
    assert len(ax.patches) == 1
    texts = {text.get_text() for text in ax.texts}
    assert texts >= {"2 of 2:  +0.020  (+0.010 to +0.030)", "0 of 1"}


def test_panels_of_sizes_put_all_images_last():
    noise = pd.DataFrame({"target": "chest", "n_per_class": ["1", "10", "all"], "sd": [0.1, 0.05, 0.01]})
    left, right = figures.size_panels(ROWS.assign(target="chest"), noise, titles={})
    assert [text.get_text() for text in left.get_xticklabels()] == ["1", "10", "all"]
    assert right.get_yscale() == "log"
