import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from reference import needs_reference
from scipy import special

from catscans_lib.statistics import bootstrap
from catscans_lib.statistics.metrics import AVERAGES, auc

TWO, THREE = ("no", "yes"), ("a", "b", "c")


def two_classes(n=120, n_groups=30, seed=0):
    """Labels, scores with ties, and groups of several images."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(TWO, n)
    yes = np.clip(0.5 + 0.2 * (labels == "yes") + rng.normal(0, 0.3, n), 0, 1).round(1)
    return labels, np.stack([1 - yes, yes], axis=1), rng.integers(n_groups, size=n)


def three_classes(n=90, n_groups=25):
    rng = np.random.default_rng(1)
    scores = rng.integers(1, 5, (n, 3)).astype(float)
    labels = rng.choice(THREE, n, p=[0.5, 0.3, 0.2])
    return labels, scores / scores.sum(axis=1, keepdims=True), rng.integers(n_groups, size=n)


def drawn_rows(groups, n_draws, seed):
    """Rows of each draw, repeated as often as their group is drawn."""
    rng, groups = np.random.default_rng(seed), groups.astype(str)
    names = np.unique(groups)
    for _ in range(n_draws):
        yield np.concatenate([np.flatnonzero(groups == names[k]) for k in rng.integers(len(names), size=len(names))])


@pytest.mark.parametrize("average", AVERAGES)
def test_each_draw_equals_the_auc_of_the_repeated_rows_or_is_nan_without_one_of_three_classes(average):
    labels, scores, groups = three_classes(n=16, n_groups=8)
    got = bootstrap.auc_draws(labels, [scores], THREE, groups, n_draws=200, seed=5, average=average)[0]
    drawn = list(drawn_rows(groups, 200, 5))
    lacks = np.array([len(np.unique(labels[rows])) < 3 for rows in drawn])
    want = [auc(labels[rows], scores[rows], THREE, average) for rows in drawn]
    assert 0 < lacks.sum() < 200
    np.testing.assert_allclose(got, np.where(lacks, np.nan, want), rtol=0, atol=1e-12)


def test_draws_depend_neither_on_other_tables_nor_on_block_size_nor_on_the_order_of_the_rows(monkeypatch):
    labels, scores, groups = three_classes()
    order, given = np.random.default_rng(0).permutation(len(labels)), {"n_draws": 40, "seed": 5}
    tables = np.stack([scores, scores[:, [1, 0, 2]]])
    alone = [bootstrap.auc_draws(labels, [one], THREE, groups, **given)[0] for one in tables]
    np.testing.assert_array_equal(bootstrap.auc_draws(labels, tables, THREE, groups, **given), alone)
    shuffled = bootstrap.auc_draws(labels[order], tables[:, order], THREE, groups[order], **given)
    np.testing.assert_allclose(shuffled, alone, rtol=0, atol=1e-14)
    monkeypatch.setattr(bootstrap, "CELLS", 1)
    np.testing.assert_array_equal(bootstrap.auc_draws(labels, tables, THREE, groups, **given), alone)


@needs_reference
def test_draws_of_single_images_spread_and_correlate_as_delong_s_covariance_of_three_models_says():
    data = reference.vectors()
    given, names = data["binary"], ("score_1", "score_2", "score_3_with_ties")
    scores = special.expit([given[name] for name in names])  # keeps the order, so the AUCs
    tables, labels = np.stack([1 - scores, scores], axis=2), np.where(given["y"], "yes", "no")
    draws = bootstrap.auc_draws(labels, tables, TWO, np.arange(len(labels)), n_draws=8000, seed=0)
    want = np.array(data["delong"]["covariance"])
    np.testing.assert_allclose(np.cov(draws), want, rtol=0, atol=0.1 * want.max())
    np.testing.assert_allclose(draws.mean(axis=1), [given["auc"][name] for name in names], rtol=0, atol=3e-3)


def test_the_example_of_the_chapter_of_methods_prints_the_intervals_and_the_test_of_a_table_of_predictions(
    tmp_path, monkeypatch, capsys
):
    chapter = (Path(__file__).parents[2] / "book/methods.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", chapter, flags=re.M | re.S)
    labels, scores, patients = two_classes()
    table = pd.DataFrame({"y": labels, "patient": patients, "score": scores[:, 1], "other": scores[::-1, 1]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    better, other = bootstrap.auc_draws(labels, [scores, scores[::-1]], TWO, patients, n_draws=2000, seed=0)
    low, high = bootstrap.interval(better - other)
    assert 0 < low < high
    want = f"{bootstrap.interval(better)}\n({low}, {high}) {bootstrap.p_value(better - other)}\n"
    assert capsys.readouterr().out == want


def test_a_draw_without_a_class_is_nan_as_often_as_it_should_be():
    labels, groups = np.array(["no", "no", "yes"]), np.arange(3)
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    draws = bootstrap.auc_draws(labels, [scores], TWO, groups, n_draws=5000, seed=0)
    lacks = (2 / 3) ** 3 + (1 / 3) ** 3  # no "yes", or nothing but "yes"
    assert np.isnan(draws).mean() == pytest.approx(lacks, abs=0.02)
    assert set(np.unique(draws[~np.isnan(draws)])) == {0.0, 0.5, 1.0}


def test_a_class_that_no_image_has_is_left_out_of_every_draw():
    labels, scores, groups = three_classes()
    rows = labels != "c"
    draws = bootstrap.auc_draws(labels[rows], [scores[rows]], THREE, groups[rows], n_draws=300, seed=0)
    assert not np.isnan(draws).any()
    assert draws.mean() == pytest.approx(auc(labels[rows], scores[rows], THREE), abs=0.02)


def test_an_interval_consists_of_percentiles_and_ignores_nan():
    draws = np.append(np.arange(101) / 100, [np.nan] * 50)
    assert bootstrap.interval(draws, 0.9) == pytest.approx((0.05, 0.95))
    assert np.isnan(bootstrap.interval([np.nan, np.nan])).all()
    with pytest.raises(ValueError, match="range"):
        bootstrap.interval(draws, 95)


def test_many_intervals_and_p_values_at_once_agree_with_single_ones():
    draws = np.random.default_rng(0).normal(0.1, 0.2, (4, 60))
    draws[1, :7], draws[2], draws[3, ::2] = np.nan, np.nan, 0
    low, high = bootstrap.interval(draws)
    np.testing.assert_array_equal(np.stack([low, high], axis=1), [bootstrap.interval(one) for one in draws])
    np.testing.assert_array_equal(bootstrap.p_value(draws), [bootstrap.p_value(one) for one in draws])
    assert np.isnan([low[2], high[2], bootstrap.p_value(draws)[2]]).all() and not np.isnan(low[[0, 1, 3]]).any()


def test_a_p_value_is_twice_the_smaller_share_and_never_0():
    assert bootstrap.p_value([-1, 1, 1, 1, 1, 1, 1, 1, 1]) == pytest.approx(2 * 2 / 10)
    assert bootstrap.p_value(np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap.p_value(np.zeros(10)) == 1
    assert bootstrap.p_value([1, 1, 1, np.nan]) == pytest.approx(2 / 4)
    assert np.isnan(bootstrap.p_value([np.nan]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"groups": ["p1"] * 4}, "at least two groups; all images belong to 'p1'"),
        ({"groups": ["p1", "p2", None, "p3"]}, "1 images have no group"),
        ({"labels": ["no"] * 4}, "images of two classes"),
        ({"average": "mean"}, "Unknown average 'mean'"),
    ],
)
def test_invalid_input_raises_an_error_that_names_the_problem(changed, message):
    given = {
        "labels": ["no", "no", "yes", "yes"],
        "scores": np.full((1, 4, 2), 0.5),
        "classes": TWO,
        "groups": list("pqrs"),
    }
    with pytest.raises(ValueError, match=message):
        bootstrap.auc_draws(**given | {"seed": 0} | changed)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_draws_are_the_same_bits_in_both_number_formats(classes, monkeypatch):
    rng = np.random.default_rng(0)
    labels, groups = np.array(classes)[np.arange(120) % len(classes)], (np.arange(120) // 3).astype(str)
    scores = rng.random((4, 120, len(classes))).round(1) + 0.01  # with ties
    scores /= scores.sum(axis=2, keepdims=True)
    fast = bootstrap.auc_draws(labels, scores, classes, groups, n_draws=300, seed=1)
    monkeypatch.setattr(bootstrap, "EXACT", 0)
    np.testing.assert_array_equal(bootstrap.auc_draws(labels, scores, classes, groups, n_draws=300, seed=1), fast)
