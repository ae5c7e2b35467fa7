"""Tests of differences between sources, from AUCs on few folds or targets, which both sources have."""

from collections import namedtuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats
from scipy.sparse import csgraph

from catscans_lib.statistics import ties

FLAT = 1e-12  # AUCs that differ by at most this are equal up to rounding


CorrectedT = namedtuple("CorrectedT", "t p low high")  # two-sided p, and interval of the mean difference
RankTest = namedtuple("RankTest", "statistic p mean_ranks p_pairs parts")  # for mean ranks, 1 is best


def nadeau_bengio(difference: ArrayLike, test_train_ratio: float, level: float = 0.95) -> CorrectedT:
    """Corrected resampled t-test: a paired t-test whose variance accounts for overlapping training sets.

    `difference`, shape (n_folds,) or (n_comparisons, n_folds), is the AUC of one source minus that of the other on the same
    folds, at least two; many comparisons give arrays of shape (n_comparisons,). `test_train_ratio` is the number of held-out
    images per training image: 1 / (k - 1) in k-fold cross-validation. ``t = mean / sqrt((1 / n_folds + test_train_ratio) *
    variance)`` has n_folds - 1 degrees of freedom. If all differences are equal, the interval is NaN; t is 0 and p is 1 if they
    are 0, otherwise both are NaN. Reference: Nadeau and Bengio (2003), Machine Learning 52(3), equation 9.
    """
    difference = np.where(np.abs(difference) <= FLAT, 0, difference)
    if difference.shape[-1:] < (2,):
        raise ValueError(f"nadeau_bengio needs differences on at least two folds; got shape {difference.shape}.")
    n, mean = difference.shape[-1], difference.mean(axis=-1)
    sd = np.where(np.ptp(difference, axis=-1) <= FLAT, np.nan, difference.std(axis=-1, ddof=1))[()]
    error = np.sqrt(1 / n + test_train_ratio) * sd
    t = np.where(mean == 0, 0.0, mean / error)[()]
    half = error * special.stdtrit(n - 1, (1 + level) / 2)
    return CorrectedT(t, 2 * special.stdtr(n - 1, -abs(t)), mean - half, mean + half)


def skillings_mack(matrix: ArrayLike, *, n_draws: int = 20_000, seed: int = 0) -> RankTest:
    """Skillings and Mack's rank test that sources do not differ over blocks (targets or folds), where results may be missing.

    Takes AUCs, shape (n_blocks, n_sources), NaN if missing: at least two in each block and one of each source. Without missing
    results and ties, the statistic is Friedman's. p is ``(1 + count) / (1 + n_draws)``: count is the number of seeded random
    permutations within blocks with a statistic at least as large; chi-squared is a poor approximation with few blocks.

    mean_ranks are adjusted for missing results: ranks are stretched to the scale of all sources and fitted by least squares as
    block plus source, so weak rivals make no source better; they may lie outside 1 to n_sources. p_pairs are adjusted for all
    pairs: count takes the largest difference of mean ranks of a permutation, in standard deviations (max-T). parts numbers the
    sources that blocks connect; several parts cannot be compared, so all other values are NaN. References: Skillings and Mack
    (1981), Technometrics 23(2). Westfall and Young (1993), Resampling-Based Multiple Testing. Phipson and Smyth (2010), SAGMB 9.
    """
    known = ~np.isnan(matrix := np.asarray(matrix, dtype=float))
    if known.ndim != 2 or not known.size or known.sum(axis=1).min() < 2:
        raise ValueError(
            f"skillings_mack needs two results in each block (row) of {known.shape}; drop the blocks with fewer."
        )
    n, k = known.sum(axis=1), matrix.shape[1]
    n_parts, parts = csgraph.connected_components(known.T.astype(int) @ known)
    if n_parts > 1:
        return RankTest(np.nan, np.nan, np.full(k, np.nan), np.full((k, k), np.nan), parts)
    ranks = stats.rankdata(-ties.merged(matrix), axis=1, nan_policy="omit")
    centred, stretch = np.where(known, ranks - (n[:, None] + 1) / 2, 0), (k + 1) / (n + 1)
    rng = np.random.default_rng(seed)
    sums, stretched = np.zeros((2, 1 + n_draws, k))  # over blocks; the first row is observed, the others are permuted
    for block, here in enumerate(known):
        drawn = np.tile(centred[block, here], (1 + n_draws, 1))
        rng.permuted(drawn[1:], axis=1, out=drawn[1:])
        sums[:, here] += np.sqrt(12 / (n[block] + 1)) * drawn
        stretched[:, here] += stretch[block] * drawn

    def centring(weight: np.ndarray) -> np.ndarray:  # weighted sum of the blocks' centring matrices, shape (k, k)
        return np.diag(known.T @ weight) - known.T @ (known * (weight / n)[:, None])

    statistic = ((sums @ np.linalg.pinv(centring(n))) * sums).sum(axis=1)
    solved = np.linalg.pinv(centring(np.ones(len(n))))
    effects, spread = stretched @ solved, solved @ centring(stretch**2 * (centred**2).sum(axis=1) / (n - 1)) @ solved
    variance = np.diag(spread)[:, None] + np.diag(spread) - 2 * spread
    scale = np.where(variance > FLAT, variance, np.inf) ** -0.5
    largest = np.max([(abs(effects - effects[:, [one]]) * scale[one]).max(axis=1) for one in range(k)], axis=0)
    apart = abs(effects[0] - effects[0][:, None]) * scale
    p_pairs = 1 - np.searchsorted(np.sort(largest), apart * (1 - ties.TIED)) / (1 + n_draws)
    p = (statistic >= statistic[0] * (1 - ties.TIED)).mean()
    return RankTest(statistic[0], p, ((k + 1) / 2 + effects[0]).round(12), p_pairs, parts)


def holm(p: ArrayLike) -> np.ndarray:
    """Adjust the p values of a family, shape (n,), by Holm's method (1979); NaN is not a test and stays NaN.

    >>> holm([0.01, 0.04, 0.03, float("nan")]).round(2)
    array([0.03, 0.06, 0.06,  nan])
    """
    p = np.asarray(p, dtype=float)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise ValueError(f"holm needs p values in [0, 1], shape (n,); got {p.tolist()}.")
    adjusted = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    stricter = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stricter), 1)
    return adjusted
