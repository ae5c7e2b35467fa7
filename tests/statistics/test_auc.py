import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference, vectors
from sklearn.metrics import roc_auc_score

from catscans_lib.statistics.auc import AVERAGES, area, auc, per_class, transfer_score

SEVEN = tuple("abcdefg")


def seven_classes():
    data = vectors()
    return data, np.array(SEVEN)[data["multiclass7"]["y"]], np.array(data["multiclass7"]["P"])


def binary(values):
    return np.stack([1 - np.asarray(values), values], axis=1)


@needs_reference
@pytest.mark.parametrize(
    ("average", "key"),
    [
        ("weighted", "weighted_ovr_auc"),
        ("macro", "macro_ovr_auc"),
        ("micro", "micro_ovr_auc"),
        ("ovo_macro", "ovo_macro_auc"),
        ("ovo_weighted", "ovo_weighted_auc"),
    ],
)
def test_all_averages_over_seven_classes_agree_with_the_reference(average, key):
    data, labels, scores = seven_classes()
    assert auc(labels, scores, SEVEN, average) == pytest.approx(data["multiclass7"][key], abs=1e-9)


@needs_reference
def test_one_vs_rest_aucs_of_seven_classes_agree_with_the_reference():
    data, labels, scores = seven_classes()
    names, aucs, n_positive, n_negative = zip(*per_class(labels, scores, SEVEN), strict=True)
    assert names == SEVEN
    np.testing.assert_allclose(aucs, data["multiclass7"]["per_class_ovr_auc"], atol=1e-9)
    assert list(n_positive) == data["multiclass7"]["class_counts"]
    assert set(np.add(n_positive, n_negative)) == {140}


@needs_reference
def test_probabilities_rounded_to_three_decimals_are_accepted_with_their_ties():
    data, labels, scores = seven_classes()
    want = data["multiclass7_rounded_to_3_decimals"]["weighted_ovr_auc"]
    assert auc(labels, scores.round(3), SEVEN) == pytest.approx(want, abs=1e-9)


@needs_reference
def test_a_missing_class_is_left_out_of_the_mean_and_has_no_auc_of_its_own():
    data, labels, scores = seven_classes()
    rows = labels != "g"
    want = data["multiclass7_missing_class"]["weighted_ovr_auc_present"]
    assert auc(labels[rows], scores[rows], SEVEN) == pytest.approx(want, abs=1e-9)
    *_, last = per_class(labels[rows], scores[rows], SEVEN)
    assert np.isnan(last[1])
    assert last[2:] == (0, rows.sum())


@pytest.mark.parametrize(
    ("average", "multi_class", "of"),
    [("weighted", "ovr", "weighted"), ("macro", "ovr", "macro"), ("ovo_macro", "ovo", "macro"),
     ("ovo_weighted", "ovo", "weighted")],
)  # fmt: skip
def test_averages_of_tied_scores_agree_with_scikit_learn(average, multi_class, of):
    rng = np.random.default_rng(1)
    labels, scores = rng.choice(list("abc"), 60, p=[0.6, 0.3, 0.1]), rng.integers(1, 4, (60, 3)).astype(float)
    scores /= scores.sum(axis=1, keepdims=True)
    want = roc_auc_score(labels, scores, multi_class=multi_class, average=of, labels=list("abc"))
    assert auc(labels, scores, tuple("abc"), average) == pytest.approx(want, abs=1e-12)


def test_one_vs_one_uses_the_scores_of_both_classes():
    labels = ["a", "b", "c"]
    scores = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.2, 0.5, 0.3]]
    # a|b 1, a|c 1, b|a 0, b|c 0, c|a 1, c|b one half (a tie): by hand
    assert auc(labels, scores, tuple("abc"), "ovo_macro") == pytest.approx(3.5 / 6)


def test_one_vs_one_leaves_out_pairs_with_an_absent_class():
    scores = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3]]
    assert auc(["a", "b"], scores, tuple("abc"), "ovo_macro") == pytest.approx(0.5)  # a|b 1, b|a 0


def test_the_average_does_not_matter_for_two_classes():
    labels, scores = ["no", "yes", "no", "yes"], binary([0.1, 0.4, 0.5, 0.9])
    assert {auc(labels, scores, ("no", "yes"), average) for average in AVERAGES} == {0.75}


def test_reversing_the_scores_gives_the_complement():
    rng = np.random.default_rng(2)
    labels, values = rng.choice(["no", "yes"], 50), rng.integers(0, 10, 50) / 10
    both = auc(labels, binary(values), ("no", "yes")) + auc(labels, binary(1 - values), ("no", "yes"))
    assert both == pytest.approx(1, abs=1e-12)


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
    with pytest.raises(ValueError, match="Unknown average 'mean'; known: weighted, macro, micro, ovo_macro, ovo_w"):
        auc(["no", "yes"], binary([0.1, 0.9]), ("no", "yes"), "mean")


def test_the_area_of_tied_scores_agrees_with_scikit_learn():
    rng = np.random.default_rng(6)
    for n in (2, 9, 300):
        positive, scores = np.arange(n) % 2 == 0, rng.integers(6, size=n) / 5
        assert area(positive, scores) == pytest.approx(roc_auc_score(positive, scores), abs=1e-15)


@needs_reference
@pytest.mark.parametrize("name", ["score_1", "score_2", "score_3_with_ties"])
def test_binary_aucs_agree_with_the_reference_also_for_tied_scores(name):
    data = vectors()["binary"]
    labels = ["yes" if y else "no" for y in data["y"]]
    assert auc(labels, binary(data[name]), ("no", "yes")) == pytest.approx(data["auc"][name], abs=1e-12)


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
    with pytest.raises(ValueError, match=r"lies in \(0, 1\]"):
        transfer_score([0.9], [0.0])


def test_labels_unrelated_to_the_scores_give_an_auc_near_one_half():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 3000)
    assert auc(rng.choice(list("abc"), 3000), scores, tuple("abc")) == pytest.approx(0.5, abs=0.03)
