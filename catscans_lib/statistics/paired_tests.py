"""Tests of differences between sources, from AUCs on few folds or targets, which both sources have."""

from collections import namedtuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from catscans_lib.statistics import ties

FLAT = 1e-12  # AUCs that differ by at most this are equal up to rounding


CorrectedT = namedtuple("CorrectedT", "t p low high")  # two-sided p, and interval of the mean difference
Friedman = namedtuple("Friedman", "p mean_ranks")  # p by permutation; 1 is best, shape (n_sources,)


def nadeau_bengio(difference: ArrayLike, test_train_ratio: float, level: float = 0.95) -> CorrectedT:
    """Corrected resampled t-test: a paired t-test whose variance accounts for overlapping training sets.

    `difference`, shape (n_folds,) or (n_comparisons, n_folds), is the AUC of one source minus that of the other on the same
    folds, at least two; many comparisons give arrays of shape (n_comparisons,). `test_train_ratio` is the number of held-out
    images per training image: 1 / (k - 1) in k-fold cross-validation. ``t = mean / sqrt((1 / n_folds + test_train_ratio) *
    variance)`` has n_folds - 1 degrees of freedom. If all differences are equal, the interval is NaN; t is 0 and p is 1 if they
    are 0, otherwise both are NaN. Reference: Nadeau and Bengio (2003), Machine Learning 52(3), equation 9.
    """
    difference = np.where(np.abs(difference) <= FLAT, 0, difference)
    n, mean = difference.shape[-1], difference.mean(axis=-1)
    sd = np.where(np.ptp(difference, axis=-1) <= FLAT, np.nan, difference.std(axis=-1, ddof=1))[()]
    error = np.sqrt(1 / n + test_train_ratio) * sd
    t = np.where(mean == 0, 0.0, mean / error)[()]
    half = error * special.stdtrit(n - 1, (1 + level) / 2)
    return CorrectedT(t, 2 * special.stdtr(n - 1, -abs(t)), mean - half, mean + half)


def friedman(matrix: ArrayLike, *, n_draws: int = 100_000, seed: int = 0) -> Friedman:
    """Friedman's rank test that sources do not differ over blocks (targets or folds); p by permutation within blocks.

    Takes AUCs, shape (n_blocks, n_sources): at least two blocks and three sources, no missing values. Ties get their mean
    rank. With few blocks, the chi-squared distribution is a poor approximation. p is therefore ``(1 + count) / (1 + n_draws)``:
    count is the number of seeded random permutations with a statistic at least as large. If all sources tie in all blocks, p is
    1. Reference: Friedman (1937), JASA 32. Phipson and Smyth (2010), SAGMB 9(1), for the 1.
    """
    matrix = np.asarray(matrix, dtype=float)
    ranks = stats.rankdata(-ties.merged(matrix), axis=1)
    doubled = (2 * ranks).astype(int)  # whole numbers, also with ties
    observed = (doubled.sum(axis=0) ** 2).sum()  # grows with chi-squared, as permutations keep the ties of each block
    shuffled = np.random.default_rng(seed).permuted(np.repeat(doubled[None], n_draws, axis=0), axis=2).sum(axis=1)
    p = (1 + ((shuffled**2).sum(axis=1) >= observed).sum()) / (1 + n_draws)
    return Friedman(float(p), ranks.mean(axis=0))


def critical_difference(n_blocks: int, n_sources: int) -> float:
    """Return the difference of two mean ranks that is significant after Friedman's test, by Nemenyi's test.

    The family-wise error rate over all pairs of sources is 5 %. Reference: Nemenyi (1963). Demsar (2006), JMLR 7.
    """
    error = np.sqrt(n_sources * (n_sources + 1) / (12 * n_blocks))  # the studentized range contains the sqrt(2)
    return float(stats.studentized_range.ppf(0.95, n_sources, np.inf) * error)


def holm(p: ArrayLike) -> np.ndarray:
    """Adjust the p values of a family, shape (n,), by Holm's method (1979); NaN is not a test and stays NaN.

    >>> holm([0.01, 0.04, 0.03, float("nan")]).round(2)
    array([0.03, 0.06, 0.06,  nan])
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    stricter = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stricter), 1)
    return adjusted
