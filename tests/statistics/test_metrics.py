import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference, vectors
from sklearn import metrics
from sklearn.preprocessing import label_binarize

from catscans_lib.statistics.metrics import (
    AVERAGES,
    area,
    auc,
    classification_metrics,
    per_class,
    transfer_score,
)

SEVEN, TWO, THREE = tuple("abcdefg"), ("no", "yes"), ("a", "b", "c")


def binary(values):
    return np.stack([1 - np.asarray(values), values], axis=1)


@needs_reference
def test_aucs_of_seven_classes_agree_with_the_reference_also_of_rounded_scores_or_without_a_class():
    data = vectors()
    known, labels = data["multiclass7"], np.array(SEVEN)[data["multiclass7"]["y"]]
    scores = np.array(known["P"])
    for average in AVERAGES:
        assert auc(labels, scores, SEVEN, average) == pytest.approx(known[f"{average}_ovr_auc"], abs=1e-9)
    names, aucs, n_positive, n_negative = zip(*per_class(labels, scores, SEVEN), strict=True)
    assert names == SEVEN
    np.testing.assert_allclose(aucs, known["per_class_ovr_auc"], atol=1e-9)
    assert list(n_positive) == known["class_counts"]
    assert set(np.add(n_positive, n_negative)) == {140}
    want = data["multiclass7_rounded_to_3_decimals"]["weighted_ovr_auc"]
    assert auc(labels, scores.round(3), SEVEN) == pytest.approx(want, abs=1e-9)
    rows = labels != "g"
    want = data["multiclass7_missing_class"]["weighted_ovr_auc_present"]
    assert auc(labels[rows], scores[rows], SEVEN) == pytest.approx(want, abs=1e-9)
    *_, last = per_class(labels[rows], scores[rows], SEVEN)
    assert np.isnan(last[1]) and last[2:] == (0, rows.sum())


@pytest.mark.parametrize("average", AVERAGES)
def test_averages_of_tied_scores_agree_with_scikit_learn(average):
    rng = np.random.default_rng(1)
    labels, scores = rng.choice(list("abc"), 60, p=[0.6, 0.3, 0.1]), rng.integers(1, 4, (60, 3)).astype(float)
    scores /= scores.sum(axis=1, keepdims=True)
    want = metrics.roc_auc_score(labels, scores, multi_class="ovr", average=average, labels=list("abc"))
    assert auc(labels, scores, tuple("abc"), average) == pytest.approx(want, abs=1e-12)


def test_the_average_does_not_matter_for_two_classes():
    labels, scores = ["no", "yes", "no", "yes"], binary([0.1, 0.4, 0.5, 0.9])
    assert {auc(labels, scores, ("no", "yes"), average) for average in AVERAGES} == {0.75}


def test_a_fold_of_one_class_has_no_auc_of_any_class():
    found = per_class(["no", "no"], binary([0.1, 0.2]), ("no", "yes"))
    assert [row[2:] for row in found] == [(2, 0), (0, 2)]
    assert np.isnan([row[1] for row in found]).all()


@pytest.mark.parametrize(
    ("labels", "scores", "classes", "message"),
    [
        (["no", "yes"], [[0.5, 0.5], [0.9, 0.9]], ("no", "yes"), r"1 of 2 rows do not. The worst is row 1 .*with sum 1.800"),
        (["no", "yes"], [[0.5, 0.5], [0.2, 0.3]], ("no", "yes"), r"The worst is row 1 \(from 0\) with sum 0.500"),
        (["no", "yes"], [[0.5, np.nan], [0.5, np.inf]], ("no", "yes"), "must be finite .* 2 of 2 rows .* row 0 .* nan"),
        (["no", "no"], [[0.5, 0.5], [0.5, 0.5]], ("no", "yes"), "two classes; all 2 are 'no'"),
        (["no", "yes"], [[1.0], [1.0]], ("no", "yes"), r"shape \(2, 2\); got \(2, 1\)"),
        (["no", "nan"], [[0.5, 0.5], [0.5, 0.5]], ("no", "yes"), "Unknown labels nan; known classes: no, yes"),
        (["no", "yes"], [[0.5, 0.5], [0.5, 0.5]], ("no", "no"), "two different class names; got no, no"),
        ([], np.empty((0, 2)), ("no", "yes"), "Got no images"),
    ],
)  # fmt: skip
def test_predictions_without_an_auc_raise_an_error_that_names_the_problem(labels, scores, classes, message):
    with pytest.raises(ValueError, match=message):
        auc(labels, scores, classes)


def test_an_unknown_average_raises_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown average 'mean'; known: weighted, macro"):
        auc(["no", "yes"], binary([0.1, 0.9]), ("no", "yes"), "mean")


@needs_reference
def test_transfer_scores_reproduce_all_published_ones():
    published = pd.read_csv(REFERENCE / "paper_aucs.csv")
    baseline = published[published["is_baseline"] == 1].set_index(["target", "fold"])["auc"]
    together = published.join(baseline.rename("baseline"), on=["target", "fold"])
    scores = transfer_score(together["auc"], together["baseline"])
    assert len(scores) == 120
    np.testing.assert_allclose(scores, published["transfer_score"], atol=1e-9)


def test_transfer_score_reproduces_the_published_imagenet_to_isic_fold():
    assert transfer_score([0.9474350925], [0.8795637724]) == pytest.approx([7.7165], abs=1e-4)


def test_transfer_score_rejects_folds_that_do_not_pair_and_a_baseline_of_0():
    with pytest.raises(ValueError, match=r"got \(2,\) scores and \(1,\) baselines"):
        transfer_score([0.9, 0.8], [0.7])
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], a baseline above 0"):
        transfer_score([0.9], [0.0])


def three_classes(n=200):
    rng = np.random.default_rng(3)
    return rng.choice(THREE, n, p=[0.6, 0.3, 0.1]), rng.dirichlet(np.ones(3), n)


def two_classes(n=200):
    rng = np.random.default_rng(4)
    yes = rng.random(n)
    return rng.choice(TWO, n), np.stack([1 - yes, yes], axis=1)


def test_metrics_of_three_classes_agree_with_scikit_learn():
    labels, scores = three_classes()
    found, decided = classification_metrics(labels, scores, THREE), np.array(THREE)[scores.argmax(axis=1)]
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, decided))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, decided))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(labels, scores, labels=list(THREE)))
    want = metrics.average_precision_score(label_binarize(labels, classes=THREE), scores, average="weighted")
    assert found["average_precision"] == pytest.approx(want)


@pytest.mark.parametrize("n", [2, 7, 9, 300])
def test_the_auc_of_tied_scores_agrees_with_scikit_learn(n):
    positive, scores = np.arange(n) % 3 == 0, np.random.default_rng(6).integers(6, size=n) / 5
    found = auc(np.where(positive, "yes", "no"), binary(scores), TWO)
    assert found == area(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-15)


def test_metrics_of_two_classes_agree_with_scikit_learn():
    labels, scores = two_classes()
    found, positive = classification_metrics(labels, scores, TWO), labels == "yes"
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(positive, scores[:, 1]))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(positive, scores[:, 1]))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(positive, scores[:, 1] > 0.5))


def test_calibration_error_with_fifteen_bins_agrees_with_a_hand_calculation():
    # confidences .9, .9, .9 (two of three right) and .6 (wrong): 3/4 * |.9 - 2/3| + 1/4 * |.6 - 0|
    scores = [[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]]
    found = classification_metrics(["yes", "no", "no", "yes"], scores, TWO)
    assert found["ece"] == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6)
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.81 + 0.36) / 4)
    # .51 (right) lies in the bin up to 8/15, .59 (wrong) in the next up to 9/15: (|.51 - 1| + |.59 - 0|) / 2
    assert classification_metrics(["no", "no"], [[0.51, 0.49], [0.41, 0.59]], TWO)["ece"] == pytest.approx(0.54)


def test_tied_probabilities_predict_the_first_class():
    found = classification_metrics(["no", "yes", "yes"], np.full((3, 2), 0.5), TWO)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["average_precision"] == pytest.approx(2 / 3)
    assert found["brier"] == pytest.approx(0.25)


def test_an_absent_class_has_no_average_precision_and_does_not_count_in_the_balanced_accuracy():
    found = classification_metrics(["no", "no"], [[0.9, 0.1], [0.2, 0.8]], TWO)
    assert np.isnan(found["average_precision"])
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.5, 0.5)
    found = classification_metrics(["a", "a", "b", "b"], np.eye(3)[[0, 2, 1, 1]], THREE)
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)


def test_scores_outside_0_to_1_raise_an_error():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]; got -1 to 2"):
        classification_metrics(["no", "yes"], [[2.0, -1.0], [0.5, 0.5]], TWO)
