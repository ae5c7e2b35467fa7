"""How precise is an AUC when images come in groups? Whole patients, lesions or slides are drawn with replacement.

A draw changes how often each group counts, not the order of the scores. So scores are sorted once, and the AUCs of many
draws come from products with the groups' multiplicities and a running sum; ties count exactly one half.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from catscans_lib.statistics.auc import Binary, binaries, checked, weights

CELLS = 2**18  # numbers of a block of draws: few enough to stay in the processor's cache


def auc_draws(
    labels: ArrayLike,
    scores: ArrayLike,
    classes: tuple[str, ...],
    groups: ArrayLike,
    *,
    n_draws: int = 2000,
    seed: int,
    average: str = "weighted",
    folds: ArrayLike | None = None,
) -> np.ndarray:
    """AUCs of draws of as many groups as there are, with replacement.

    The draws depend on the groups, the folds and the seed alone: tables of the same images give paired draws, whatever
    their scores and the order of their rows.

    Parameters
    ----------
    labels, classes, average
        As in `auc`.
    scores : array_like of float, shape (n_images, n_classes) or (n_tables, n_images, n_classes)
        As in `auc`; of several tables of the same images at once, which then share the draws.
    groups : array_like, shape (n_images,)
        Patient, lesion or slide of every image; the image's own id where there is none.
    n_draws : int
        At least 1.
    seed : int
    folds : array_like, shape (n_images,), optional
        Each fold was scored by a model of its own, so scores of two folds are not compared: groups are drawn within each
        fold (a group in two folds counts as two), and the AUC of a draw is the mean over the folds.

    Returns
    -------
    numpy.ndarray of float, shape (n_draws,) or (n_tables, n_draws)
        NaN for a draw that lacks a class which the average needs (in a fold): a mean over fewer classes would be another
        quantity. Count them with `n_undefined`. Classes that the images themselves lack are left out, as in `auc`.

    Raises
    ------
    ValueError
        As `auc`, for any fold; if a group is missing, a fold has fewer than two groups, or the lengths differ.
    """
    tables = np.asarray(scores, dtype=float)
    several = tables.ndim == 3
    tables = [checked(labels, table, classes)[1] for table in (tables if several else [tables])]
    labels = np.asarray(labels, dtype=str)
    groups, parts = _keys("groups", groups, len(labels)), _rows_of(folds, len(labels))
    if n_draws < 1:
        raise ValueError(f"Draw at least once; got n_draws={n_draws}.")
    rng = np.random.default_rng(seed)
    total = np.zeros((len(tables), n_draws))
    for where, rows in parts.items():
        comparisons = [binaries(labels[rows], table[rows], classes, average) for table in tables]
        total += _fold_draws(comparisons, groups[rows], average, n_draws, rng, where)
    draws = total / len(parts)
    return draws if several else draws[0]


def difference_draws(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    classes: tuple[str, ...],
    groups: ArrayLike,
    **options: object,
) -> np.ndarray:
    """AUC of a minus AUC of b in the same draws of the same images; options as in `auc_draws`, shape (n_draws,)."""
    both = np.stack([np.asarray(scores_a, dtype=float), np.asarray(scores_b, dtype=float)])
    return np.subtract(*auc_draws(labels, both, classes, groups, **options))


def interval(draws: ArrayLike, level: float = 0.95) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    """Percentile interval, low and high, of the draws that are no NaN; (nan, nan) where there is none.

    Leaving out many makes the interval one of the samples that happen to have every class: report `n_undefined`.

    Parameters
    ----------
    draws : array_like of float, shape (n_draws,) or (n_quantities, n_draws)
        Of many quantities at once, low and high have shape (n_quantities,).
    level : float
        In (0, 1).

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level lies in (0, 1), such as 0.95; got {level}.")
    draws, tails = np.asarray(draws, dtype=float), [(1 - level) / 2, (1 + level) / 2]
    rows = np.atleast_2d(draws)
    found = np.quantile(rows, tails, axis=1)  # NaN where a draw is; nanquantile would take rows one by one
    for number in np.flatnonzero(np.isnan(rows).any(axis=1) & ~np.isnan(rows).all(axis=1)):
        found[:, number] = np.nanquantile(rows[number], tails)
    low, high = found if draws.ndim > 1 else found[:, 0]
    return low, high


def n_undefined(draws: ArrayLike) -> int:
    """Return how many draws gave no AUC, for want of a class."""
    return int(np.isnan(np.asarray(draws, dtype=float)).sum())


def p_value(draws: ArrayLike) -> float | np.ndarray:
    """Two-sided p that a difference is 0: twice the smaller share of draws on one side of it, at least 2 / (n_draws + 1).

    The difference itself counts as one more draw on that side, so that p is never 0; NaN draws are left out, and
    without any other p is NaN. Draws of many differences, shape (n_differences, n_draws), give as many p.
    """
    draws = np.asarray(draws, dtype=float)
    n = (~np.isnan(draws)).sum(axis=-1)
    smaller = np.minimum((draws <= 0).sum(axis=-1), (draws >= 0).sum(axis=-1))
    return np.where(n == 0, np.nan, np.minimum(1.0, 2 * (1 + smaller) / (1 + n)))[()]


class _Steps(NamedTuple):
    """A comparison by ascending score: how many positives and negatives each group has at each step.

    Attributes
    ----------
    images : scipy.sparse.csr_array of float, shape (2 * n_steps, n_groups)
        Numbers of positives, a row per step, and below these the numbers of negatives. A step holds images of one score, or
        neighbours that are all positive or all negative, whose order does not matter.
    n_steps : int
    """

    images: sparse.csr_array
    n_steps: int


def _steps(part: Binary, codes: np.ndarray, n_groups: int) -> _Steps:
    order = np.argsort(part.scores, kind="stable")
    scores, positive, codes = part.scores[order], part.positive[order], codes[part.rows[order]]
    tied = np.concatenate([[0], np.cumsum(scores[1:] != scores[:-1])])  # number of the distinct score
    n, n_positive = np.bincount(tied), np.bincount(tied, weights=positive)
    kind = np.where(n_positive == 0, 0, np.where(n_positive == n, 1, 2))  # only negatives, only positives, both
    starts = (kind[1:] != kind[:-1]) | (kind[1:] == 2)
    step = np.concatenate([[0], np.cumsum(starts)])[tied]
    n_steps = int(step[-1]) + 1
    # entries in the order of their rows are the matrix already; to have scipy sort them would take longer than the draws
    columns = np.concatenate([codes[positive], codes[~positive]])
    in_row = np.bincount(np.concatenate([step[positive], step[~positive] + n_steps]), minlength=2 * n_steps)
    ends = np.concatenate([[0], np.cumsum(in_row)])
    return _Steps(sparse.csr_array((np.ones(len(columns)), columns, ends), (2 * n_steps, n_groups)), n_steps)


def _fold_draws(
    tables: list[list[Binary]], groups: np.ndarray, average: str, n_draws: int, rng: np.random.Generator, where: str
) -> np.ndarray:
    """AUCs of every table in the same draws, shape (n_tables, n_draws)."""
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"A bootstrap needs at least two groups; all images{where} are of '{names[0]}'.")
    if any(part.positive.all() or not part.positive.any() for part in tables[0]):
        raise ValueError(f"An AUC needs images of two classes; there is only one{where}.")
    tables = [[_steps(part, codes, len(names)) for part in parts] for parts in tables]
    size = max(len(names), *(comparison.n_steps for comparisons in tables for comparison in comparisons))
    blocks = _multiplicities(len(names), n_draws, max(1, CELLS // size), rng)
    return np.concatenate(
        [[_averaged(comparisons, counts, average) for comparisons in tables] for counts in blocks], axis=1
    )


def _multiplicities(n_groups: int, n_draws: int, n_block: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each group is drawn, in blocks of shape (n_groups, up to n_block); the same whatever the block."""
    for start in range(0, n_draws, n_block):
        drawn = rng.integers(n_groups, size=(min(n_block, n_draws - start), n_groups))
        drawn += np.arange(len(drawn))[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield np.ascontiguousarray(counts.T, dtype=float)


def _averaged(comparisons: list[_Steps], counts: np.ndarray, average: str) -> np.ndarray:
    """AUC of each draw, shape (n_block,)."""
    n_positive, n_negative, won = np.array([_mann_whitney(comparison, counts) for comparison in comparisons]).swapaxes(
        0, 1
    )
    weight = weights(average, n_positive, n_negative)
    with np.errstate(invalid="ignore"):  # 0 / 0: the draw lacks a class
        return (weight * (won / (n_positive * n_negative))).sum(axis=0) / weight.sum(axis=0)


def _mann_whitney(comparison: _Steps, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of positives, of negatives, and of pairs that the positive wins, of each draw, each of shape (n_block,)."""
    images = comparison.images @ counts
    positive, negative = images[: comparison.n_steps], images[comparison.n_steps :]
    below = np.cumsum(negative, axis=0)
    n_negative = below[-1].copy()
    below -= negative / 2
    return positive.sum(axis=0), n_negative, np.einsum("sd,sd->d", positive, below)


def _rows_of(folds: ArrayLike | None, n: int) -> dict[str, slice | np.ndarray]:
    """Return the rows of each fold by the words that name it in an error; a single fold needs none."""
    if folds is None:
        return {"": slice(None)}
    folds = _keys("folds", folds, n)
    names = np.unique(folds)
    return {"" if len(names) == 1 else f" in fold {name}": folds == name for name in names}


def _keys(name: str, keys: ArrayLike, n: int) -> np.ndarray:
    """Return groups or folds as an array of str."""
    keys = np.asarray(keys)
    if keys.shape != (n,):
        raise ValueError(f"{n} labels need as many {name}; got {keys.shape}.")
    if (missing := pd.isna(keys)).any():
        raise ValueError(f"{missing.sum()} images have no value in {name}. Give an image without one its own id.")
    return keys.astype(str)
