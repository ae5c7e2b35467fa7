import numpy as np
import pandas as pd
import pytest

from catscans_lib import results
from catscans_lib.evaluation import stability

NAN = float("nan")


def history(values, split="validation", **keys):
    keys = {"source": "dtd", "target": "chest", "mode": "fine_tune", "fold": 1, "seed": 0, "metric": "loss"} | keys
    return pd.DataFrame({"epoch": range(1, len(values) + 1), "value": values, "split": split} | keys)


def only(table):
    (row,) = table.to_dict("records")
    return row


def test_numbers_of_the_auc_agree_with_a_hand_calculation():
    curve = pd.concat(
        [history([0.6] * 9, "train"), history([0.5, 0.6, 0.7, 0.6, 0.8, 0.7, 0.8, 0.9, 0.7], metric="auc")]
    )
    row = only(stability.numbers(curve))
    assert row["auc_late_sd"] == pytest.approx(0.1)  # 0.8, 0.9, 0.7
    assert row["auc_largest_drop"] == pytest.approx(0.2)  # from 0.9 to 0.7
    assert row["auc_late_gain"] == pytest.approx(0.8 - 0.7)  # against 0.6, 0.8, 0.7
    assert (row["auc_final"], row["n_epochs"]) == (0.7, 9)


def test_one_epoch_has_a_final_value_but_no_variation():
    row = only(stability.numbers(pd.concat([history([1.0], "train"), history([0.7], metric="auc")])))
    assert row["auc_final"] == 0.7 and not row["diverged"]
    for column in ("auc_late_sd", "auc_largest_drop", "auc_late_gain"):
        assert np.isnan(row[column]), column


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [([1.0, 0.5, NAN], True), ([NAN], True), ([1.0, float("inf")], True), ([1.0, 0.9, 1.0, 1.05, 1.0, 1.1], False),
     ([1.0, 0.9, 0.8, 1.2, 1.1, 1.2], True), ([1.0, 3.0, 0.9, 0.8, 0.7, 0.7], False)],
)  # fmt: skip
def test_training_diverged_if_its_loss_is_non_finite_or_ends_a_tenth_above_the_first_epoch(losses, diverged):
    assert only(stability.numbers(history(losses, "train")))["diverged"] is diverged


def test_a_repeated_epoch_raises_an_error_that_names_the_columns_of_a_curve():
    with pytest.raises(ValueError, match="duplicate entries"):
        stability.numbers(pd.concat([history([1.0, 2.0]), history([1.0, 2.0])]))


def test_chosen_curves_have_the_chosen_learning_rates():
    parts = [history([1.0], fold=fold, learning_rate=rate) for fold in (1, 2) for rate in (1e-5, 1e-6)]
    tried = pd.concat(parts, ignore_index=True)
    rates = tried.drop(columns=["epoch", "split", "metric", "value"]).assign(validation_loss=1.0)
    rates["chosen"] = [True, False, False, True]
    kept = results.chosen_curves(tried, rates)
    assert kept[["fold", "learning_rate"]].to_numpy().tolist() == [[1, 1e-5], [2, 1e-6]]
    assert list(kept.columns) == list(tried.columns)


def curve(aucs, losses=None, **keys):
    return pd.concat([history(losses or [1.0] * len(aucs), "train", **keys), history(aucs, metric="auc", **keys)])


CALM = [0.6, 0.7, 0.8, 0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("aucs", "losses", "verdict"),
    [(CALM, None, "stable"), ([0.6, 0.7, 0.7, 0.7, 0.72, 0.72], None, "unsettled"),
     ([0.6, 0.7, 0.8, 0.8, 0.78, 0.78], None, "unsettled"),
     ([0.6, 0.7, 0.8, 0.8, 0.8, 0.82], None, "unsettled"), ([0.6, 0.7, 0.8, 0.8, 0.75, 0.85], None, "unstable"),
     ([0.6, 0.75, 0.6, 0.8, 0.8, 0.8], None, "unstable"), (CALM, [1.0, NAN], "diverged"),
     ([0.8, 0.8, 0.8], None, "unknown"), ([0.8, 0.8, 0.8, 0.8], None, "stable")],
)  # fmt: skip
def test_the_verdict_on_a_curve_follows_the_stated_rules(aucs, losses, verdict):
    assert only(stability.summary(stability.numbers(curve(aucs, losses))))["verdict"] == verdict


def test_one_diverged_curve_of_three_is_unstable_and_two_are_diverged():
    parts = [curve(CALM, [1.0, 2.0] if fold == 1 else None, fold=fold) for fold in (1, 2, 3)]
    row = only(stability.summary(stability.numbers(pd.concat(parts))))
    assert (row["verdict"], row["n"]) == ("unstable", 3)
    assert row["divergence_rate"] == pytest.approx(1 / 3)
    parts[1] = curve(CALM, [1.0, 2.0], fold=2)
    assert only(stability.summary(stability.numbers(pd.concat(parts))))["verdict"] == "diverged"


def test_the_summary_averages_folds_and_compares_with_the_other_sources():
    parts = [history([0.8, 0.82], metric="auc", fold=2)]
    parts += [history([0.8, 0.8 + step], metric="auc", source=source)
              for source, step in (("dtd", 0.02), ("stl10", 0.04), ("none", 0.16))]  # fmt: skip
    parts += [history([0.8, 0.9], metric="auc", target="isic2018")]
    table = stability.summary(stability.numbers(pd.concat(parts))).set_index(["target", "source"])
    assert table.loc[("chest", "dtd"), "auc_final"] == pytest.approx(0.82)
    assert table.loc[("chest", "dtd"), "n"] == 2
    assert table.loc["chest", "times_median"].to_dict() == pytest.approx({"dtd": 0.5, "stl10": 1.0, "none": 4.0})
    assert table.loc[("isic2018", "dtd"), "times_median"] == 1.0


def test_an_empty_history_gives_empty_tables():
    numbers = stability.numbers(history([]))
    assert len(numbers) == len(stability.summary(numbers)) == 0
    assert len(stability.seed_spread(numbers)) == 0


def of_seeds(**aucs):
    """AUCs by source; of each a list per seed, of a value per fold."""
    rows = []
    for source, seeds in aucs.items():
        for seed, folds in enumerate(seeds):
            rows += [(source, seed, fold, auc) for fold, auc in enumerate(folds, start=1)]
    return pd.DataFrame(rows, columns=["source", "seed", "fold", "auc_final"]).assign(target="chest", mode="fine_tune")


def test_seed_spread_uses_the_folds_that_all_seeds_have():
    aucs = of_seeds(dtd=[[0.7, 0.9, 0.1], [0.8, 1.0]], stl10=[[0.5, 0.5]])
    row = only(stability.seed_spread(aucs))  # one seed has no spread: no row
    assert (row["source"], row["n_seeds"], row["n_folds"]) == ("dtd", 2, 2)
    assert row["seed_sd"] == pytest.approx(np.sqrt(0.005))  # of 0.8 and 0.9
