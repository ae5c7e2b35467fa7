"""Draws of a study's results: bootstrap over sources and folds, and permutations that keep missing pairs missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from catscans_lib.statistics import ranks


@dataclass(frozen=True)
class Sample:
    """Draws by the seed alone; lists have one entry per target."""

    observed: list[ranks.Draws]
    shared: list[ranks.Draws]  # sources drawn once for all targets, and folds
    maps: np.ndarray  # permutations, (n_draws, n_sources)


def sample(results: np.ndarray, n_draws: int, seed: int) -> Sample:
    """Draw from results (n_targets, n_sources, n_folds), NaN if missing."""
    _, n_sources, n_folds = results.shape
    rngs = [np.random.default_rng([seed, number]) for number in (0, 1, 3)]
    counts = rngs[0].multinomial(n_sources, np.full(n_sources, 1 / n_sources), n_draws)
    observed, shared = [], []
    for y in results:
        drawn = _fold_means(y, rngs[1].multinomial(n_folds, np.full(n_folds, 1 / n_folds), n_draws))
        mean = _fold_means(y, np.ones((1, n_folds)))
        observed.append(ranks.draws(mean, np.ones_like(mean)))
        shared.append(ranks.draws(drawn, counts))
    maps = rngs[2].permuted(np.tile(np.arange(n_sources), (n_draws, 1)), axis=1)
    return Sample(observed, shared, maps)


def permuted(drawn: Sample, mask: np.ndarray) -> list[ranks.Draws]:
    """Permute sources, with their results on all targets, among those in `mask` on any; missing pairs stay missing.

    A source may get the results of one that lacks this target. Then the mean of that one's results on its other targets, each
    minus the mean of its target, takes the place: else unrelated measures would be found too often.
    """
    y = np.stack([np.where(one.counts[0] > 0, one.y[0], np.nan) for one in drawn.observed])
    is_missing, image = np.isnan(y), _restricted(drawn.maps, mask.any(axis=0))
    centre = ranks.known_mean(y, axis=1)[:, None]
    filled = np.where(is_missing, centre + ranks.known_mean(y - centre, axis=0), y)
    rows = zip(filled, is_missing, strict=True)
    return [ranks.draws(np.where(lost, np.nan, row[image]), np.ones(image.shape)) for row, lost in rows]


def _restricted(maps: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Restrict permutations, (n_draws, n_sources), to the sources `here`: follow each until it meets one of them."""
    image = maps.copy()
    while (lost := ~here[image] & here).any():
        image = np.where(lost, np.take_along_axis(maps, image, axis=1), image)
    return np.where(here, image, np.arange(len(here)))


def mean_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return Student's interval (low, high) of the mean over targets, NaN with fewer than two; draws of few are too narrow."""
    known = values[~np.isnan(values)]
    n = len(known)
    if n < 2:
        return np.nan, np.nan
    half = special.stdtrit(n - 1, (1 + level) / 2) * known.std(ddof=1) / np.sqrt(n)
    return known.mean() - half, known.mean() + half


def values(x: np.ndarray, drawn: Sequence[ranks.Draws]) -> np.ndarray:
    """Statistics of one measure, x (n_targets, n_sources), on every target and over all: (n_targets + 1, 5, n_draws)."""
    found = [ranks.on_target(here, one) for here, one in zip(x, drawn, strict=True)]
    return np.stack([one.values for one in (*found, ranks.over_targets(found))])


def _fold_means(y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the drawn folds that a source has, (n_draws, n_sources); y (n_sources, n_folds), counts (n_draws, n_folds)."""
    n = counts @ ~np.isnan(y).T
    return np.where(n > 0, counts @ np.nan_to_num(y).T / np.maximum(n, 1), np.nan)
