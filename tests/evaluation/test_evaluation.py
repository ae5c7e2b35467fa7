import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from catscans_lib import evaluation

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
SEVEN = tuple("abcdefg")
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs ../shared/reference with published values")


def vectors():
    return json.loads((REFERENCE / "auc_vectors.json").read_text())


def predictions(labels, scores, classes=("no", "yes"), **keys):
    table = pd.DataFrame(
        {"image_id": [f"i{number}" for number in range(len(labels))], "fold": 1, "seed": 0, "mode": "fine_tune"} | keys
    )
    scores = pd.DataFrame(scores, columns=[f"score_{name}" for name in classes])
    return pd.concat([table.assign(label=labels), scores], axis=1)


def binary(values):
    return np.stack([1 - np.asarray(values), values], axis=1)


@needs_reference
@pytest.mark.parametrize("name", ["score_1", "score_2", "score_3_with_ties"])
def test_binary_auc_agrees_with_the_definition_also_where_scores_are_tied(name):
    data = vectors()["binary"]
    labels = ["yes" if y else "no" for y in data["y"]]
    assert evaluation.auc(labels, binary(data[name]), ("no", "yes")) == pytest.approx(data["auc"][name], abs=1e-12)


@needs_reference
@pytest.mark.parametrize("average", ["weighted", "macro"])
def test_auc_of_seven_classes_agrees_with_scikit_learn(average):
    data = vectors()["multiclass7"]
    labels = [SEVEN[y] for y in data["y"]]
    scores = np.asarray(data["P"])
    got = evaluation.auc(labels, scores / scores.sum(axis=1, keepdims=True), SEVEN, average)
    assert got == pytest.approx(data[f"{average}_ovr_auc"], abs=1e-4)  # the file's rows sum to 1 only to six decimals


@needs_reference
def test_a_class_without_an_image_is_left_out_of_the_mean():
    data = vectors()
    rows = np.asarray(data["multiclass7"]["y"]) != 6
    labels = np.asarray(SEVEN)[np.asarray(data["multiclass7"]["y"])][rows]
    got = evaluation.auc(labels, np.asarray(data["multiclass7"]["P"])[rows], SEVEN)
    assert got == pytest.approx(data["multiclass7_missing_class"]["weighted_ovr_auc_present"], abs=1e-12)


@needs_reference
def test_transfer_scores_reproduce_every_published_one():
    published = pd.read_csv(REFERENCE / "paper_aucs.csv")
    baseline = published[published["is_baseline"] == 1].set_index(["target", "fold"])["auc"]
    together = published.join(baseline.rename("baseline"), on=["target", "fold"])
    got = evaluation.transfer_score(together["auc"], together["baseline"])
    assert len(got) == 120
    np.testing.assert_allclose(got, published["transfer_score"], atol=1e-9)


def test_transfer_score_reproduces_the_published_imagenet_to_isic_fold():
    assert evaluation.transfer_score([0.9474350925], [0.8795637724]) == pytest.approx([7.7165], abs=1e-4)


def test_transfer_score_refuses_folds_that_do_not_pair():
    with pytest.raises(ValueError, match=r"got \(2,\) scores and \(1,\) baselines"):
        evaluation.transfer_score([0.9, 0.8], [0.7])
    with pytest.raises(ValueError, match=r"lies in \(0, 1\]"):
        evaluation.transfer_score([0.9], [0.0])


def test_labels_without_a_relation_to_the_scores_give_an_auc_near_one_half():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 3000)
    assert evaluation.auc(rng.choice(list("abc"), 3000), scores, tuple("abc")) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (["no", "yes"], [[0.5, 0.5], [np.nan, 0.5]], "1 images have a score that is no number"),
        (["no", "yes"], [[0.5, 0.5], [0.9, 0.9]], "sum to 1; got sums up to 1.800"),
        (["no", "maybe"], [[0.5, 0.5], [0.5, 0.5]], "Unknown labels maybe; the scores are of no, yes"),
        (["no", "no"], [[0.5, 0.5], [0.5, 0.5]], "two classes; all 2 are 'no'"),
        (["no", "yes"], [[1.0], [1.0]], r"shape \(2, 2\); got \(2, 1\)"),
    ],
)
def test_scores_that_give_no_auc_are_refused_in_words(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        evaluation.auc(labels, scores, ("no", "yes"))


def test_an_error_names_the_run_and_the_fold():
    table = predictions(["no", "no"], binary([0.1, 0.2]), fold=3).assign(source="dtd", target="chest")
    with pytest.raises(ValueError, match="dtd--chest, fine_tune, fold 3, seed 0: .*two classes"):
        evaluation.aucs(table, {("dtd", "chest"): "dtd--chest"})
    nothing = predictions(["no", "yes"], binary([np.nan, np.nan]), fold=3).assign(source="dtd", target="chest")
    with pytest.raises(
        ValueError, match="dtd--chest, fine_tune, fold 3, seed 0: 2 images have a score that is no number"
    ):
        evaluation.aucs(nothing, {("dtd", "chest"): "dtd--chest"})


def test_an_image_predicted_twice_is_refused():
    table = predictions(["no", "yes"], binary([0.1, 0.9])).assign(target="chest")
    once, again = table.assign(source="none"), pd.concat([table, table.assign(fold=2)]).assign(source="dtd")
    with pytest.raises(ValueError, match="^r2: 2 images are predicted twice"):
        evaluation.aucs(pd.concat([once, again]), {("none", "chest"): "r1", ("dtd", "chest"): "r2"})


def test_runs_of_targets_with_other_classes_keep_their_own():
    """Of two targets below each other a class of the one is empty in the other's rows; AUCs by hand."""
    two = predictions(["no", "yes"], binary([0.1, 0.9])).assign(source="dtd", target="chest")
    three = pd.DataFrame(
        {
            "label": ["MEL", "NV", "DF"],
            "score_MEL": [0.8, 0.1, 0.2],
            "score_NV": [0.1, 0.8, 0.1],
            "score_DF": [0.1, 0.1, 0.7],
        }
    ).assign(image_id=["a", "b", "c"], fold=1, seed=0, mode="fine_tune", source="dtd", target="isic2018")
    found = evaluation.aucs(
        pd.concat([two, three]), {("dtd", "chest"): "r1", ("dtd", "isic2018"): "r2"}, average="macro"
    )
    assert found[["target", "average", "auc", "n_images", "run_id"]].to_numpy().tolist() == [
        ["chest", "binary", 1.0, 2, "r1"],
        ["isic2018", "macro", 1.0, 3, "r2"],
    ]


def two_sources():
    """Fold 1 and 2 of none (AUC .5, .75) and dtd (.75, 1), by hand; none also with a longer budget (1, 1)."""
    half, three_quarters, all_right = [0.1, 0.9, 0.1, 0.9], [0.1, 0.6, 0.5, 0.9], [0.1, 0.2, 0.8, 0.9]
    labels = ["no", "no", "yes", "yes"]
    parts = []
    for source, mode, folds in (
        ("none", "fine_tune", (half, three_quarters)),
        ("none", "fine_tune_long", (all_right, all_right)),
        ("dtd", "fine_tune", (three_quarters, all_right)),
    ):
        for fold, scores in enumerate(folds, start=1):
            table = predictions(labels, binary(scores), fold=fold, mode=mode)
            parts.append(table.assign(source=source, target="chest", image_id=table["image_id"] + f" of fold {fold}"))
    return evaluation.aucs(pd.concat(parts), {("none", "chest"): "none", ("dtd", "chest"): "dtd"})


def test_transfer_scores_are_paired_with_the_baseline_of_the_same_fold_and_budget():
    scores = evaluation.transfer_scores(two_sources())
    assert list(scores["source"].unique()) == ["dtd"]
    assert scores["auc"].tolist() == [0.75, 1.0]
    assert scores["baseline_auc"].tolist() == [0.5, 0.75]
    assert scores["transfer_score"].tolist() == pytest.approx([50.0, 100 / 3])


def test_a_source_without_a_baseline_has_no_score():
    aucs = two_sources()
    assert evaluation.transfer_scores(aucs[aucs["source"] != "none"]).empty


def test_the_summary_carries_its_n_and_the_sample_standard_deviation():
    summary = evaluation.summary(two_sources()).set_index(["source", "mode"])
    assert summary.loc[("none", "fine_tune"), ["auc_mean", "auc_sd", "n"]].tolist() == pytest.approx(
        [0.625, 0.25 / np.sqrt(2), 2]
    )
    assert evaluation.shared_modes(two_sources()) == ["fine_tune"]
    table = evaluation.auc_table(summary.reset_index(), {"none": "random", "dtd": "DTD", "chest": "Chest"})
    assert table.loc[("fine_tune", "DTD"), "Chest"] == "0.875 ± 0.177"
