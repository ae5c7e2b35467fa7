"""Values that differ by rounding are ties, in every statistic of ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from catscans_lib.statistics import paired_tests, ranks, ties

values = st.lists(st.integers(-5, 5), min_size=2, max_size=12)


@given(whole=values, scale=st.floats(1e-6, 1e6), seed=st.integers(0, 9))
def test_rounding_noise_changes_no_rank_and_values_without_it_stay_as_they_are(whole, scale, seed):
    exact = np.array(whole) * scale
    noise = np.random.default_rng(seed).uniform(-1e-12, 1e-12, len(whole)) * np.abs(exact).max()
    np.testing.assert_array_equal(ties.merged(exact), exact)
    np.testing.assert_array_equal(rankdata(ties.merged(exact + noise)), rankdata(exact))


@given(whole=values, seed=st.integers(0, 9))
@settings(max_examples=50)
def test_rounding_noise_of_measure_and_results_changes_no_statistic(whole, seed):
    rng = np.random.default_rng(seed)
    x, y = np.array(whole, dtype=float), 0.8 + rng.integers(0, 4, len(whole)) / 50
    noise_x, noise_y = 1e-12 * np.abs(x).max() * rng.normal(size=len(x)), 1e-12 * rng.normal(size=len(x))
    exact, noisy = (
        ranks.on_target(ties.merged(a), ranks.draws(b[None], np.ones((1, len(b)))))
        for a, b in ((x, y), (x + noise_x, y + noise_y))
    )
    np.testing.assert_allclose(noisy.values, exact.values, rtol=1e-9, atol=1e-9)


def test_aucs_that_differ_by_rounding_are_ties_in_friedman_s_test():
    aucs = 0.7 + np.array([[1, 1, 2], [3, 2, 2], [1, 2, 1], [0, 0, 1]]) / 100
    noisy = aucs + np.random.default_rng(0).uniform(-1e-13, 1e-13, aucs.shape)
    for exact, found in zip(paired_tests.skillings_mack(aucs), paired_tests.skillings_mack(noisy), strict=True):
        np.testing.assert_allclose(found, exact)


def test_rows_have_scales_of_their_own_and_missing_values_stay_missing():
    table = [[1.0, 1.0 + 1e-10, np.nan], [1e-10, 2e-10, 5e-10], [np.nan] * 3, [np.inf, np.inf, 0.0]]
    merged = ties.merged(table)
    np.testing.assert_array_equal(merged, [[1.0, 1.0, np.nan], table[1], table[2], table[3]])
    np.testing.assert_array_equal(ties.merged(table, scale=[1, 1, 1, 1])[1], [1e-10] * 3)  # a chain of neighbours
    assert ties.merged([]).shape == (0,)


@pytest.mark.parametrize("shape", [(3, 0), (2, 1)])
def test_rows_without_a_neighbour_stay_as_they_are(shape):
    assert ties.merged(np.ones(shape)).shape == shape
