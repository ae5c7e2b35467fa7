"""Agreement of a measure with the AUCs of a target's sources: five statistics, for many bootstrap draws at once.

A draw gives a weight to each source. All statistics but Pearson's r depend on the order alone, so a draw weights the signs
of pairwise differences instead of copying sources.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from catscans_lib.statistics import ties

STATISTICS = ("pearson", "spearman", "kendall", "regret", "accuracy")
N_POOLED = 2  # over targets, the first two statistics are pooled from sums; the others are averaged


class Draws(NamedTuple):
    """Draws of one target's results."""

    y: np.ndarray  # mean AUC (or transfer score) of each source, 0 if missing; shape (n_draws, n_sources)
    counts: np.ndarray  # how often the draw contains each source, 0 if its result is missing; same shape
    above: np.ndarray  # 1 if the row's source is better than the column's, -1 if worse; (n_draws, n_sources, n_sources)


class Found(NamedTuple):
    """Statistics of one measure, on one target or over several."""

    values: np.ndarray  # in the order of `STATISTICS`, NaN where a draw does not define it; shape (5, n_draws)
    sums: np.ndarray  # of products and both squares around the target's mean, of values and of ranks; (2, 3, n_draws)


def draws(y: np.ndarray, counts: np.ndarray) -> Draws:
    """Prepare draws from results (NaN if missing; see `ties`) and counts, both of shape (n_draws, n_sources)."""
    counts, y = np.where(np.isnan(y), 0.0, counts), np.nan_to_num(ties.merged(y))
    return Draws(y, counts, np.sign(y[:, :, None] - y[:, None, :]))


def on_target(x: np.ndarray, drawn: Draws) -> Found:
    """Compute all statistics of a measure on one target.

    `x`, shape (n_sources,), holds the values of the measure, rounding errors merged by `ties`; larger is closer, and a source
    with NaN is left out. pearson, spearman and kendall (tau-b) are in [-1, 1], NaN if all values or all results are equal.
    accuracy is the share of the pairs with different results in which the better source has the larger value (ties one half),
    in [0, 1]. regret is the result lost by taking the source with the largest value, at least 0: the best of all drawn sources'
    results minus that of the source chosen (mean over ties), among those with a value; if the best has none, the measure loses
    what it could not see. NaN if no source has a value. Reference: Kendall (1945), Biometrika 33(3).
    """
    m, x, y = drawn.counts * ~np.isnan(x), np.nan_to_num(x), drawn.y
    shown = np.where(m > 0, x, -np.inf)
    chosen = m * (shown == shown.max(axis=1, keepdims=True))
    above_x, above_y = np.sign(x[:, None] - x), drawn.above
    # For each source: pairs in which x and y agree minus disagree, pairs that differ in x, pairs that differ in y.
    rows = _row_sums(above_x * above_y, m), m @ np.abs(above_x), _row_sums(np.abs(above_y), m)
    agree, differ_in_x, differ_in_y = ((m * row).sum(axis=1) for row in rows)
    moments = _products(_centred(np.broadcast_to(x, y.shape), m), _centred(y, m), m)
    ranks = _products(m @ above_x.T, _row_sums(above_y, m), m)  # wins minus losses: twice the centred rank
    sums = np.where((differ_in_x == 0) | (differ_in_y == 0), 0, np.stack([moments, ranks]))
    with np.errstate(invalid="ignore"):  # 0 / 0: all results are the same, or no drawn source has a value
        accuracy = (1 + agree / differ_in_y) / 2
        lost = np.where(drawn.counts > 0, y, -np.inf).max(axis=1) - (chosen * y).sum(axis=1) / chosen.sum(axis=1)
    tau = _ratio(agree, differ_in_x, differ_in_y)
    lost = np.maximum(lost, 0)  # the mean over copies may differ by rounding
    return Found(np.stack([*_ratio(*sums.swapaxes(0, 1)), tau, lost, accuracy]), sums)


def over_targets(found: Sequence[Found]) -> Found:
    """Combine targets: pearson and spearman are pooled from values (ranks) minus the target's mean, others are means."""
    sums = np.sum([one.sums for one in found], axis=0)
    rest = np.stack([one.values[N_POOLED:] for one in found])
    return Found(np.concatenate([_ratio(*sums.swapaxes(0, 1)), known_mean(rest)]), sums)


def known_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the mean along an axis of the values that are not NaN; NaN if there are none."""
    known = ~np.isnan(values)
    n = known.sum(axis=axis)
    return np.where(known, values, 0).sum(axis=axis) / np.where(n == 0, np.nan, n)


def _row_sums(matrices: np.ndarray, m: np.ndarray) -> np.ndarray:
    return (matrices @ m[:, :, None])[:, :, 0]


def _centred(values: np.ndarray, m: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing drawn
        return values - (m * values).sum(axis=1, keepdims=True) / m.sum(axis=1, keepdims=True)


def _products(x: np.ndarray, y: np.ndarray, m: np.ndarray) -> np.ndarray:
    return np.stack([(m * x * y).sum(axis=1), (m * x * x).sum(axis=1), (m * y * y).sum(axis=1)])


def _ratio(products: np.ndarray, squares_x: np.ndarray, squares_y: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # 0 / 0: all the same
        return np.clip(products / np.sqrt(squares_x * squares_y), -1, 1)
