import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, brier_score_loss
from sklearn.preprocessing import label_binarize

from catscans_lib.statistics.calibration import average_precision, metrics, reliability

TWO, THREE = ("no", "yes"), ("a", "b", "c")


def three_classes(n=200):
    rng = np.random.default_rng(3)
    return rng.choice(THREE, n, p=[0.6, 0.3, 0.1]), rng.dirichlet(np.ones(3), n)


def two_classes(n=200):
    rng = np.random.default_rng(4)
    yes = rng.random(n)
    return rng.choice(TWO, n), np.stack([1 - yes, yes], axis=1)


def test_metrics_of_three_classes_agree_with_scikit_learn():
    labels, scores = three_classes()
    found, decided = metrics(labels, scores, THREE), np.array(THREE)[scores.argmax(axis=1)]
    one_hot = label_binarize(labels, classes=THREE)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, decided))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, decided))
    assert found["average_precision"] == pytest.approx(average_precision_score(one_hot, scores, average="weighted"))
    assert found["brier"] == pytest.approx(brier_score_loss(labels, scores, labels=list(THREE)))


@pytest.mark.parametrize("average", ["weighted", "macro", "micro"])
def test_average_precision_is_averaged_as_in_scikit_learn(average):
    labels, scores = three_classes()
    want = average_precision_score(label_binarize(labels, classes=THREE), scores, average=average)
    assert metrics(labels, scores, THREE, average)["average_precision"] == pytest.approx(want)


def test_average_precision_with_ties_agrees_with_scikit_learn():
    rng = np.random.default_rng(5)
    for n in (2, 7, 200):
        positive, scores = np.arange(n) % 3 == 0, rng.integers(5, size=n) / 4
        assert average_precision(positive, scores) == pytest.approx(average_precision_score(positive, scores))


def test_metrics_of_two_classes_agree_with_scikit_learn():
    labels, scores = two_classes()
    found, positive = metrics(labels, scores, TWO), labels == "yes"
    assert found["average_precision"] == pytest.approx(average_precision_score(positive, scores[:, 1]))
    assert found["brier"] == pytest.approx(brier_score_loss(positive, scores[:, 1]))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(positive, scores[:, 1] > 0.5))


def test_calibration_error_agrees_with_a_hand_calculation():
    # confidences .9, .9, .9 (two of three right) and .6 (wrong): 3/4 * |.9 - 2/3| + 1/4 * |.6 - 0|
    scores = [[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]
    found = metrics(["yes", "no", "no", "yes"], scores, TWO)
    assert found["ece"] == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6)
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.81 + 0.36) / 4)


def test_calibration_error_has_fifteen_bins():
    # .51 (right) lies in the bin up to 8/15, .59 (wrong) in the next up to 9/15: (|.51 - 1| + |.59 - 0|) / 2
    assert metrics(["no", "no"], [[0.51, 0.49], [0.41, 0.59]], TWO)["ece"] == pytest.approx(0.54)


def test_perfect_predictions_have_perfect_metrics():
    found = metrics(list("abc"), np.eye(3), THREE)
    assert found == {"accuracy": 1, "balanced_accuracy": 1, "average_precision": 1, "brier": 0, "ece": 0}


def test_tied_probabilities_predict_the_first_class():
    found = metrics(["no", "yes", "yes"], np.full((3, 2), 0.5), TWO)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["average_precision"] == pytest.approx(2 / 3)
    assert found["brier"] == pytest.approx(0.25)


def test_a_fold_of_one_class_has_an_accuracy_but_no_average_precision():
    found = metrics(["no", "no"], [[0.9, 0.1], [0.2, 0.8]], TWO)
    assert np.isnan(found["average_precision"])
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == 0.5


def test_an_absent_class_does_not_count_in_the_balanced_accuracy():
    found = metrics(["a", "a", "b", "b"], np.eye(3)[[0, 2, 1, 1]], THREE)
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)


def test_scores_outside_0_to_1_raise_an_error():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]; got -1 to 2"):
        metrics(["no", "yes"], [[2.0, -1.0], [0.5, 0.5]], TWO)


def test_reliability_agrees_with_scikit_learn():
    labels, scores = two_classes()
    low, high, mean_score, share, n = reliability(scores[:, 1], labels == "yes", 10)
    expected_share, expected_mean = calibration_curve(labels == "yes", scores[:, 1], n_bins=10)
    np.testing.assert_allclose(share, expected_share)
    np.testing.assert_allclose(mean_score, expected_mean)
    assert n.sum() == len(labels)
    assert ((low < mean_score) & (mean_score <= high)).all()


def test_reliability_leaves_out_empty_bins_and_puts_0_in_the_first():
    found = reliability(np.array([0.0, 0.5, 0.75]), np.array([True, False, True]), 4)
    assert found.T.tolist() == [[0, 0.25, 0, 1, 1], [0.25, 0.5, 0.5, 0, 1], [0.5, 0.75, 0.75, 1, 1]]
