"""Bootstrap of an AUC over groups of images: whole patients, lesions or slides are drawn with replacement.

A draw changes how often each group counts, not the order of the scores. So scores are sorted once, and the AUCs of many
draws follow from matrix products with the groups' multiplicities and a running sum. Ties count exactly one half.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from catscans_lib.statistics.metrics import average_of, binary_problems, check_predictions, weights

# (2 * n_steps, n_groups), positives first; the numbers of the steps of ties
Steps = tuple[sparse.csr_array, np.ndarray]
ROUNDING = 1e-12  # differences of AUCs up to this are rounding
EXACT = 2**23  # float32 holds all sums of halves below it exactly, in half the time of float64
CELLS = 2**20  # numbers per block of draws: 4 MB, which fit in a cache; larger blocks are no faster


def auc_draws(
    labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], groups: ArrayLike, *, n_draws: int = 2000, seed: int,
    average: str = "weighted",
) -> np.ndarray:  # fmt: skip
    """Return the AUCs of several tables of scores in bootstrap draws, shape (n_tables, n_draws).

    Arguments as in `auc`, with scores of shape (n_tables, n_images, n_classes); `groups`, shape (n_images,), holds the patient,
    lesion or slide of every image, or the image's own id. A draw takes as many groups as there are, with replacement; it depends
    on the groups and the seed alone, so tables of the same images always get paired draws.

    A draw is NaN if it lacks a class which the average needs: a mean over fewer classes would be another quantity. Raises
    ValueError as `auc`; also if a group is missing or there are fewer than two.
    """
    checked = [check_predictions(labels, table, classes) for table in np.asarray(scores, dtype=float)]
    labels, tables = checked[0][0], [scores for _, scores in checked]
    groups = np.asarray(groups)
    if missing := sum(group is None or group != group for group in groups.tolist()):  # NaN differs from itself
        raise ValueError(f"{missing} images have no group. Use the image id as the group of an image without one.")
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"A bootstrap needs at least two groups; all images belong to '{names[0]}'.")
    problems = [binary_problems(labels, table, classes, average) for table in tables]
    average = average_of(labels, classes, average)
    if not problems[0] or any(positive.all() or not positive.any() for positive, _ in problems[0]):
        raise ValueError("An AUC needs images of two classes; there is only one.")
    most = len(names) * np.bincount(codes).max()  # images of a draw, so at most most**2 / 4 pairs
    dtype = np.float32 if most**2 / 4 < EXACT else np.float64
    sorted_problems = [[_sorted(*problem, codes, len(names), dtype) for problem in of_table] for of_table in problems]
    size = max(len(names), *(images.shape[0] // 2 for of_table in sorted_problems for images, _ in of_table))
    blocks = _multiplicities(len(names), n_draws, max(1, CELLS // size), np.random.default_rng(seed), dtype)
    drawn = [[_averaged(of_table, counts, average) for of_table in sorted_problems] for counts in blocks]
    return np.concatenate(drawn, axis=1)


def interval(draws: ArrayLike, level: float = 0.95) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    """Return the percentile interval (low, high) of the draws, ignoring NaN; (nan, nan) if all are NaN.

    Draws of several quantities, shape (n_quantities, n_draws), give arrays. Efron and Tibshirani (1993), An Introduction to the
    Bootstrap, chapter 13.
    """
    draws, tails = np.asarray(draws, dtype=float), [(1 - level) / 2, (1 + level) / 2]
    rows = np.atleast_2d(draws)
    found = np.quantile(rows, tails, axis=1)  # NaN where a draw is NaN; nanquantile is slow, so use it only there
    for number in np.flatnonzero(np.isnan(rows).any(axis=1) & ~np.isnan(rows).all(axis=1)):
        found[:, number] = np.nanquantile(rows[number], tails)
    low, high = found if draws.ndim > 1 else found[:, 0].tolist()
    return low, high


def p_value(draws: ArrayLike) -> float | np.ndarray:
    """Two-sided p that a difference is 0: twice the smaller share of draws on one side of 0, at least 2 / (n_draws + 1).

    Draws of many differences, shape (n_differences, n_draws), give one p each. NaN draws are ignored; p is NaN if all are.
    """
    draws = np.asarray(draws, dtype=float)
    n = (~np.isnan(draws)).sum(axis=-1)
    smaller = np.minimum((draws <= 0).sum(axis=-1), (draws >= 0).sum(axis=-1))
    return np.where(n == 0, np.nan, np.minimum(1.0, 2 * (1 + smaller) / (1 + n)))[()]


def _sorted(positive: np.ndarray, scores: np.ndarray, codes: np.ndarray, n_groups: int, dtype: type) -> Steps:
    """Count the images of each group in steps of ascending scores: negatives and the positives above them, or ties of both."""
    order = np.argsort(scores, kind="stable")
    scores, positive, codes = scores[order], positive[order], codes[order]
    tied = np.concatenate([[0], np.cumsum(scores[1:] != scores[:-1])])  # index of the distinct score
    n, n_positive = np.bincount(tied), np.bincount(tied, weights=positive)
    kind = np.where(n_positive == 0, 0, np.where(n_positive == n, 1, 2))  # only negatives, only positives, both
    starts = (kind[1:] < kind[:-1]) | (kind[1:] == 2) | (kind[:-1] == 2)
    of_score = np.concatenate([[0], np.cumsum(starts)])
    step, n_steps = of_score[tied], int(of_score[-1]) + 1
    # The entries are already in CSR order. Letting scipy sort them would take longer than the draws.
    columns = np.concatenate([codes[positive], codes[~positive]])
    in_row = np.bincount(np.concatenate([step[positive], step[~positive] + n_steps]), minlength=2 * n_steps)
    ends = np.concatenate([[0], np.cumsum(in_row)])
    return sparse.csr_array((np.ones(len(columns), dtype), columns, ends), (2 * n_steps, n_groups)), of_score[kind == 2]


def _multiplicities(
    n_groups: int, n_draws: int, n_block: int, rng: np.random.Generator, dtype: type
) -> Iterator[np.ndarray]:
    """Yield how often each group is drawn, shape (n_groups, up to n_block); the block size does not change the draws."""
    for start in range(0, n_draws, n_block):
        drawn = rng.integers(n_groups, size=(min(n_block, n_draws - start), n_groups))
        drawn += np.arange(len(drawn))[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield np.ascontiguousarray(counts.T, dtype=dtype)


def _averaged(problems: list[Steps], counts: np.ndarray, average: str) -> np.ndarray:
    """AUC of each draw, shape (n_block,)."""
    found = []  # number of positives, of negatives, and of pairs that the positive wins
    for images, with_ties in problems:
        positive, below = np.split(images @ counts, 2)
        half = below[with_ties] / 2
        for row in range(1, len(below)):  # many times as fast as a cumulative sum over rows
            below[row] += below[row - 1]
        n_negative = below[-1].copy()
        below[with_ties] -= half
        found.append((positive.sum(axis=0), n_negative, np.einsum("sd,sd->d", positive, below)))
    n_positive, n_negative, won = np.array(found, dtype=float).swapaxes(0, 1)
    weight = weights(average, n_positive)
    with np.errstate(invalid="ignore"):  # 0 / 0: the draw lacks a class
        return (weight * (won / (n_positive * n_negative))).sum(axis=0) / weight.sum(axis=0)
