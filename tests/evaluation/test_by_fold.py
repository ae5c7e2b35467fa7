import numpy as np
import pandas as pd
import pytest

from catscans_lib.evaluation.by_fold import folds, score_columns


def predictions():
    """Fold 2 of one target before fold 1, their rows mixed; another target has other classes."""
    return pd.DataFrame(
        {
            "target": ["chest", "chest", "isic2018", "chest", "isic2018"], "fold": [2, 1, 1, 2, 1],
            "label": ["yes", "no", "MEL", "no", "NV"], "score_no": [0.1, 0.8, np.nan, 0.7, np.nan],
            "score_yes": [0.9, 0.2, np.nan, 0.3, np.nan], "score_MEL": [np.nan, np.nan, 1, np.nan, 0],
            "score_NV": [np.nan, np.nan, 0, np.nan, 1],
        }
    )  # fmt: skip


def test_folds_come_in_the_order_they_begin_in_with_the_rows_in_that_of_the_table():
    found = list(folds(predictions(), ["target", "fold"]))
    assert [fold.keys for fold in found] == [("chest", 2), ("chest", 1), ("isic2018", 1)]
    assert [fold.labels.tolist() for fold in found] == [["yes", "no"], ["no"], ["MEL", "NV"]]
    assert found[0].scores.tolist() == [[0.1, 0.9], [0.7, 0.3]]


def test_a_fold_has_the_classes_of_its_own_target():
    assert [fold.classes for fold in folds(predictions(), ["target", "fold"])] == [("no", "yes")] * 2 + [("MEL", "NV")]
    assert score_columns(predictions().query("target == 'isic2018'")) == ["score_MEL", "score_NV"]


def test_a_fold_without_a_score_has_all_classes_and_no_number():
    *_, last = folds(predictions().assign(score_MEL=np.nan, score_NV=np.nan), ["target", "fold"])
    assert last.classes == ("no", "yes", "MEL", "NV")
    assert np.isnan(last.scores).all() and last.scores.shape == (2, 4)


@pytest.mark.parametrize("groups", [["p1", "p2", "p3", "p1", "p4"], None])
def test_groups_go_with_their_images_where_there_are_any(groups):
    table = predictions() if groups is None else predictions().assign(group=groups)
    first = next(folds(table, ["target", "fold"]))
    assert (first.groups if groups is None else first.groups.tolist()) == (None if groups is None else ["p1", "p1"])


def test_a_table_without_rows_has_no_folds_and_a_row_without_a_key_is_in_none():
    assert list(folds(predictions().iloc[:0], ["target", "fold"])) == []
    missing = predictions().assign(fold=[2, np.nan, 1, 2, 1])
    assert [len(fold.labels) for fold in folds(missing, ["target", "fold"])] == [2, 2]
