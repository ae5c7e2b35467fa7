"""Arrays that are no answer to a question give a message, never a number that looks like one."""

import numpy as np
import pytest

from catscans_lib.statistics import delong, metrics, paired_tests

LABELS, SCORES = [0, 1, 0, 1], [0.1, 0.4, 0.2, 0.3]


def test_labels_of_0_and_1_count_as_false_and_true():
    for labels in (LABELS, np.array(LABELS, float), np.array(LABELS, bool)):
        assert delong.delong(labels, SCORES)[0] == [1.0]
        assert delong.paired(labels, SCORES, SCORES).difference == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: delong.delong([1, 2, 1, 2], SCORES), r"True or 1 and False or 0.*got labels \[1, 2\] of 4 images"),
        (lambda: delong.delong(["a", "b", "a", "b"], SCORES), "True or 1 and False or 0"),
        (lambda: delong.delong(LABELS, SCORES[:3]), r"of the same images; got .*scores \(1, 3\)"),
        (lambda: delong.delong(LABELS, SCORES, ["a"]), "groups of the same images"),
        (lambda: metrics.transfer_score([95], [0.9]), r"An AUC lies in \[0, 1\]"),
        (lambda: metrics.transfer_score([-0.1], [0.9]), r"An AUC lies in \[0, 1\]"),
        (lambda: metrics.auc([np.nan, 1.0], [[0.5, 0.5]] * 2, (0, 1)), "Unknown labels 1.0, nan; known classes: 0, 1"),
        (lambda: paired_tests.nadeau_bengio([0.1], 0.5), r"at least two folds; got shape \(1,\)"),
        (lambda: paired_tests.nadeau_bengio(0.1, 0.5), r"at least two folds; got shape \(\)"),
        (lambda: paired_tests.holm([0.1, 2]), r"p values in \[0, 1\].*got \[0.1, 2.0\]"),
        (lambda: paired_tests.holm(0.1), "p values in"),
        (lambda: paired_tests.skillings_mack([[0.1, 0.2], [0.2, np.nan]]), r"two results in each block \(row\)"),
        (lambda: paired_tests.skillings_mack([0.1, 0.2]), "two results in each block"),
        (lambda: paired_tests.skillings_mack(np.zeros((0, 3))), "two results in each block"),
    ],
)  # fmt: skip
def test_a_wrong_array_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
