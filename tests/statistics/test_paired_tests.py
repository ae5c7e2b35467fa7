from itertools import permutations, product

import numpy as np
import pytest
from reference import needs_reference, vectors
from scipy import stats

from catscans_lib.statistics.paired_tests import (
    critical_difference,
    friedman,
    holm,
    nadeau_bengio,
)

EXAMPLES = ("friedman_3_targets", "friedman_folds_isic2018")


def difference(pair):
    return np.subtract(pair["a"]["auc"], pair["b"]["auc"])


@needs_reference
@pytest.mark.parametrize("number", range(5))
def test_corrected_t_tests_on_published_aucs_agree_with_the_reference(number):
    pair = vectors()["nadeau_bengio"][number]
    found = nadeau_bengio(difference(pair), pair["test_train_ratio"])
    assert (found.low + found.high) / 2 == pytest.approx(pair["mean_difference"], abs=1e-14)
    assert found.t == pytest.approx(pair["t"], rel=1e-9)
    assert found.p == pytest.approx(pair["p_two_sided"], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(pair["ci95"], abs=1e-12)


@needs_reference
@pytest.mark.parametrize("example", EXAMPLES)
def test_friedman_agrees_with_the_reference(example):
    want = vectors()[example]
    found = friedman(want["matrix"])
    assert found.mean_ranks == pytest.approx([want["mean_ranks"][name] for name in want["sources"]])


@needs_reference
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_critical_difference_agrees_with_the_reference(example):
    want = vectors()[example]
    found = critical_difference(*np.shape(want["matrix"]))
    assert found == pytest.approx(want["critical_difference"]["0.05"], rel=1e-6)


@needs_reference
def test_friedman_s_p_of_the_published_table_is_that_of_its_permutations():
    found = friedman(vectors()["friedman_3_targets"]["matrix"])
    # 26,170 of 2,000,000 random permutations reach chi2 = 13, and 1.5 % the next lower value; chi-squared gives .043
    assert found.p == pytest.approx(0.013085, abs=4 * np.sqrt(0.013 / 1e5))


@pytest.mark.parametrize("seed", range(6))
def test_friedman_s_p_is_that_of_all_permutations(seed):
    matrix = np.random.default_rng(seed).integers(0, (3, 9)[seed % 2], (3, 4)) / 10  # with and without many ties
    ranks = stats.rankdata(-matrix, axis=1)
    orders = [list(permutations(row)) for row in ranks]
    spread = [np.var(np.sum(rows, axis=0)) for rows in product(*orders)]
    expected = np.mean(np.array(spread) >= ranks.sum(axis=0).var() - 1e-9)
    assert friedman(matrix, n_draws=20_000).p == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 20_000))


def test_friedman_s_random_permutations_never_give_p_0_and_repeat_with_their_seed():
    matrix = np.tile(np.linspace(0.5, 0.9, 5), (12, 1))
    found = friedman(matrix, n_draws=999)
    assert found.p == 1 / 1000
    noise = np.random.default_rng(0).random((12, 5))
    assert friedman(noise, n_draws=99).p == friedman(noise, n_draws=99).p


def test_friedman_rejects_5_percent_of_tables_without_a_difference():
    rng = np.random.default_rng(0)
    p = np.array([friedman(rng.random((3, 5)), n_draws=2000).p for _ in range(400)])
    assert 0.02 <= (p <= 0.05).mean() <= 0.075  # p takes few values, so at most 5 % are expected


def test_identical_rankings_of_all_blocks_are_rare():
    found = friedman([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])
    assert found.p == pytest.approx(1 / 6, abs=5e-3)  # the second block has 3! orders
    assert friedman([[0.9, 0.7, 0.7]] * 3).p == pytest.approx(1 / 9, abs=5e-3)  # 3 orders with one tie, twice


def test_constant_blocks_show_no_difference():
    found = friedman(np.full((3, 4), 0.8))
    assert found.p == 1
    assert found.mean_ranks.tolist() == [2.5] * 4


def test_the_critical_difference_of_demsar_s_example_is_reproduced():
    # Demsar (2006), section 3.2.5: q = 2.569 and CD = 1.25
    assert critical_difference(14, 4) == pytest.approx(1.25, abs=5e-3)


def test_zero_differences_have_p_1():
    found = nadeau_bengio(np.zeros(5), 0.25)
    assert (found.t, found.p) == (0, 1)
    assert np.isnan([found.low, found.high]).all()
    assert nadeau_bengio(np.array([0.3, 0.3, 0.3]) - (0.1 + 0.2), 0.5).p == 1  # zero but for floating point


def test_constant_differences_have_no_p():
    found = nadeau_bengio([0.1, 0.1, 0.1], 0.5)
    assert np.isnan([found.t, found.p, found.low, found.high]).all()


def test_a_small_test_share_turns_the_corrected_into_the_plain_t_test():
    values = np.random.default_rng(0).normal(0.5, 1, 10)
    want = stats.ttest_1samp(values, 0)
    found = nadeau_bengio(values, 1e-12, 0.9)
    assert (found.t, found.p) == pytest.approx((want.statistic, want.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(want.confidence_interval(0.9)))


@pytest.mark.parametrize("value", [0.42, 0.0, -0.42])
def test_without_variance_nothing_is_certain(value):
    assert nadeau_bengio([value] * 4, 1 / 3).p == (1 if value == 0 else pytest.approx(np.nan, nan_ok=True))


def test_holm_agrees_with_a_hand_calculation():
    # sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, which must not fall below .06
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1, 1])


def test_holm_leaves_missing_tests_out_of_the_family():
    np.testing.assert_allclose(holm([np.nan, 0.01, 0.04, np.nan]), [np.nan, 0.02, 0.04, np.nan])
    assert holm([]).shape == (0,)


def test_many_comparisons_at_once_agree_with_single_ones():
    rng = np.random.default_rng(0)
    tied = rng.integers(-2, 3, (20, 5)) / 10
    differences = np.concatenate([rng.normal(0.1, 0.2, (20, 5)), tied, np.zeros((1, 5)), np.full((1, 5), 0.3)])
    at_once = np.column_stack(np.broadcast_arrays(*nadeau_bengio(differences, 0.25)))
    one_by_one = np.array([nadeau_bengio(one, 0.25) for one in differences])
    np.testing.assert_allclose(at_once, one_by_one, rtol=0, atol=1e-13)
