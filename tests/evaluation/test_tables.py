import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from catscans_lib.evaluation import intervals, tables
from catscans_lib.evaluation.tables import split_folds


def predictions(labels, scores, classes=("no", "yes"), **keys):
    table = pd.DataFrame(
        {"image_id": [f"i{number}" for number in range(len(labels))], "fold": 1, "seed": 0, "mode": "fine_tune"} | keys
    )
    scores = pd.DataFrame(scores, columns=[f"score_{name}" for name in classes])
    return pd.concat([table.assign(label=labels), scores], axis=1)


def binary(values):
    return np.stack([1 - np.asarray(values), values], axis=1)


def test_an_error_names_the_run_and_the_fold():
    table = predictions(["no", "no"], binary([0.1, 0.2]), fold=3).assign(source="dtd", target="chest")
    with pytest.raises(ValueError, match="dtd--chest, fine_tune, fold 3, seed 0: .*two classes"):
        tables.aucs(table, {("dtd", "chest"): "dtd--chest"})
    nothing = predictions(["no", "yes"], binary([np.nan, np.nan]), fold=3).assign(source="dtd", target="chest")
    with pytest.raises(ValueError, match="fold 3, seed 0: The probabilities .* 2 of 2 rows do not"):
        tables.aucs(nothing, {("dtd", "chest"): "dtd--chest"})


def test_an_image_predicted_twice_raises_an_error():
    table = predictions(["no", "yes"], binary([0.1, 0.9])).assign(target="chest")
    once, again = table.assign(source="none"), pd.concat([table, table.assign(fold=2)]).assign(source="dtd")
    with pytest.raises(ValueError, match="^r2: 2 images are predicted twice"):
        tables.aucs(pd.concat([once, again]), {("none", "chest"): "r1", ("dtd", "chest"): "r2"})


def test_targets_with_different_classes_are_evaluated_on_their_own():
    """Of two targets below each other a class of the one is empty in the other's rows; AUCs by hand."""
    two = predictions(["no", "yes"], binary([0.1, 0.9])).assign(source="dtd", target="chest")
    names, scores = ("MEL", "NV", "DF"), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]]
    three = predictions(names, scores, names).assign(source="dtd", target="isic2018")
    found = tables.aucs(pd.concat([two, three]), {("dtd", "chest"): "r1", ("dtd", "isic2018"): "r2"}, average="macro")
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
    return tables.aucs(pd.concat(parts), {("none", "chest"): "none", ("dtd", "chest"): "dtd"})


def test_transfer_scores_use_the_baseline_of_the_same_fold_and_budget():
    scores = tables.transfer_scores(two_sources())
    assert tables.shared_modes(two_sources()) == ["fine_tune"]
    assert list(scores["source"].unique()) == ["dtd"]
    assert scores["auc"].tolist() == [0.75, 1.0]
    assert scores["baseline_auc"].tolist() == [0.5, 0.75]
    assert scores["transfer_score"].tolist() == pytest.approx([50.0, 100 / 3])


def two_targets():
    """Fold 2 of one target before fold 1, their rows mixed; another target has other classes."""
    return pd.DataFrame(
        {
            "target": ["chest", "chest", "isic2018", "chest", "isic2018"], "fold": [2, 1, 1, 2, 1],
            "label": ["yes", "no", "MEL", "no", "NV"], "score_no": [0.1, 0.8, np.nan, 0.7, np.nan],
            "score_yes": [0.9, 0.2, np.nan, 0.3, np.nan], "score_MEL": [np.nan, np.nan, 1, np.nan, 0],
            "score_NV": [np.nan, np.nan, 0, np.nan, 1],
        }
    )  # fmt: skip


def test_folds_keep_the_order_of_the_table_and_have_the_classes_of_their_target():
    found = list(split_folds(two_targets(), ["target", "fold"]))
    assert [fold.keys for fold in found] == [("chest", 2), ("chest", 1), ("isic2018", 1)]
    assert [fold.labels.tolist() for fold in found] == [["yes", "no"], ["no"], ["MEL", "NV"]]
    assert found[0].scores.tolist() == [[0.1, 0.9], [0.7, 0.3]]
    assert [fold.classes for fold in found] == [("no", "yes"), ("no", "yes"), ("MEL", "NV")]


def test_a_fold_without_scores_has_all_classes_and_nan():
    *_, last = split_folds(two_targets().assign(score_MEL=np.nan, score_NV=np.nan), ["target", "fold"])
    assert last.classes == ("no", "yes", "MEL", "NV")
    assert np.isnan(last.scores).all() and last.scores.shape == (2, 4)


def test_groups_stay_with_their_images():
    grouped = two_targets().assign(group=["p1", "p2", "p3", "p1", "p4"])
    assert next(split_folds(grouped, ["target", "fold"])).groups.tolist() == ["p1", "p1"]
    assert next(split_folds(two_targets(), ["target", "fold"])).groups is None


def test_an_empty_table_has_no_folds_and_rows_with_a_missing_key_are_skipped():
    assert list(split_folds(two_targets().iloc[:0], ["target", "fold"])) == []
    missing = two_targets().assign(fold=[2, np.nan, 1, 2, 1])
    assert [len(fold.labels) for fold in split_folds(missing, ["target", "fold"])] == [2, 2]


def of_findings(n=120, n_folds=2, seed=0):
    """Predictions of three findings that differ in share and difficulty; "rare" has no image in fold 2."""
    rng = np.random.default_rng(seed)
    fold = np.arange(n) % n_folds + 1
    has = rng.random((n, 3)) < [0.5, 0.2, 0.1]
    has[fold == 2, 2] = False
    scores = 1 / (1 + np.exp(-(2 * has + rng.normal(size=(n, 3)))))
    table = pd.DataFrame({"image_id": [f"i{number:03d}" for number in range(n)], "group": np.arange(n) // 3})
    table = table.assign(fold=fold, seed=0, mode="fine_tune", source="dtd", target="lungs", label="a|b")
    for number, name in enumerate(("edema", "mass", "rare")):
        table[[f"score_{name}", f"true_{name}"]] = np.stack([scores[:, number], has[:, number]], axis=1)
    return table, has, scores


def test_findings_have_an_auc_each_and_their_macro_mean_beside_targets_of_one_class():
    table, has, scores = of_findings()
    two = predictions(["no", "yes"], binary([0.1, 0.9])).assign(source="dtd", target="chest", group="g")
    both = pd.concat([two, table])
    found = tables.aucs(both, {("dtd", "chest"): "r1", ("dtd", "lungs"): "r2"}).set_index(["target", "fold"])
    first, second = (table["fold"] == fold for fold in (1, 2))
    assert found.loc[("lungs", 1), "auc"] == pytest.approx(roc_auc_score(has[first], scores[first], average="macro"))
    assert found.loc[("lungs", 2), "auc"] == pytest.approx(roc_auc_score(has[second, :2], scores[second, :2]))
    assert found["average"].tolist() == ["binary", "macro", "macro"]
    each = tables.class_aucs(both).query("target == 'lungs' and fold == 2").set_index("class")
    assert np.isnan(each.loc["rare", "auc"]) and each.loc["rare", "n_positive"] == 0 and each["multi_label"].all()
    numbers = tables.fold_metrics(table).query("fold == 2").set_index("metric")["value"]
    assert numbers["accuracy"] == pytest.approx(((scores > 0.5) == has)[second].mean())
    assert numbers["brier"] == pytest.approx(((scores - has) ** 2)[second].mean())


def test_every_finding_has_an_interval_over_the_folds_that_tell_it():
    table, has, scores = of_findings()
    found = intervals.finding_intervals(table, n_draws=200, seed=0).set_index("class")
    assert found["n_folds"].to_dict() == {"edema": 2, "mass": 2, "rare": 1}
    by_hand = [roc_auc_score(has[rows, 1], scores[rows, 1]) for rows in (table["fold"] == 1, table["fold"] == 2)]
    assert found.loc["mass", "auc"] == pytest.approx(np.mean(by_hand))
    assert (found["low"] < found["auc"]).all() and (found["auc"] < found["high"]).all()
    assert found.loc["edema", "high"] - found.loc["edema", "low"] < found.loc["mass", "high"] - found.loc["mass", "low"]
    of_all = intervals.draws(table, n_draws=200, seed=0, average="weighted")
    assert of_all.shape == (2, 200) and of_all.iloc[1].notna().mean() > 0.95  # without the finding that no image has
    one_class = predictions(["no", "yes"], binary([0.1, 0.9])).assign(source="dtd", target="chest", group="g")
    assert intervals.finding_intervals(one_class, n_draws=10, seed=0).empty
