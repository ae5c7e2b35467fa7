import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evaluation import inference, intervals, tables

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
    return table, aucs, intervals.draws(table, n_draws=300, seed=0, average="weighted")


def test_all_sources_get_the_same_draws(study):
    table, *_ = study
    copy = table[table["source"] == "dtd"].assign(source="kimia960")
    both = intervals.draws(pd.concat([table, copy]), n_draws=50, seed=3, average="weighted")
    one, other = (both.xs(source, level="source") for source in ("dtd", "kimia960"))
    np.testing.assert_array_equal(one, other)
    assert both.shape == (4 * 2 * 3, 50)


def test_intervals_contain_the_mean_and_state_method_and_n(study):
    table, aucs, draws = study
    found = intervals.auc_intervals(aucs, draws, table)
    assert found["method"].value_counts().to_dict() == {"bootstrap over groups": 6}
    assert found["auc"].between(found["low"], found["high"], inclusive="neither").all()
    row = found.set_index(["source", "target", "method"]).loc[("dtd", "chest", "bootstrap over groups")]
    assert (row["n_folds"], row["n_seeds"], row["n_images"], row["n_groups"], row["n_draws"]) == (3, 1, 180, 60, 300)
    expected = aucs.query("source == 'dtd' and target == 'chest'")["auc"]
    assert (row["auc"], row["fold_sd"]) == pytest.approx((expected.mean(), expected.std()))


def test_a_gain_is_a_difference_of_means_with_the_primary_test(study):
    _, aucs, draws = study
    compared = inference.comparisons(aucs, draws)
    row = inference.gains(tables.transfer_scores(aucs), compared).set_index(["source", "target"]).loc[("dtd", "chest")]
    means = aucs.query("target == 'chest'").groupby("source")["auc"].mean()
    assert row["gain"] == pytest.approx(means["dtd"] - means["none"])
    assert row["transfer_score"] == pytest.approx(100 * (means["dtd"] / means["none"] - 1))  # a ratio of means
    keys = ["target", "source_a", "source_b", "test"]
    test = compared.set_index(keys).sort_index().loc[("chest", "none", "dtd", "nadeau_bengio")]
    assert (row["low"], row["high"], row["p"]) == (-test["high"], -test["low"], test["p"])
    without = tables.transfer_scores(aucs[aucs["source"] != "none"])
    assert inference.gains(without, compared).empty


def test_a_ratio_of_means_differs_from_a_mean_of_ratios():
    aucs = pd.DataFrame({"source": ["none", "none", "dtd", "dtd"], "fold": [1, 2, 1, 2], "auc": [0.3, 0.9, 0.9, 0.9]})
    aucs = aucs.assign(target="chest", mode="fine_tune", seed=0, n_images=10)
    compared = pd.DataFrame(columns=inference.COLUMNS)
    found = inference.gains(tables.transfer_scores(aucs), compared).iloc[0]
    assert (found["gain"], found["transfer_score"]) == pytest.approx((0.3, 50.0))  # the mean of 200 % and 0 % is 100 %


def test_all_pairs_get_tests_which_find_only_the_real_differences(study):
    _, aucs, draws = study
    found = inference.comparisons(aucs, draws)
    assert len(found) == 2 * 3 * 2
    assert set(found["test"]) == {"nadeau_bengio", "bootstrap"}
    assert set(found.loc[found["test"] == "nadeau_bengio", "role"]) == {"primary"}
    assert set(found.loc[found["test"] != "nadeau_bengio", "role"]) == {"secondary"}
    real = found.query("source_a == 'none' and source_b == 'dtd'")
    assert len(real) == 2 * 2 and (real["p"] < 0.05).all() and (real["high"] < 0).all()
    alike = found.query("source_a == 'dtd' and source_b == 'stl10' and test == 'bootstrap'")
    assert len(alike) == 2 and (alike["p"] > 0.05).all()
    means = aucs.query("target == 'chest'").groupby("source")["auc"].mean()
    assert real.query("target == 'chest'")["difference"].to_numpy() == pytest.approx(means["none"] - means["dtd"])


def test_pairs_with_random_weights_form_a_separate_holm_family(study):
    _, aucs, draws = study
    found = inference.comparisons(aucs, draws).query("target == 'chest' and test == 'bootstrap'")
    alone = found.query("source_a == 'dtd' and source_b == 'stl10'")
    assert alone["p_adjusted"].item() == alone["p"].item()
    against_none = found.drop(alone.index).sort_values("p")
    expected = [2 * against_none["p"].iloc[0], max(2 * against_none["p"].iloc[0], against_none["p"].iloc[1])]
    assert against_none["p_adjusted"].tolist() == pytest.approx(expected)


def test_random_weights_are_not_ranked_among_the_sources(study):
    _, aucs, _ = study
    assert all(table.empty for table in inference.ranks(aucs))  # two sources are too few
    third = aucs[aucs["source"] == "none"].assign(source="sti10")
    ranks, pairs = inference.ranks(pd.concat([aucs, third]))
    assert set(ranks["source"]) == {"dtd", "stl10", "sti10"}
    assert ranks.set_index("source")["mean_rank"]["sti10"] == 3.0
    assert ranks["n_targets"].unique().tolist() == [2]
    assert pairs[["source_a", "source_b"]].isin({"dtd", "stl10", "sti10"}).all(axis=None)


def one_fold(aucs):
    rows = [(source, target, "fine_tune", 1, 0, auc) for source, of in aucs.items() for target, auc in of.items()]
    return pd.DataFrame(rows, columns=[*tables.KEYS, "auc"])


def test_a_target_s_own_dataset_is_ranked_on_the_other_targets():
    aucs = {"imagenet": {"chest": 0.9, "isic": 0.9, "pcam": 0.9}, "dtd": {"chest": 0.8, "isic": 0.7, "pcam": 0.8}}
    aucs |= {"chest": {"isic": 0.8, "pcam": 0.7}, "isic": {"chest": 0.7, "pcam": 0.6}, "alone": {"elsewhere": 0.9}}
    ranks, pairs = inference.ranks(one_fold(aucs))
    found = ranks.set_index("source")
    assert ranks["source"].iloc[0] == "imagenet"
    assert found["n_targets"].to_dict() == {"imagenet": 3, "dtd": 3, "chest": 2, "isic": 2}
    assert found["n_all_targets"].unique().tolist() == [3]
    shared = pairs.set_index(pairs[["source_a", "source_b"]].apply(frozenset, axis=1))["n_shared"]
    assert shared[frozenset({"chest", "isic"})] == 1
    assert (pairs["difference"] <= 0).all()  # the better one first


def test_sources_without_common_targets_get_a_part_each_and_no_number():
    aucs = {"a": {"t": 0.9, "u": 0.8}, "b": {"t": 0.8, "u": 0.9}, "c": {"v": 0.7, "w": 0.6}, "d": {"v": 0.6, "w": 0.7}}
    ranks, pairs = inference.ranks(one_fold(aucs))
    assert ranks.set_index("source")["part"].to_dict() == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert ranks[["mean_rank", "statistic", "p"]].isna().all(axis=None)
    assert pairs[["difference", "p_adjusted"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("sizes", "ratio"),
    [
        ({1: 20, 2: 20, 3: 20, 4: 20, 5: 20}, 1 / 4),  # five folds, of which the sources share three
        ({1: 10, 2: 20, 3: 30}, (10 / 50 + 20 / 40 + 30 / 30) / 3),  # unequal folds
    ],
)
def test_the_ratio_of_the_corrected_test_comes_from_the_sizes_of_the_folds(study, sizes, ratio):
    _, aucs, draws = study
    table = pd.DataFrame({"fold": np.repeat(*zip(*sizes.items(), strict=True))})
    folds = dict.fromkeys(aucs["target"], table)
    found = inference.comparisons(aucs, draws, folds=folds).query("test == 'nadeau_bengio' and target == 'chest'")
    wide = aucs.query("target == 'chest'").pivot(index="fold", columns="source", values="auc")
    for row in found.itertuples():
        t = stats.ttest_rel(wide[row.source_a], wide[row.source_b]).statistic
        assert row.statistic == pytest.approx(t * np.sqrt((1 / 3) / (1 / 3 + ratio)))


def test_no_variance_is_no_certainty(study):
    """Sources that separate the classes perfectly, or not at all, in every fold."""
    table, *_ = study
    score = {"none": 0.5, "dtd": 1.0, "stl10": 0.0}
    signal = np.where(table["label"] == "yes", table["source"].map(score), 1 - table["source"].map(score))
    table = table.assign(score_yes=signal, score_no=1 - signal)
    aucs = tables.aucs(table, {pair: "run" for pair in itertools.product(score, ("chest", "pcam_middle"))})
    draws = intervals.draws(table, n_draws=50, seed=0, average="weighted")
    found = inference.comparisons(aucs, draws, margin=0.01)
    assert set(found["difference"]) == {-0.5, 0.5, 1.0}
    assert found[["p", "low", "high"]].isna().all(axis=None)
    assert set(found["verdict"]) == {"open", ""}
    assert intervals.auc_intervals(aucs, draws, table)[["low", "high"]].isna().all(axis=None)


def test_a_verdict_follows_the_primary_test_alone(study):
    _, aucs, draws = study
    keys = ["target", "source_a", "source_b", "test"]
    for primary, margin in (("nadeau_bengio", 0.01), ("bootstrap", 0.01), ("bootstrap", 1.0)):
        found = inference.comparisons(aucs, draws, primary=primary, margin=margin).set_index(keys)
        is_primary = found.index.get_level_values("test") == primary
        assert (found.loc[~is_primary, "verdict"] == "").all()
        for row in found[is_primary].itertuples():
            inside = -margin <= row.low and row.high <= margin
            better = ("a" if row.difference > 0 else "b") if row.p_adjusted < 0.05 else "open"
            assert row.verdict == ("equivalent" if inside else better)


def test_the_longer_baseline_is_compared_like_the_other_one(study):
    table, aucs, _ = study
    longer = [t[t["source"] == "none"].assign(mode="fine_tune_long") for t in (table, aucs)]
    table, aucs = (pd.concat(both, ignore_index=True) for both in zip((table, aucs), longer, strict=True))
    draws = intervals.draws(table, n_draws=50, seed=0, average="weighted")
    found = inference.comparisons(aucs, draws)
    ours = inference.oriented(found, "dtd", first=True)
    same, long = (ours[ours["other"] == other] for other in ("none", "none_long"))
    columns = ["target", "test", "difference", "p", "low", "high"]
    pd.testing.assert_frame_equal(long[columns].reset_index(drop=True), same[columns].reset_index(drop=True))
    assert (same["difference"] > 0).all() and (same["low"] < same["difference"]).all()
    turned = inference.oriented(found, "none_long", first=False).query("other == 'dtd'")
    pd.testing.assert_frame_equal(long.drop(columns="other"), turned.drop(columns="other"), check_names=False)
    best = inference.best_minus_others(aucs, found, "fine_tune")
    assert set(best["other"]) == {"none", "none_long", *(set(aucs["source"]) - {"none"})} - set(best["best"])
    assert (best["difference"] >= 0).all()


def test_a_pair_with_a_missing_fold_is_tested_on_its_common_folds(study):
    _, aucs, draws = study
    lacks = (aucs["source"] == "dtd") & (aucs["fold"] == 2) & (aucs["target"] == "chest")
    keys = ["target", "source_a", "source_b", "test"]
    found, whole = (inference.comparisons(a, draws).set_index(keys) for a in (aucs[~lacks], aucs))
    assert found.index.equals(whole.index)
    other = (found.index.get_level_values("source_a") == "none") & (found.index.get_level_values("source_b") == "stl10")
    pd.testing.assert_frame_equal(found[other].drop(columns="p_adjusted"), whole[other].drop(columns="p_adjusted"))
    two_folds = aucs.query("target == 'chest' and fold != 2").pivot(index="fold", columns="source", values="auc")
    t = stats.ttest_rel(two_folds["none"], two_folds["dtd"]).statistic
    row = found.sort_index().loc[("chest", "none", "dtd", "nadeau_bengio")]
    # Variance times 1 / n + test / train, not 1 / n: a fold is one of three, so one held-out image for two of training,
    # although the two sources share two folds only.
    assert row["statistic"] == pytest.approx(t * np.sqrt((1 / 2) / (1 / 2 + 1 / 2)))
    assert row["difference"] == pytest.approx((two_folds["none"] - two_folds["dtd"]).mean())


def test_models_with_identical_scores_have_p_1(study):
    table, aucs, _ = study
    table = pd.concat([table, table[table["source"] == "dtd"].assign(source="kimia960")])
    aucs = pd.concat([aucs, aucs[aucs["source"] == "dtd"].assign(source="kimia960")])
    draws = intervals.draws(table, n_draws=50, seed=3, average="weighted")
    found = inference.comparisons(aucs, draws).query("source_a == 'dtd' and source_b == 'kimia960'")
    assert len(found) == 2 * 2
    assert (found["p"] == 1).all() and (found["difference"] == 0).all()


def test_sources_need_two_common_folds_to_be_compared(study):
    _, aucs, draws = study
    alone = aucs[aucs["source"] == "dtd"]
    assert inference.comparisons(alone, draws).empty
    one_fold = aucs[(aucs["source"] != "dtd") | (aucs["fold"] == 1)]
    found = inference.comparisons(one_fold, draws)
    assert set(found["source_a"]) | set(found["source_b"]) == {"none", "stl10"}


def test_completeness_lists_runs_that_are_not_done(study):
    _, aucs, _ = study
    planned = [("dtd", "chest"), ("imagenet", "chest")]
    complete = tables.completeness(planned, aucs)
    assert complete.to_numpy().tolist() == [["dtd", "chest", True], ["imagenet", "chest", False]]


def test_class_aucs_and_metrics_have_the_keys_of_their_fold(study):
    table, aucs, _ = study
    classes = tables.class_aucs(table)
    merged = classes[classes["class"] == "yes"].merge(aucs, on=["source", "target", "mode", "fold", "seed"])
    np.testing.assert_allclose(merged["auc_x"], merged["auc_y"])
    metrics = tables.fold_metrics(table)
    assert {"brier", "balanced_accuracy", "ece"} <= set(metrics["metric"])
    assert len(metrics) == len(aucs) * metrics["metric"].nunique()


def test_texts_as_categories_change_no_table(study):
    table, aucs, draws = study
    compact, ids = (
        tables.with_categories(table),
        dict(zip(zip(aucs["source"], aucs["target"], strict=True), aucs["run_id"], strict=True)),
    )
    same = pd.testing.assert_frame_equal
    same(tables.aucs(compact, ids), aucs)
    for make in (tables.class_aucs, tables.fold_metrics):
        same(make(compact), make(table))
    same(intervals.draws(compact, n_draws=300, seed=0, average="weighted"), draws)
    same(intervals.auc_intervals(aucs, draws, compact), intervals.auc_intervals(aucs, draws, table))
