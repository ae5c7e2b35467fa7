"""Arrays that are no answer to a question give a message, never a number that looks like one."""

import numpy as np
import pytest

from catscans_lib.statistics import metrics, paired_tests


@pytest.mark.parametrize(
    ("call", "message"),
    [
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
