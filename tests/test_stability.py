import numpy as np
import pandas as pd
import pytest

from catscans_lib import stability


def history(values, split="validation", **keys):
    keys = {"source": "dtd", "target": "chest", "mode": "fine_tune", "fold": 1, "seed": 0, "metric": "loss"} | keys
    return pd.DataFrame({"epoch": range(1, len(values) + 1), "value": values, "split": split} | keys)


def test_the_two_numbers_agree_with_a_hand_calculation():
    (row,) = stability.numbers(history([1.0, 0.8, 0.9, 0.5, 0.4, 0.6])).to_dict("records")
    assert row["late_sd"] == pytest.approx(np.sqrt(0.02))  # 0.4 and 0.6
    assert row["largest_rise"] == pytest.approx(0.2)
    assert (row["n_epochs"], row["split"]) == (6, "validation")


def test_a_curve_that_only_falls_has_no_rise():
    assert stability.numbers(history([3.0, 2.0, 1.0]))["largest_rise"].tolist() == [0.0]


def test_validation_loss_is_measured_where_there_is_one_else_the_training_loss():
    both = pd.concat([history([1.0, 2.0], "train"), history([5.0, 4.0])])
    assert stability.numbers(both)["split"].tolist() == ["validation"]
    assert stability.numbers(history([1.0, 2.0], "train"))["split"].tolist() == ["train"]


def test_the_summary_is_the_mean_over_folds_with_its_n():
    numbers = stability.numbers(pd.concat([history([1.0, 1.0]), history([1.0, 1.4], fold=2)]))
    (row,) = stability.summary(numbers).to_dict("records")
    assert row["largest_rise"] == pytest.approx(0.2)
    assert row["n"] == 2
