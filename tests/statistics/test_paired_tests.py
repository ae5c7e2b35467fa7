from itertools import permutations, product

import numpy as np
import pytest
from reference import needs_reference, vectors
from scipy import stats

from catscans_lib.statistics.paired_tests import (
    holm,
    nadeau_bengio,
    skillings_mack,
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
def test_mean_ranks_without_missing_results_agree_with_the_reference(example):
    want = vectors()[example]
    found = skillings_mack(want["matrix"])
    assert found.mean_ranks == pytest.approx([want["mean_ranks"][name] for name in want["sources"]])


@needs_reference
def test_friedman_s_p_of_the_published_table_is_that_of_its_permutations():
    found = skillings_mack(vectors()["friedman_3_targets"]["matrix"])
    # 26,170 of 2,000,000 random permutations reach chi2 = 13, and 1.5 % the next lower value; chi-squared gives .043
    assert found.p == pytest.approx(0.013085, abs=4 * np.sqrt(0.013 / 2e4))


@pytest.mark.parametrize("seed", range(6))
def test_friedman_s_p_is_that_of_all_permutations(seed):
    matrix = np.random.default_rng(seed).integers(0, (3, 9)[seed % 2], (3, 4)) / 10  # with and without many ties
    ranks = stats.rankdata(-matrix, axis=1)
    orders = [list(permutations(row)) for row in ranks]
    spread = [np.var(np.sum(rows, axis=0)) for rows in product(*orders)]
    expected = np.mean(np.array(spread) >= ranks.sum(axis=0).var() - 1e-9)
    assert skillings_mack(matrix, n_draws=20_000).p == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 20_000))


def test_friedman_s_random_permutations_never_give_p_0_and_repeat_with_their_seed():
    matrix = np.tile(np.linspace(0.5, 0.9, 5), (12, 1))
    found = skillings_mack(matrix, n_draws=999)
    assert found.p == 1 / 1000
    noise = np.random.default_rng(0).random((12, 5))
    assert skillings_mack(noise, n_draws=99).p == skillings_mack(noise, n_draws=99).p


def test_friedman_rejects_5_percent_of_tables_without_a_difference():
    rng = np.random.default_rng(0)
    p = np.array([skillings_mack(rng.random((3, 5)), n_draws=2000).p for _ in range(400)])
    assert 0.02 <= (p <= 0.05).mean() <= 0.075  # p takes few values, so at most 5 % are expected


def test_identical_rankings_of_all_blocks_are_rare():
    found = skillings_mack([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])
    assert found.p == pytest.approx(1 / 6, abs=0.012)  # the second block has 3! orders
    assert skillings_mack([[0.9, 0.7, 0.7]] * 3).p == pytest.approx(1 / 9, abs=0.01)  # 3 orders with one tie, twice


def test_constant_blocks_show_no_difference():
    found = skillings_mack(np.full((3, 4), 0.8))
    assert found.p == 1
    assert found.mean_ranks.tolist() == [2.5] * 4


@pytest.mark.parametrize(("n_targets", "n_sources"), [(3, 7), (9, 4)])
def test_without_missing_results_the_statistic_is_friedman_s_as_scipy_has_it(n_targets, n_sources):
    matrix = np.random.default_rng(n_sources).random((n_targets, n_sources))
    want = stats.friedmanchisquare(*matrix.T).statistic
    assert skillings_mack(matrix, n_draws=9).statistic == pytest.approx(want, rel=1e-9)


def assembly_times():
    """Seconds of four methods of assembly in nine blocks, Skillings and Mack (1981), table 1."""
    lost = np.nan
    rows = [
        [3.2, 4.1, 3.8, 4.2],
        [3.1, 3.9, 3.4, 4.0],
        [4.3, 3.5, 4.6, 4.8],
        [3.5, 3.6, 3.9, 4.0],
        [3.6, 4.2, 3.7, 3.9],
    ]
    rows += [[4.5, 4.7, 3.7, lost], [lost, 4.2, 3.4, lost], [4.3, 4.6, 4.4, 4.9], [3.5, lost, 3.7, 3.9]]
    return np.array(rows)


def test_the_statistic_of_the_published_example_is_reproduced():
    # R's Skillings.Mack 1.10, Ski.Mack of this example: 15.493 with 3 degrees of freedom
    assert skillings_mack(assembly_times(), n_draws=9).statistic == pytest.approx(15.493, abs=5e-4)


def test_only_the_order_within_targets_counts_and_sources_and_targets_may_be_moved():
    matrix, rng = assembly_times(), np.random.default_rng(0)
    targets, sources = rng.permutation(9), rng.permutation(4)
    found = skillings_mack(matrix, n_draws=999)
    stretched = skillings_mack(np.exp(matrix * np.arange(1, 10)[:, None]), n_draws=999)
    for one, other in zip(found, stretched, strict=True):
        np.testing.assert_array_equal(one, other)
    moved = skillings_mack(matrix[np.ix_(targets, sources)])
    assert moved.statistic == pytest.approx(found.statistic)
    assert moved.mean_ranks == pytest.approx(found.mean_ranks[sources])
    turned = skillings_mack(-matrix, n_draws=9)  # the worst first
    assert turned.statistic == pytest.approx(found.statistic)
    assert turned.mean_ranks == pytest.approx(5 - found.mean_ranks)


def test_weak_rivals_make_no_source_better():
    # Everywhere, a is before b before c before d; a met the best rivals and d the worst.
    lost = np.nan
    matrix = [[4, 3, lost, lost], [4, 3, 2, lost], [lost, 3, 2, lost], *[[lost, lost, 2, 1]] * 3]
    found = skillings_mack(matrix, n_draws=9)
    assert np.argsort(found.mean_ranks).tolist() == [0, 1, 2, 3]
    plain = np.nanmean(stats.rankdata(-np.array(matrix), axis=1, nan_policy="omit"), axis=0)
    assert plain[1] > plain[2]  # plain mean ranks would have c before b, because it mostly met d


def test_p_of_pairs_is_that_of_the_largest_difference_of_all_permutations():
    matrix = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, np.nan], [2.0, 1.0, 3.0]])
    known = ~np.isnan(matrix)
    design = [np.eye(6)[[row, 3 + column]].sum(axis=0) for row, column in np.argwhere(known)]
    stretch = 4 / (known.sum(axis=1) + 1)
    ranks = stats.rankdata(-matrix, axis=1, nan_policy="omit")
    of_rows = [list(permutations(row[here] - row[here].mean())) for row, here in zip(ranks, known, strict=True)]
    effects = []
    for drawn in product(*of_rows):  # least squares of target plus source, by another library function
        y = np.concatenate([weight * np.array(row) for weight, row in zip(stretch, drawn, strict=True)])
        found = np.linalg.lstsq(np.array(design), y, rcond=None)[0][3:]
        effects.append(found - found.mean())
    apart = np.array(effects)[:, :, None] - np.array(effects)[:, None]
    apart = np.abs(apart) / np.maximum(apart.std(axis=0), 1e-9)
    observed = apart[0]  # the first permutation is the identity
    want = (apart.max(axis=(1, 2))[:, None, None] >= observed - 1e-9).mean(axis=0)
    found = skillings_mack(matrix)
    assert found.mean_ranks == pytest.approx(2 + effects[0])
    assert found.p_pairs == pytest.approx(want, abs=4 * np.sqrt(0.25 / 2e4))


@pytest.mark.parametrize("shape", [(3, 6), (6, 5)])
def test_tables_without_a_difference_are_rejected_in_5_percent_also_with_30_percent_missing(shape):
    rng, n = np.random.default_rng(1), 400
    found = []
    while len(found) < n:
        matrix = np.where(rng.random(shape) < 0.3, np.nan, rng.random(shape))
        known = ~np.isnan(matrix)
        if known.any(axis=0).all() and (known.sum(axis=1) > 1).all():
            test = skillings_mack(matrix, n_draws=199)
            if not test.parts.any():
                found.append((test.p <= 0.05, test.p_pairs.min() <= 0.05))
    for n_rejected in np.sum(found, axis=0):
        assert stats.binom.sf(n_rejected - 1, n, 0.05) > 1e-3  # not above 5 %
        assert stats.binom.cdf(n_rejected, n, 0.02) > 1e-3  # nor far below


def test_sources_that_no_target_connects_are_not_compared():
    found = skillings_mack([[0.9, 0.8, np.nan, np.nan], [0.7, 0.8, np.nan, np.nan], [np.nan, np.nan, 0.6, 0.5]])
    assert found.parts.tolist() == [0, 0, 1, 1]
    assert np.isnan([found.statistic, found.p]).all()
    assert np.isnan(found.mean_ranks).all()
    assert np.isnan(found.p_pairs).all()


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
