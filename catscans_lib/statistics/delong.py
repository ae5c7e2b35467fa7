"""DeLong's variance of an AUC and his paired test of two AUCs, in O(n log n).

The AUC is the mean of the components v10 (one per positive: the share of negatives below it, ties one half), and also of v01
(one per negative: the share of positives above it). Its variance is var(v10) / n_positive + var(v01) / n_negative. Counting
along the sorted scores gives all components. Images count as independent; if patients have several images, bootstrap over
patients instead.

References
----------
DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3). Sun and Xu (2014), IEEE Signal Processing Letters 21(11).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, logit

METHODS = ("logit", "wald")


class Paired(NamedTuple):
    """Difference of two AUCs on the same images (a minus b), its variance, z test against 0, and interval."""

    difference: float
    variance: float
    z: float
    p: float
    low: float
    high: float


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs of several models on the same images, shape (n_models,), and their covariance matrix.

    `labels`, shape (n,), are True where the image is positive. `scores`, shape (n,) or (n_models, n), may have any scale; higher
    means positive, and ties count one half. A variance is exactly 0 if a model separates the classes perfectly or all scores are
    equal. The formula then cannot estimate the uncertainty, which is not 0 (`interval` returns NaN). It is NaN with a single
    positive or negative. Raises ValueError if the labels are not bool or all the same, a score is not finite, or the shapes do
    not match.
    """
    v10, v01 = _components(labels, scores)
    return v10.mean(axis=1), _variance_of_mean(v10) + _variance_of_mean(v01)


def interval(auc: float, variance: float, level: float = 0.95, method: str = "logit") -> tuple[float, float]:
    """Return the confidence interval (low, high) of an AUC, from its variance as `delong` returns it.

    `logit` is a normal approximation on the logit scale, which stays within (0, 1) and is better near 1; `wald` is one on the
    AUC's own scale, clipped to [0, 1]. An AUC of exactly 0 or 1 has no logit and gets the Wald interval. The interval is
    (nan, nan) if the variance is 0 or NaN, for example if the classes are separated perfectly: an interval from 1 to 1 would
    claim a certainty that the sample cannot give. Raises ValueError if a number is out of range, or the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown method '{method}'; known: {', '.join(METHODS)}.")
    if not 0 <= auc <= 1 or variance < 0:
        raise ValueError(f"An AUC lies in [0, 1] and a variance is at least 0; got {auc} and {variance}.")
    half = _quantile(level) * np.sqrt(variance)
    if not variance > 0:
        return np.nan, np.nan
    if method == "logit" and 0 < auc < 1:
        half /= auc * (1 - auc)  # the slope of the logit
        return float(expit(logit(auc) - half)), float(expit(logit(auc) + half))
    return float(max(auc - half, 0)), float(min(auc + half, 1))


def paired(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, level: float = 0.95) -> Paired:
    """Test whether two models have the same AUC on the same images (in the same order).

    The interval is Wald's at `level`. If the variance is 0, the interval is NaN; z is then 0 and p 1 for models with equal
    AUCs (same ranking, or both perfect), and both are NaN for others.
    """
    v10, v01 = _components(labels, np.stack([np.asarray(scores_a, dtype=float), np.asarray(scores_b, dtype=float)]))
    apart = v10[:1] - v10[1:], v01[:1] - v01[1:]  # differences first: equal ranks then give variance 0
    difference, variance = float(apart[0].mean()), float(sum(map(_variance_of_mean, apart))[0, 0])
    if variance == 0:
        z, p = (0.0, 1.0) if difference == 0 else (np.nan, np.nan)
        return Paired(difference, variance, z, p, np.nan, np.nan)
    z, half = difference / np.sqrt(variance), _quantile(level) * np.sqrt(variance)
    p = float(2 * stats.norm.sf(abs(z)))
    return Paired(difference, variance, float(z), p, float(difference - half), float(difference + half))


def all_pairs(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUC differences of all pairs of models (row minus column) and their variances, as `paired` does for two.

    `scores` has shape (n_models, n); it is NaN where a model has no score for an image, and each pair is compared on the
    images that both have. The results, shape (n_models, n_models), are NaN for two models without a common image.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    known = np.isfinite(scores)
    whole = np.flatnonzero(known.all(axis=1))
    differences, variances = np.full((2, len(scores), len(scores)), np.nan)
    if len(whole):
        v10, v01 = _components(labels, scores[whole])
        for row, number in enumerate(whole):
            apart = v10[row] - v10, v01[row] - v01
            differences[number, whole] = apart[0].mean(axis=1)
            variances[number, whole] = sum(map(_own_variance_of_mean, apart))
    for one, other in np.argwhere(~np.isin(np.indices(differences.shape), whole).all(axis=0)):
        if (both := known[one] & known[other]).any():
            found = paired(labels[both], scores[one, both], scores[other, both])
            differences[one, other], variances[one, other] = found.difference, found.variance
    return differences, variances


def _components(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return v10, shape (n_models, n_positive), and v01, shape (n_models, n_negative)."""
    labels, scores = np.asarray(labels), np.atleast_2d(np.asarray(scores, dtype=float))
    _check(labels, scores)
    row, order = np.arange(len(scores))[:, None], np.argsort(scores, axis=1)
    positive, ordered = labels[order], scores[row, order]
    # True where a score differs from the one before it; also for the first image and for the end
    differs = np.ones((len(scores), len(labels) + 1), dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=differs[:, 1:-1])
    n_positive = np.zeros(differs.shape, dtype=int)  # among the first 0, 1, ..., n images
    np.cumsum(positive, axis=1, out=n_positive[:, 1:])
    n_negative = np.arange(len(labels) + 1) - n_positive
    below = np.empty_like(scores)
    below[row, order] = np.where(positive, _n_below(n_negative, differs), _n_below(n_positive, differs))
    return below[:, labels] / (~labels).sum(), 1 - below[:, ~labels] / labels.sum()


def _n_below(n_before: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """Count the images below each image, ties as one half; `n_before` grows along the sorted scores."""
    lower = np.maximum.accumulate(np.where(differs, n_before, 0)[:, :-1], axis=1)
    not_higher = np.minimum.accumulate(np.where(differs, n_before, n_before[:, -1:])[:, :0:-1], axis=1)[:, ::-1]
    return (lower + not_higher) / 2


def _variance_of_mean(components: np.ndarray) -> np.ndarray:
    """Covariance of the means, shape (n_models, n_models)."""
    n_models, n = components.shape
    if n < 2:
        return np.full((n_models, n_models), np.nan)
    apart = components - components.mean(axis=1, keepdims=True)
    return apart @ apart.T / ((n - 1) * n)


def _own_variance_of_mean(components: np.ndarray) -> np.ndarray:
    """The diagonal of `_variance_of_mean`, shape (n_models,)."""
    n_models, n = components.shape
    return components.var(axis=1, ddof=1) / n if n > 1 else np.full(n_models, np.nan)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"A level lies in (0, 1), such as 0.95; got {level}.")
    return float(stats.norm.ppf((1 + level) / 2))


def _check(labels: np.ndarray, scores: np.ndarray) -> None:
    if labels.dtype != bool:
        raise ValueError(f"DeLong needs bool labels; got {labels.dtype}. Pass labels == the positive class.")
    if scores.shape[1:] != labels.shape:
        raise ValueError(f"Labels of shape {labels.shape} need as many scores per model; got shape {scores.shape}.")
    if labels.all() or not labels.any():
        raise ValueError(f"An AUC needs positives and negatives; got {labels.sum()} and {(~labels).sum()}.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} scores are not finite.")
