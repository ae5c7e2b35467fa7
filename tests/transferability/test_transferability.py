"""Statistics of measures against AUCs: hand calculations, SciPy, what chance gives, and what is missing."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib import figures
from catscans_lib.statistics import ranks
from catscans_lib.statistics.ranks import STATISTICS
from catscans_lib.transferability import associations, similarity_tables

AUCS = {"imagenet": 0.9, "dtd": 0.8, "stl10": 0.7, "kimia960": 0.6}
NO_FACTS = pd.DataFrame(columns=["source"])


def results(aucs=AUCS, targets=("chest",), folds=(1,), **keys):
    rows = [(source, target, fold, auc) for source, auc in aucs.items() for target in targets for fold in folds]
    table = pd.DataFrame(rows, columns=["source", "target", "fold", "auc"])
    return table.assign(**({"mode": "fine_tune", "seed": 0} | keys))


def measure(values, name="m", targets=("chest",), larger_is_closer=True):
    rows = [(source, target, name, value) for source, value in values.items() for target in targets]
    table = pd.DataFrame(rows, columns=["source", "target", "measure", "value"])
    return table.assign(larger_is_closer=larger_is_closer)


def related(*tables, n_draws=200, **options):
    return associations.associations(*tables, evidence="test", n_draws=n_draws, **options)


def value_of(table, statistic, column="value", **keys):
    here = table[table["statistic"] == statistic]
    over_all = column in ("low", "high", "p", "p_max")  # which single targets do not have
    for key, wanted in ({"target": "all" if over_all else "chest", "measure": "m"} | keys).items():
        here = here[here[key] == wanted]
    assert len(here) == 1
    return here[column].iloc[0]


def random_tables(n_measures=3):
    rng, targets, names = np.random.default_rng(0), ("chest", "isic2018"), [f"s{number}" for number in range(8)]
    aucs = pd.concat([results({s: rng.random() for s in names}, [t], [f]) for t in targets for f in range(3)])
    tables = [measure({s: rng.random() for s in names}, f"m{n}", [t]) for t in targets for n in range(n_measures)]
    return aucs, pd.concat(tables, ignore_index=True)


def test_a_measure_with_two_sources_swapped_agrees_with_a_hand_calculation():
    swapped = {"imagenet": 3.0, "dtd": 4.0, "stl10": 2.0, "kimia960": 1.0}
    table = related(results(), measure(swapped))
    assert value_of(table, "pearson") == pytest.approx(0.8)  # ranks 4 3 2 1 against 3 4 2 1: 1 - 6 * 2 / (4 * 15)
    assert value_of(table, "spearman") == pytest.approx(0.8)
    assert value_of(table, "kendall") == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert value_of(table, "accuracy") == pytest.approx(5 / 6)
    assert value_of(table, "regret") == pytest.approx(0.1)  # it takes dtd
    assert value_of(table, "regret", "n") == 4


@pytest.mark.parametrize("seed", range(40))
def test_statistics_of_sources_drawn_with_replacement_agree_with_scipy_on_the_copied_sources(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 10)
    x, y, counts = rng.integers(0, 5, n).astype(float), rng.integers(0, 6, n) / 7, rng.multinomial(n, np.ones(n) / n)
    found = dict(zip(STATISTICS, ranks.on_target(x, ranks.draws(y[None], counts[None])).values, strict=True))
    a, b = np.repeat(x, counts), np.repeat(y, counts)
    assert found["regret"] == pytest.approx(b.max() - b[a == a.max()].mean())
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert all(np.isnan(found[name]) for name in STATISTICS[:3])
    else:
        assert found["pearson"] == pytest.approx(stats.pearsonr(a, b).statistic)
        assert found["spearman"] == pytest.approx(stats.spearmanr(a, b).statistic)
        assert found["kendall"] == pytest.approx(stats.kendalltau(a, b).statistic)


@pytest.mark.parametrize("sign", [1, -1], ids=["similarity", "distance"])
def test_a_perfect_measure_has_no_regret_and_ranks_every_pair_correctly(sign):
    targets = ("chest", "isic2018")
    values = measure({s: sign * auc for s, auc in AUCS.items()}, targets=targets, larger_is_closer=sign > 0)
    table = related(results(targets=targets, folds=(1, 2)), values)
    assert [value_of(table, name) for name in STATISTICS] == pytest.approx([1, 1, 1, 0, 1])
    assert value_of(table, "regret", "low") == value_of(table, "regret", "high") == 0


def test_a_constant_measure_has_no_correlation_and_the_regret_of_its_ties():
    table = related(results(), measure(dict.fromkeys(AUCS, 2.0)))
    assert all(np.isnan(value_of(table, name)) for name in STATISTICS[:3])
    assert np.isnan(value_of(table, "kendall", "p"))
    assert value_of(table, "regret") == pytest.approx(0.9 - 0.75)
    assert value_of(table, "accuracy") == 0.5


def test_a_measure_that_is_constant_but_for_rounding_gets_no_correlation():
    scores = {source: 2.0 + n * 1e-15 for n, source in enumerate(AUCS)}
    assert len(set(scores.values())) > 1
    table = related(results(), measure(scores))
    assert all(np.isnan(value_of(table, name)) for name in STATISTICS[:3])
    assert value_of(table, "regret") == pytest.approx(0.9 - 0.75)
    assert (similarity_tables.ranks(measure(scores), ["m"])["rank"] == 2.5).all()


def test_aucs_that_differ_by_rounding_are_ties():
    aucs = {"imagenet": 0.9, "dtd": 0.9 - 1e-15, "stl10": 0.9 + 1e-15, "kimia960": 0.6}
    scores = dict(zip(AUCS, (1.0, 2.0, 3.0, 0.0), strict=True))
    table = related(results(aucs), measure(scores))
    assert value_of(table, "accuracy") == 1.0  # of the three pairs that differ
    assert value_of(table, "kendall") == pytest.approx(stats.kendalltau([3, 3, 3, 0], [1, 2, 3, 0]).statistic)


def test_pairs_of_sources_with_the_same_auc_do_not_count():
    table = related(results({"a": 0.9, "b": 0.9, "c": 0.5}), measure({"a": 2.0, "b": 1.0, "c": 0.0}))
    assert value_of(table, "accuracy") == 1
    assert value_of(table, "regret") == 0


def test_a_source_without_a_value_costs_its_regret_and_one_without_an_auc_is_left_out():
    aucs = results({"imagenet": 0.9, "dtd": 0.8, "stl10": 0.7})
    table = related(aucs, measure({"dtd": 1.0, "stl10": 2.0, "kimia960": 9.0}))
    assert value_of(table, "regret", "n") == 2
    assert value_of(table, "regret") == pytest.approx(0.2)  # it takes stl10 and cannot see imagenet
    assert value_of(table, "kendall") == -1
    assert related(aucs, measure({"dtd": 1.0})).empty  # one source has no order


def test_random_weights_and_their_longer_budget_are_no_sources():
    longer = results({"none": 0.99}, mode="fine_tune_long")
    table = related(pd.concat([results({"none": 0.99} | AUCS), longer]), measure(AUCS | {"none": 0.0}))
    assert value_of(table, "regret", "n") == 4
    assert set(table["mode"]) == {"fine_tune"}


def test_over_targets_only_differences_within_a_target_count():
    easy = results({source: auc - 0.4 for source, auc in AUCS.items()}, ["isic2018"])
    values = pd.concat([measure(AUCS), measure({s: auc - 9 for s, auc in AUCS.items()}, targets=["isic2018"])])
    table = related(pd.concat([results(), easy]), values)
    assert [value_of(table, name, target="all") for name in STATISTICS] == pytest.approx([1, 1, 1, 0, 1])
    assert value_of(table, "kendall", "n", target="all") == 8


def test_over_targets_pearson_is_that_of_centred_values_and_kendall_a_mean():
    aucs, similarity = random_tables()
    table = related(aucs, similarity)
    both = similarity[similarity["measure"] == "m0"].set_index(["source", "target"])["value"]
    means = aucs.groupby(["source", "target"])["auc"].mean().to_frame().join(both)
    centred = means - means.groupby("target").transform("mean")
    want = stats.pearsonr(centred["value"], centred["auc"]).statistic
    assert value_of(table, "pearson", target="all", measure="m0") == pytest.approx(want)
    taus = [stats.kendalltau(part["value"], part["auc"]).statistic for _, part in means.groupby("target")]
    assert value_of(table, "kendall", target="all", measure="m0") == pytest.approx(np.mean(taus))


def test_seeds_are_averaged_within_a_fold_and_folds_within_a_source():
    aucs = results({"a": 0.5, "b": 0.6})
    aucs = pd.concat([aucs, results({"a": 0.9, "b": 0.6}, seed=1), results({"a": 0.7, "b": 0.8}, folds=[2])])
    found = associations.panel(aucs, measure({"a": 1.0, "b": 2.0}))
    np.testing.assert_allclose(found.results, [[[0.7, 0.7], [0.6, 0.8]]])


def test_a_shuffled_measure_is_at_chance_and_its_p_values_are_spread_evenly():
    rng = np.random.default_rng(0)
    names = [f"s{number}" for number in range(7)]
    aucs = results({name: rng.random() for name in names})
    shuffled = [
        measure(dict(zip(names, rng.permutation(7.0 + np.arange(7)), strict=True)), f"m{n}") for n in range(200)
    ]
    table = related(aucs, pd.concat(shuffled, ignore_index=True), n_draws=500)
    of = {name: part for name, part in table[table["target"] == "all"].groupby("statistic")}
    assert of["kendall"]["value"].mean() == pytest.approx(0, abs=0.06)
    assert of["accuracy"]["value"].mean() == pytest.approx(0.5, abs=0.03)
    expected = aucs["auc"].max() - aucs["auc"].mean()
    assert of["regret"]["value"].mean() == pytest.approx(expected, abs=0.05)
    assert (of["pearson"]["p"] < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert stats.kstest(of["pearson"]["p"], "uniform").pvalue > 0.01


def test_the_permutation_p_of_few_sources_is_the_share_of_all_orders():
    table = related(results({"a": 3.0, "b": 2.0, "c": 1.0}), measure({"a": 3.0, "b": 2.0, "c": 1.0}), n_draws=20000)
    assert value_of(table, "kendall", "p") == pytest.approx(2 / 6, abs=0.015)  # two of six orders have |tau| = 1
    assert value_of(table, "regret", "p") == pytest.approx(2 / 6, abs=0.015)  # the best stands first


def test_trying_more_measures_raises_p_and_copies_of_one_measure_count_once_for_the_maximum():
    rng = np.random.default_rng(3)
    names = [f"s{number}" for number in range(9)]
    aucs = results({name: place for place, name in enumerate(names)})
    good = dict(zip(names, np.arange(9) + rng.normal(0, 3, 9), strict=True))
    copies = related(aucs, pd.concat([measure(good, f"m{n}") for n in range(6)]), n_draws=2000)
    p = value_of(copies, "pearson", "p", measure="m0")
    assert value_of(copies, "pearson", "p_max", measure="m0") == p
    others = [measure(dict(zip(names, rng.random(9), strict=True)), f"o{n}") for n in range(5)]
    tried = related(aucs, pd.concat([measure(good), *others]), n_draws=2000)
    assert value_of(tried, "pearson", "p_max") > value_of(tried, "pearson", "p")


def test_simple_rules_are_not_corrected_for_and_do_not_count_as_tried():
    aucs, similarity = random_tables(n_measures=1)
    alone = related(aucs, similarity)
    table = related(aucs, similarity, similarity_tables.baselines(aucs, NO_FACTS, similarity))
    assert set(table.loc[table["kind"] == "baseline", "measure"]) == {"best_elsewhere", "random"}
    assert table.loc[table["kind"] == "baseline", "p_max"].isna().all()
    measures = table[table["kind"] == "measure"].reset_index(drop=True)
    pd.testing.assert_frame_equal(measures, alone.reset_index(drop=True))


def test_a_source_that_is_good_everywhere_counts_once():
    targets = [f"t{number}" for number in range(8)]
    aucs = results(AUCS, targets)
    values = measure({"imagenet": 1.0, "dtd": 0.0, "stl10": 0.0, "kimia960": 0.0}, targets=targets)
    assert value_of(related(aucs, values, n_draws=2000), "regret", "p", target="all") == pytest.approx(1 / 4, abs=0.04)


def test_draws_are_the_same_with_the_same_seed_and_intervals_hold_the_value():
    tables = random_tables()
    one, again, other = (related(*tables, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert not one["low"].equals(other["low"])
    kendall = one[(one["statistic"] == "kendall") & (one["target"] == "all")]
    assert one.loc[one["target"] != "all", ["low", "high", "p"]].isna().all(axis=None)
    assert (kendall["low"] < kendall["value"]).all()
    assert (kendall["value"] < kendall["high"]).all()


def test_folds_are_drawn_too():
    rng = np.random.default_rng(0)
    aucs = pd.concat([results({"a": rng.random(), "b": rng.random()}, folds=[fold]) for fold in range(5)])
    counts = ranks.draws(np.array([[0.4, 0.6]]), np.array([[1, 1]]))
    assert ranks.on_target(np.array([1.0, 0.0]), counts).values[STATISTICS.index("regret")] == pytest.approx(0.2)
    table = related(aucs, measure({"a": 1.0, "b": 0.0}))
    assert (value_of(table, "kendall", "low"), value_of(table, "kendall", "high")) == (-1, 1)


def test_every_rule_chooses_the_source_that_its_name_says():
    facts = {"n_images": [9, 99, 3, np.nan], "n_classes": [1000, 47, 10, 20]}
    sources = pd.DataFrame({"source": list(AUCS)} | facts | {"n_parameters": [2, 1, 3, 1]})
    probe = results({"imagenet": 0.5, "dtd": 0.9, "stl10": 0.6}, mode="linear_probe")
    both = pd.concat([results(), probe])
    named = zip(("logme", "leep", "n_leep", "parc"), ("dtd", "dtd", "stl10", "imagenet"), strict=True)
    scores = pd.concat([measure({s: float(s == best) for s in AUCS}, name) for name, best in named])
    rules = similarity_tables.baselines(both, sources, scores)
    elsewhere = {"declared_share", "best_elsewhere"}  # of the demo; needs a second target
    assert set(rules["measure"]) == set(similarity_tables.BASELINES) - elsewhere
    best = rules.loc[rules.groupby("measure")["value"].idxmax()].set_index("measure")["source"]
    assert best.drop("random").to_dict() == {
        "always_imagenet": "imagenet", "largest_source": "dtd", "most_classes": "imagenet",
        "linear_probe": "dtd", "largest_network": "stl10", "mean_of_three": "dtd",
    }  # fmt: skip
    table = related(both, measure(AUCS), rules)
    assert value_of(table[table["mode"] == "fine_tune"], "regret", measure="linear_probe") == pytest.approx(0.1)
    assert "linear_probe" not in set(table.loc[table["mode"] == "linear_probe", "measure"])  # it would predict itself
    assert value_of(table[table["mode"] == "fine_tune"], "regret", measure="random") == pytest.approx(0.15)


def test_a_measure_is_judged_at_each_size_and_the_largest_of_every_target_is_called_all():
    few = dict(zip(AUCS, (0.6, 0.8, 0.7, 0.5), strict=True))
    tables = [results(few, n_train=20), results(n_train=80), results(few, ("isic2018",), n_train=20)]
    tables.append(results(targets=("isic2018",), n_train=300))
    found = associations.by_size(pd.concat(tables), measure(AUCS, targets=("chest", "isic2018")), n_draws=50)
    found = found.set_index("size")
    assert found["value"].to_dict() == {
        "20": pytest.approx(stats.kendalltau(list(few.values()), list(AUCS.values()))[0]),
        "all": 1,
    }
    assert found["n_targets"].tolist() == [2, 2] and found["n"].tolist() == [8, 8]
    assert associations.by_size(pd.concat(tables).iloc[:0], None, n_draws=1).empty


def test_probes_do_not_predict_the_mode_that_they_are():
    aucs = pd.concat([results(), results(mode="linear_probe")])
    measures = pd.concat([measure(AUCS, name) for name in ("m", "linear_probe_auc")])
    table = related(aucs, measures, similarity_tables.baselines(aucs, NO_FACTS, measures))
    probes = table[table["measure"].str.startswith("linear_probe")].groupby("mode")["measure"].nunique()
    assert probes.to_dict() == {"fine_tune": 2}
    assert set(table.loc[table["mode"] == "linear_probe", "measure"]) == {"m", "always_imagenet", "random"}


def test_seeds_of_a_measure_are_averaged():
    seeds = pd.concat([measure({s: v + n for s, v in AUCS.items()}).assign(probe="dtd", seed=n) for n in (0, 1)])
    assert associations.panel(results(), seeds).values[0, 0].tolist() == pytest.approx([1.4, 1.3, 1.2, 1.1])


@pytest.mark.filterwarnings("error")
def test_nothing_warns_on_degenerate_tables():
    related(results({"a": 0.5, "b": 0.5}), measure({"a": 1.0, "b": 1.0}))


def test_figures_show_every_source_measure_and_rule():
    figures.set_style()
    aucs, similarity = random_tables()
    axes = figures.measure_against_auc(aucs, similarity, "m0", titles={"m0": "My measure"})
    assert [ax.get_title(loc="left") for ax in axes] == ["chest (n = 8)", "isic2018 (n = 8)"]
    assert {text.get_text() for text in axes[0].texts} == {f"s{number}" for number in range(8)}
    table = related(aucs, similarity, similarity_tables.baselines(aucs, NO_FACTS, similarity))
    ax = figures.association_forest(table, n_draws=200, titles={})
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert set(labels) == {"m0", "m1", "m2", "best_elsewhere"}  # a random choice has no correlation
    assert "n = 16 pairs" in ax.get_xlabel()
    plt.close("all")


def test_a_distance_is_drawn_with_the_close_sources_on_the_right():
    axes = figures.measure_against_auc(results(), measure(AUCS, larger_is_closer=False), "m", titles={})
    assert axes[0].xaxis_inverted()
    plt.close("all")


def test_a_forest_without_any_value_is_drawn_empty():
    table = pd.DataFrame(
        {"statistic": "spearman", "target": "all", "measure": ["m"], "kind": "measure", "value": np.nan, "n": 1}
    ).assign(low=np.nan, high=np.nan)
    axes = figures.association_forest(table, n_draws=200, titles={})
    assert "n = 0 pairs" in axes.get_xlabel()
