import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evaluation import inference, tables

CLASSES = ("no", "yes")


def predictions(source, fold, signal, *, mode="fine_tune", seed=0, target="chest", n=60):
    """Scores with a signal of the class, on images that all sources share; three images a patient."""
    rng = np.random.default_rng([fold, seed, int(100 * signal), len(source)])
    labels = np.arange(n) % 2
    score = 1 / (1 + np.exp(-(signal * (2 * labels - 1) + rng.normal(0, 1, n))))
    ids = [f"{fold}-{number:03d}" for number in range(n)]
    return pd.DataFrame(
        {
            "source": source, "target": target, "image_id": ids, "group": [f"{fold}-{number // 3}" for number in range(n)],
            "fold": fold, "seed": seed, "mode": mode, "label": np.array(CLASSES)[labels],
            "score_no": 1 - score, "score_yes": score,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def study():
    """Three sources on two targets in three folds; dtd is better than none, stl10 like dtd."""
    signal = {"none": 0.1, "dtd": 1.2, "stl10": 1.2}
    parts = [
        predictions(source, fold, signal[source], target=target)
        for source, fold, target in itertools.product(signal, (1, 2, 3), ("chest", "pcam_middle"))
    ]
    table = pd.concat(parts, ignore_index=True)
    aucs = tables.aucs(table, {pair: pair[0] for pair in itertools.product(signal, ("chest", "pcam_middle"))})
    return table, aucs, inference.draws(table, n_draws=300, seed=0, average="weighted")


def test_all_sources_get_the_same_draws(study):
    table, *_ = study
    copy = table[table["source"] == "dtd"].assign(source="kimia960")
    both = inference.draws(pd.concat([table, copy]), n_draws=50, seed=3, average="weighted")
    one, other = (both.xs(source, level="source") for source in ("dtd", "kimia960"))
    np.testing.assert_array_equal(one, other)
    assert both.shape == (4 * 2 * 3, 50)


def test_intervals_contain_the_mean_and_state_method_and_n(study):
    table, aucs, draws = study
    found = inference.auc_intervals(aucs, draws, table)
    assert found["method"].value_counts().to_dict() == {"bootstrap over groups": 6, "DeLong over images": 6}
    assert found["auc"].between(found["low"], found["high"], inclusive="neither").all()
    row = found.set_index(["source", "target", "method"]).loc[("dtd", "chest", "bootstrap over groups")]
    assert (row["n_folds"], row["n_seeds"], row["n_images"], row["n_groups"], row["n_draws"]) == (3, 1, 180, 60, 300)
    expected = aucs.query("source == 'dtd' and target == 'chest'")["auc"]
    assert (row["auc"], row["fold_sd"]) == pytest.approx((expected.mean(), expected.std()))


def test_a_transfer_score_uses_the_same_draws_as_its_baseline(study):
    _, aucs, draws = study
    scores = tables.transfer_scores(aucs)
    found = inference.score_intervals(scores, draws)
    row = found.set_index(["source", "target"]).loc[("dtd", "chest")]
    of_pair = scores.query("source == 'dtd' and target == 'chest'")
    assert row["transfer_score"] == pytest.approx(of_pair["transfer_score"].mean())
    keys = [("dtd", "chest", "fine_tune", fold, 0) for fold in (1, 2, 3)]
    by_hand = np.mean([100 * (draws.loc[key] / draws.loc[("none", *key[1:])] - 1) for key in keys], axis=0)
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])))
    without = tables.transfer_scores(aucs[aucs["source"] != "none"])
    assert without.empty
    pd.testing.assert_index_equal(inference.score_intervals(without, draws).columns, found.columns)


def test_all_pairs_get_four_tests_which_find_only_the_real_differences(study):
    table, aucs, draws = study
    found = inference.comparisons(aucs, draws, table)
    assert len(found) == 2 * 3 * 4
    assert set(found["test"]) == {"nadeau_bengio", "wilcoxon", "delong", "bootstrap"}
    real = found.query("source_a == 'none' and source_b == 'dtd' and test != 'wilcoxon'")
    assert len(real) == 2 * 3 and (real["p"] < 0.05).all() and (real["high"] < 0).all()
    alike = found.query("source_a == 'dtd' and source_b == 'stl10' and test == 'delong'")
    assert len(alike) == 2 and (alike["p"] > 0.05).all()
    means = aucs.query("target == 'chest'").groupby("source")["auc"].mean()
    assert real.query("target == 'chest'")["difference"].to_numpy() == pytest.approx(means["none"] - means["dtd"])


def test_pairs_with_random_weights_form_a_separate_holm_family(study):
    table, aucs, draws = study
    found = inference.comparisons(aucs, draws, table).query("target == 'chest' and test == 'delong'")
    alone = found.query("source_a == 'dtd' and source_b == 'stl10'")
    assert alone["p_adjusted"].item() == alone["p"].item()
    against_none = found.drop(alone.index).sort_values("p")
    expected = [2 * against_none["p"].iloc[0], max(2 * against_none["p"].iloc[0], against_none["p"].iloc[1])]
    assert against_none["p_adjusted"].tolist() == pytest.approx(expected)


def test_posterior_probabilities_sum_to_1_and_favour_the_better_source(study):
    _, aucs, _ = study
    effects = inference.effects(aucs, margin=0.01).set_index(["target", "source_a", "source_b"])
    total = effects[["p_b_better", "p_equivalent", "p_a_better"]].sum(axis=1)
    np.testing.assert_allclose(total, 1)
    row = effects.loc[("chest", "none", "dtd")]
    assert row["p_b_better"] > 0.95
    assert (row["superiority"], row["n_folds"]) == (0.0, 3)


def test_sources_are_ranked_over_several_targets(study):
    _, aucs, _ = study
    ranks = inference.ranks(aucs)
    assert ranks.set_index("source")["mean_rank"]["none"] == 3.0
    assert ranks["n_targets"].unique().tolist() == [2]
    assert inference.ranks(aucs[aucs["target"] == "chest"]).empty


def test_a_pair_with_a_missing_fold_is_tested_on_its_common_folds(study):
    table, aucs, draws = study
    lacks = (aucs["source"] == "dtd") & (aucs["fold"] == 2) & (aucs["target"] == "chest")
    keys = ["target", "source_a", "source_b", "test"]
    found, whole = (inference.comparisons(a, draws, table).set_index(keys) for a in (aucs[~lacks], aucs))
    assert found.index.equals(whole.index)
    other = (found.index.get_level_values("source_a") == "none") & (found.index.get_level_values("source_b") == "stl10")
    pd.testing.assert_frame_equal(found[other].drop(columns="p_adjusted"), whole[other].drop(columns="p_adjusted"))
    two_folds = aucs.query("target == 'chest' and fold != 2").pivot(index="fold", columns="source", values="auc")
    t = stats.ttest_rel(two_folds["none"], two_folds["dtd"]).statistic
    row = found.sort_index().loc[("chest", "none", "dtd", "nadeau_bengio")]
    assert row["statistic"] == pytest.approx(t * np.sqrt(0.5 / 1.5))  # variance times 1 / n + test / train, not 1 / n
    assert row["difference"] == pytest.approx((two_folds["none"] - two_folds["dtd"]).mean())
    effects = inference.effects(aucs[~lacks], margin=0.01).query("target == 'chest'")
    assert effects.set_index(["source_a", "source_b"])["n_folds"].tolist() == [2, 3, 2]


def test_models_with_identical_scores_have_p_1(study):
    table, aucs, _ = study
    table = pd.concat([table, table[table["source"] == "dtd"].assign(source="kimia960")])
    aucs = pd.concat([aucs, aucs[aucs["source"] == "dtd"].assign(source="kimia960")])
    draws = inference.draws(table, n_draws=50, seed=3, average="weighted")
    found = inference.comparisons(aucs, draws, table).query("source_a == 'dtd' and source_b == 'kimia960'")
    assert len(found) == 2 * 4
    assert (found["p"] == 1).all() and (found["difference"] == 0).all()


def test_sources_need_two_common_folds_to_be_compared(study):
    table, aucs, draws = study
    alone = aucs[aucs["source"] == "dtd"]
    assert inference.comparisons(alone, draws, table).empty
    one_fold = aucs[(aucs["source"] != "dtd") | (aucs["fold"] == 1)]
    found = inference.comparisons(one_fold, draws, table)
    assert set(found["source_a"]) | set(found["source_b"]) == {"none", "stl10"}
    assert list(inference.effects(alone, margin=0.01)) == list(inference.effects(aucs, margin=0.01))


def test_completeness_lists_runs_that_are_not_done(study):
    _, aucs, _ = study
    planned = [("dtd", "chest"), ("imagenet", "chest")]
    complete = tables.completeness(planned, aucs)
    assert complete["done"].tolist() == [True, False]
    assert complete[["modes", "n_folds", "n_aucs"]].values.tolist() == [["fine_tune", 3, 3], ["", 0, 0]]


def test_class_aucs_and_metrics_have_the_keys_of_their_fold(study):
    table, aucs, _ = study
    classes = tables.class_aucs(table)
    merged = classes[classes["class"] == "yes"].merge(aucs, on=["source", "target", "mode", "fold", "seed"])
    np.testing.assert_allclose(merged["auc_x"], merged["auc_y"])
    metrics = tables.fold_metrics(table)
    assert {"brier", "balanced_accuracy", "ece"} <= set(metrics["metric"])
    assert len(metrics) == len(aucs) * metrics["metric"].nunique()


def test_a_roc_band_spans_the_folds_and_has_the_area_of_the_auc(study):
    table, aucs, _ = study
    shown = tables.best_and_baseline(table, aucs, "chest", "fine_tune")
    assert list(shown["source"].unique())[1:] == ["none"]
    bands = tables.roc_bands(shown)
    assert ((bands["low"] <= bands["true_positive_rate"]) & (bands["true_positive_rate"] <= bands["high"])).all()
    assert bands["n"].unique().tolist() == [3]
    assert set(bands["class"]) == {"yes"}
    ends = bands.groupby("source")["true_positive_rate"].agg(["first", "last"])
    np.testing.assert_array_equal(ends, [[0.0, 1.0]] * 2)
    means = aucs.query("target == 'chest'").groupby("source")["auc"].mean()
    for source, part in bands.groupby("source"):
        area = np.trapezoid(part["true_positive_rate"], part["false_positive_rate"])
        assert area == pytest.approx(means[source], abs=0.02)
