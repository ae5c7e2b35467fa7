"""Claims about measures survive missing pairs, blind measures, few folds and unusual tables."""

import numpy as np
import pandas as pd
import pytest

from catscans_lib.statistics.ranks import STATISTICS
from catscans_lib.transferability import associations as module
from catscans_lib.transferability import differences, limits, resampling, similarity_tables
from catscans_lib.transferability.associations import associations

SOURCES = [f"s{number}" for number in range(8)]


def drawn_tables(seed, *, n_measures=1, share=0.5, n_folds=1, n_sources=8, n_targets=3, missing=True):
    """Unrelated AUCs and measures; `share` of their variance is the source's, the same on all targets.

    With `missing`, three of the sources are targets, too: their own pair is never run.
    """
    targets = SOURCES[:n_targets] if missing else [f"t{number}" for number in range(n_targets)]
    rng = np.random.default_rng(seed)
    shape = 1 + n_measures, n_targets, n_sources
    drawn = np.sqrt(share) * rng.normal(size=(shape[0], 1, n_sources)) + np.sqrt(1 - share) * rng.normal(size=shape)
    cells = [(t, s) for t in range(n_targets) for s in range(n_sources) if s != t or not missing]
    aucs = [
        (SOURCES[s], targets[t], fold, 0.7 + 0.05 * drawn[0, t, s] + 0.02 * rng.normal() * (n_folds > 1))
        for t, s in cells for fold in range(n_folds)
    ]  # fmt: skip
    values = [(SOURCES[s], targets[t], f"m{n}", drawn[n, t, s]) for n in range(1, n_measures + 1) for t, s in cells]
    similarity = pd.DataFrame(values, columns=["source", "target", "measure", "value"]).assign(larger_is_closer=True)
    results = pd.DataFrame(aucs, columns=["source", "target", "fold", "auc"]).assign(mode="fine_tune", seed=0)
    return results, similarity


def related(*tables, n_draws=200, **options):
    return associations(*tables, evidence="test", n_draws=n_draws, **options)


def row(table, measure, statistic, target="all"):
    here = table[(table["measure"] == measure) & (table["statistic"] == statistic)]
    return (here[here["target"] == target] if "target" in here else here).iloc[0]


def test_regret_is_charged_against_the_best_source_even_if_the_measure_cannot_see_it():
    results, similarity = drawn_tables(0, missing=False)
    best = results.groupby(["target", "source"])["auc"].mean().groupby("target").idxmax()
    blind = similarity[~similarity.set_index(["target", "source"]).index.isin(best)]
    table = related(results, blind)
    means = results.groupby(["target", "source"])["auc"].mean()
    for target in results["target"].unique():
        of_target = blind[blind["target"] == target]
        chosen = of_target.loc[of_target["value"].idxmax(), "source"]
        want = means[target].max() - means[target, chosen]
        assert row(table, "m1", "regret", target)["value"] == pytest.approx(want)
        assert want > 0


@pytest.mark.parametrize("n_folds", [1, 3])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_every_interval_of_regret_contains_its_estimate(n_folds, n_targets):
    for seed in range(12):
        tables = drawn_tables(seed, n_measures=4, n_folds=n_folds, n_targets=n_targets, n_sources=2 + seed % 7)
        found = related(*tables, n_draws=100, seed=seed).query("statistic == 'regret'")
        has_interval = found["low"].notna()
        assert (has_interval == ((found["target"] == "all") & (n_targets > 1))).all()
        found = found[has_interval]
        assert ((found["low"] >= 0) & (found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()


def test_a_permutation_keeps_the_missing_pairs_and_a_source_s_results_together():
    results, similarity = drawn_tables(1)
    arranged = module.panel(results, similarity)
    drawn = resampling.sample(arranged.results, 300, 0)
    mask = ~np.isnan(arranged.values[0]) & ~np.isnan(arranged.results).all(axis=2)
    together = resampling.permuted(drawn, mask)
    for here, one in zip(mask, together, strict=True):
        assert (one.counts == here).all()
    # Two sources that ran on all targets and swap their places do so on all of them.
    complete = np.flatnonzero(mask.all(axis=0))
    values = np.stack([one.y[:, complete[0]] for one in together])
    known = np.stack([one.y[0] for one in drawn.observed])
    for source in complete:
        is_it = values[0] == known[0, source]
        assert is_it.any() and (values[:, is_it] == known[:, [source]]).all()


def test_undefined_permutations_do_not_count():
    observed = np.zeros((1, 1, 6, 1))
    observed[..., 0, 0] = 0.9
    extreme = np.full((1, 1, 6, 99), np.nan)
    extreme[..., 0, :9] = [1, 1, *[0.1] * 7]
    assert module._p(observed, extreme)[0, 0, 0] == pytest.approx((1 + 2) / (1 + 9))


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing pairs"])
def test_unrelated_tables_are_rejected_at_the_nominal_rate(missing):
    shares = []  # of the measures of a table, which share its AUCs
    for seed in range(60):
        arranged = module.panel(*drawn_tables(seed, n_measures=5, missing=missing))
        drawn = resampling.sample(arranged.results, 199, seed)
        observed = np.stack([resampling.values(x, drawn.observed)[-1] for x in arranged.values])
        found = module._p(observed, module._extremity(module._permuted(arranged, drawn)))
        shares.append((found[:, STATISTICS.index("spearman")] <= 0.05).mean())
    assert abs(np.mean(shares) - 0.05) < 3 * np.std(shares) / np.sqrt(len(shares)), np.mean(shares)


def test_a_measure_is_compared_with_a_rule_on_the_pairs_both_have_and_by_the_interval_of_the_difference():
    results, similarity = drawn_tables(2, n_folds=3, missing=False)
    twin = similarity.assign(measure="largest_source", value=similarity["value"] * 2)
    found = differences.against_rules(results, similarity, twin, evidence="test", n_draws=200)
    same = found[found["rule"] == "largest_source"]
    assert (same[["value", "low", "high"]] == 0).all(axis=None) and set(same["verdict"]) == {"open"}
    marginal = related(results, similarity, twin)
    assert (
        row(marginal, "m1", "spearman")["low"] < row(marginal, "m1", "spearman")["high"]
    )  # they are wide, and say nothing
    # A rule that lacks one source: the correlations use the other seven, regret charges both with the best of all eight.
    part = twin[twin["source"] != "s3"]
    one = differences.against_rules(results, similarity, part, evidence="test", n_draws=200)
    without = similarity[similarity["source"] != "s3"]
    here = one[(one["rule"] == "largest_source") & (one["statistic"] == "spearman")].iloc[0]
    assert (here["value"], here["n"]) == (0, 21)
    lost = one[(one["rule"] == "largest_source") & (one["statistic"] == "regret")].iloc[0]["value"]
    apart = [row(related(results, values), "m1", "regret")["value"] for values in (similarity, without)]
    assert lost == pytest.approx(apart[0] - apart[1])


def test_a_clearly_better_measure_is_better_in_the_difference():
    results, _ = drawn_tables(3, n_folds=3, missing=False)
    means = results.groupby(["source", "target"])["auc"].mean().rename("value").reset_index()
    truth = means.assign(measure="truth", larger_is_closer=True)
    wrong = truth.assign(measure="largest_source", value=-truth["value"])
    found = differences.against_rules(results, truth, wrong, evidence="test", n_draws=200)
    found = found[found["rule"] == "largest_source"].set_index("statistic")
    assert set(found["verdict"]) == {"better"}
    assert found.loc["spearman", "value"] == pytest.approx(2)
    assert found.loc["regret", "high"] < 0


def test_the_largest_source_is_imagenet_although_its_network_came_as_weights(tmp_path, monkeypatch):
    trained = {"parameters": {"weights": "keras", "backbone": "resnet50"}, "n_parameters": 100}
    monkeypatch.setattr(similarity_tables.results, "record", lambda profile, key: trained)
    pairs = pd.DataFrame({"source": ["imagenet", "dtd"], "target": "chest"})
    facts = similarity_tables.facts_of_sources("demo", pairs)
    aucs = pairs.assign(mode="fine_tune", auc=[0.9, 0.8])
    rules = similarity_tables.baselines(aucs, facts, pairs.assign(measure="m", value=0.0, larger_is_closer=True))
    best = rules.loc[rules.groupby("measure")["value"].idxmax()].set_index("measure")["source"]
    assert best[["largest_source", "most_classes"]].tolist() == ["imagenet", "imagenet"]
    assert facts.set_index("source").loc["imagenet", ["n_images", "n_classes"]].tolist() == [1281167, 1000]
    assert "largest_network" not in set(rules["measure"])  # they are one network
    assert "largest_network" in similarity_tables.ABSENT


def test_the_best_source_elsewhere_is_that_of_the_other_targets():
    aucs = {
        ("a", "t"): 0.9,
        ("b", "t"): 0.5,
        ("a", "u"): 0.2,
        ("b", "u"): 0.6,
        ("a", "v"): 0.6,
        ("b", "v"): 0.5,
        ("c", "v"): 0.7,
    }
    results = pd.DataFrame([(*pair, auc) for pair, auc in aucs.items()], columns=["source", "target", "auc"])
    found = similarity_tables.best_elsewhere(results).set_index(["source", "target"])["value"]
    assert found["a", "t"] == pytest.approx((-0.2 + 0.0) / 2)  # -.2 on u, 0 on v, where the mean is .6
    assert found["b", "u"] == pytest.approx((-0.2 - 0.1) / 2)
    assert "c" not in found.index.get_level_values("source")  # it ran on one target only


def test_the_detectable_correlation_agrees_with_the_textbook_and_falls_with_targets():
    # Pearson's r of 29 pairs has 80 % power at .5 (Cohen 1988, table 3.3.5, two-sided 5 %).
    assert limits.detectable([29], "pearson", alike=True) == pytest.approx(0.5, abs=0.03)
    apart, alike = (limits.detectable([8] * 3, "spearman", alike=alike) for alike in (False, True))
    assert apart < alike == limits.detectable([8], "spearman", alike=True)
    assert np.isnan(limits.detectable([3], "spearman", alike=True))  # six orders: no p below .05
    assert np.isnan(limits.detectable([8], "regret", alike=True))


def test_the_ceiling_is_that_of_known_noise():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 20, 1))
    for noise in (0.5, 2.0):
        reliability, ceiling = limits.ceiling(truth + noise * rng.normal(size=(60, 20, 4)), "pearson", n_splits=6)
        assert reliability == pytest.approx(1 / (1 + noise**2 / 4), abs=0.05)  # of a mean of four
        assert ceiling == pytest.approx(np.sqrt(reliability))
    assert limits.ceiling(rng.normal(size=(60, 20, 4)), "spearman", n_splits=6)[1] < 0.25
    assert np.isnan(limits.ceiling(truth, "spearman")).all()


def test_repeats_are_seeds_where_there_is_one_fold():
    results, similarity = drawn_tables(0)
    seeds = pd.concat([results, results.assign(seed=1, auc=results["auc"] + 0.001)])
    found = limits.limits(seeds, similarity, "spearman").iloc[0]
    assert (found["repeats"], found["n_repeats"], found["n_sources"], found["n_targets"]) == ("seeds", 2, 7, 3)
    assert found["ceiling"] == pytest.approx(1)


def odd(kind):
    results, similarity = drawn_tables(0, n_folds=2)
    if kind == "target without values":
        similarity = similarity[similarity["target"] != "s1"]
    elif kind == "one source":
        results, similarity = (table[table["source"] == "s5"] for table in (results, similarity))
    elif kind == "one fold":
        results = results[results["fold"] == 0]
    elif kind == "all AUCs equal":
        results = results.assign(auc=0.5)
    elif kind == "NaN AUCs":
        results = results.assign(auc=results["auc"].where(results["source"] != "s3"))
    elif kind == "a target of NaN":
        results = results.assign(auc=results["auc"].where(results["target"] != "s1"))
    elif kind == "NaN values":
        similarity = similarity.assign(value=similarity["value"].where(similarity["source"] != "s3"))
    elif kind == "no result":
        results = results.iloc[:0]
    elif kind == "no measure":
        similarity = similarity.iloc[:0]
    return results, similarity


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "n_all", "rho", "regret"),
    [
        ("target without values", 14, True, True), ("one source", None, False, False), ("one fold", 21, True, True),
        ("all AUCs equal", 21, False, True), ("NaN AUCs", 18, True, True), ("a target of NaN", 14, True, True),
        ("NaN values", 18, True, True), ("no result", None, False, False), ("no measure", None, False, False),
    ],
)  # fmt: skip
def test_an_unusual_table_has_a_stated_result(kind, n_all, rho, regret):
    results, similarity = odd(kind)
    rules = similarity_tables.baselines(results, pd.DataFrame(columns=["source"]), similarity)
    table = related(results, similarity, rules, n_draws=100)
    against = differences.against_rules(results, similarity, rules, evidence="test", n_draws=100)
    found = limits.limits(results, similarity, "spearman")
    table = table[table["kind"] == "measure"]
    if kind == "one source":  # three targets, one pair each: regret 0, nothing to rank
        assert table["value"].fillna(0).eq(0).all()
    elif n_all is None:
        assert table.empty and against.empty
    else:
        assert row(table, "m1", "spearman")["n"] == n_all and len(found) == 1
        assert np.isfinite(row(table, "m1", "spearman")["value"]) == rho
        assert np.isfinite(row(table, "m1", "regret")["value"]) == regret
        assert not against.empty
