"""Variance components of nested and crossed designs, also with unequal numbers: Henderson's third method."""

import numpy as np
from numpy.typing import ArrayLike

TINY = 1e-8  # singular values below it are rounding


def estimated(y: ArrayLike, terms: ArrayLike, *, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the variance of `y`, shape (n,), into random terms and a residual, which is the last.

    Returns unbiased estimates, shape (n_terms + 1,), which may be negative, and draws of them (generalised pivotal quantities,
    at least 0, (n_terms + 1, n_draws)), whose quantiles are intervals; NaN where the data cannot tell a term from others.
    `terms`, shape (n_terms, n), has the level of every value in each term, nested terms after those they lie in. Terms are
    fitted in this order; each sum of squares minus that of the terms before it is set equal to its expectation. In a balanced
    design these are the estimates of the analysis of variance. A draw divides each sum of squares by a chi-squared number with
    its degrees of freedom and solves the same equations; it is exact for one term and approximate for several or for unequal
    numbers. Reference: Searle, Casella and McCulloch (1992), Variance Components, section 5.5; Weerahandi (1993), JASA 88.
    """
    y, terms = np.asarray(y, dtype=float), np.asarray(terms)
    designs = [(levels[:, None] == np.unique(levels)).astype(float) for levels in terms]  # a column per level
    n, n_terms = len(y), len(designs)
    fitted = np.full((n, 1), n**-0.5)
    squares, expected = np.zeros(n_terms + 1), np.zeros((n_terms + 1, n_terms + 1))
    for number, design in enumerate(designs):
        axes, size, _ = np.linalg.svd(design - fitted @ (fitted.T @ design), full_matrices=False)
        new = axes[:, size > TINY]
        squares[number] = ((new.T @ y) ** 2).sum()
        expected[number, number:-1] = [((new.T @ later) ** 2).sum() for later in designs[number:]]
        expected[number, -1] = new.shape[1]
        fitted = np.hstack([fitted, new])
    squares[-1] = ((y - fitted @ (fitted.T @ y)) ** 2).sum()
    expected[-1, -1] = n - fitted.shape[1]
    n_free = expected[:, -1].round().astype(int)
    known = n_free > 0
    system, found = expected[np.ix_(known, known)], squares[known]
    chi = np.random.default_rng(seed).chisquare(n_free[known], (n_draws, known.sum())).T
    values, draws = np.full(n_terms + 1, np.nan), np.full((n_terms + 1, n_draws), np.nan)
    values[known] = np.linalg.solve(system, found)
    # The expectation of a sum of squares is the sum divided by a chi-squared number, times the degrees of freedom.
    pivots = found[:, None] * n_free[known][:, None] / chi
    draws[known] = np.maximum(np.linalg.solve(system, pivots), 0)
    return values, draws
