"""Variance components: equal to a hand calculation, unbiased, and intervals with the stated coverage on simulated data."""

import numpy as np
import pytest
from scipy import stats

from catscans_lib.statistics import components


def levels(n_sources, n_networks, n_folds, n_seeds, once=0):
    """Return terms source, network, fold, source x fold, network x fold; the first `once` sources have one network."""
    axes = np.meshgrid(*map(range, (n_sources, n_networks, n_folds, n_seeds)), indexing="ij")
    source, network, fold, _ = (axis.ravel() for axis in axes)
    kept = (source >= once) | (network == 0)
    source, network, fold = source[kept], (source * n_networks + network)[kept], fold[kept]
    return np.stack([source, network, fold, source * n_folds + fold, network * n_folds + fold])


def simulated(terms, variances, rng):
    values = rng.normal(size=terms.shape[1]) * variances[-1] ** 0.5
    for of, variance in zip(terms, variances, strict=False):
        values += (rng.normal(size=of.max() + 1) * variance**0.5)[of]
    return values


def test_one_balanced_term_is_the_analysis_of_variance_with_its_exact_interval_of_the_residual():
    groups = [[3.0, 5.0, 4.0], [8.0, 9.0, 7.0], [4.0, 6.0, 8.0]]
    values, draws = components.estimated(np.ravel(groups), [np.repeat([0, 1, 2], 3)], n_draws=40_000, seed=0)
    within, between = np.var(groups, axis=1, ddof=1).mean(), 3 * np.var(np.mean(groups, axis=1), ddof=1)
    assert values == pytest.approx([(between - within) / 3, within])
    exact = 6 * within / stats.chi2.ppf([0.975, 0.025], 6)
    assert np.quantile(draws[1], [0.025, 0.975]) == pytest.approx(exact, rel=0.03)
    assert draws.min() >= 0


def test_two_crossed_terms_agree_with_the_mean_squares_of_a_balanced_table():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(4, 1)) * 2 + rng.normal(size=(1, 6)) + rng.normal(size=(4, 6))
    rows, columns = (axis.ravel() for axis in np.indices(table.shape))
    values, _ = components.estimated(table.ravel(), [rows, columns], n_draws=1, seed=0)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    error = (rest**2).sum() / 15
    of_rows = (6 * table.mean(axis=1).var(ddof=1) - error) / 6
    of_columns = (4 * table.mean(axis=0).var(ddof=1) - error) / 4
    assert values == pytest.approx([of_rows, of_columns, error])


@pytest.mark.parametrize(("shape", "once"), [((4, 3, 4, 2), 0), ((4, 3, 4, 2), 1)])
def test_simulated_components_come_back_without_bias_and_within_their_intervals(shape, once):
    terms, variances = levels(*shape, once), np.array([1.0, 0.25, 0.5, 0.1, 0.04, 0.36])
    rng, n = np.random.default_rng(2), 200
    found = [components.estimated(simulated(terms, variances, rng), terms, n_draws=400, seed=0) for _ in range(n)]
    values = np.stack([values for values, _ in found])
    assert (np.abs(values.mean(axis=0) - variances) < 3.5 * values.std(axis=0) / n**0.5).all()
    low, high = np.quantile([draws for _, draws in found], [0.025, 0.975], axis=2)
    covered = ((low <= variances) & (variances <= high)).mean(axis=0)
    assert (covered > 0.88).all() and 0.92 < covered.mean() < 0.98  # 1,500 repeats: .939 to .955


def test_statsmodels_finds_the_same_components_by_restricted_maximum_likelihood():
    import pandas as pd
    import statsmodels.formula.api as smf

    rng, groups = np.random.default_rng(3), np.repeat(np.arange(12), 5)
    y = simulated(groups[None], [2.0, 0.5], rng)
    values, _ = components.estimated(y, [groups], n_draws=1, seed=0)
    model = smf.mixedlm("y ~ 1", pd.DataFrame({"y": y, "group": groups}), groups="group").fit(reml=True)
    assert values == pytest.approx([model.cov_re.iloc[0, 0], model.scale], rel=1e-3)


def test_a_term_that_cannot_be_told_apart_is_missing_and_a_negative_estimate_stays():
    source, fold = np.repeat([0, 1, 2], 4), np.tile([0, 1, 2, 3], 3)
    y = np.where(fold % 2 == source % 2, 1.0, -1.0)
    values, draws = components.estimated(y, [source, source, fold], n_draws=50, seed=0)
    assert np.isnan(values[1]) and np.isnan(draws[1]).all()
    assert values[0] < 0 and (draws[0] >= 0).all()
