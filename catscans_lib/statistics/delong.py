"""DeLong's variance of an AUC and his paired test of two AUCs, in O(n log n), also for grouped images.

The AUC is the mean of the components v10 (one per positive: the share of negatives below it, ties one half), and also of v01
(one per negative: the share of positives above it). Counting along the sorted scores gives all components. With independent
images, the variance is var(v10) / n_positive + var(v01) / n_negative. Images of one patient are correlated, so Obuchowski's
form sums the deviations of the components from the AUC over each group (patient, lesion, slide), and adds the covariance of
a group's positives with its negatives. If each image is its own group, both forms are equal.

References
----------
DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3). Sun and Xu (2014), IEEE Signal Processing Letters 21(11).
Obuchowski (1997), Biometrics 53(2), for groups.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.special import expit, logit

ROUNDING = 1e-12  # deviations from the AUC up to this are rounding, not variance


class _Deviations(NamedTuple):
    """AUCs, shape (n_models,), and the components' deviations from them, summed by group, shape (n_models, n_groups)."""

    auc: np.ndarray
    positive: np.ndarray  # of v10, divided by n_positive, so that a variance is a sum of squares
    negative: np.ndarray  # of v01, divided by n_negative
    counts: tuple[int, int, int]  # groups with a positive, with a negative, all

    def covariance(self) -> np.ndarray:
        """Return the covariance matrix of the AUCs, shape (n_models, n_models)."""
        both = self.positive @ self.negative.T
        terms = self.positive @ self.positive.T, self.negative @ self.negative.T, both + both.T
        return sum(factor * of for factor, of in zip(self._factors(), terms, strict=True))

    def _factors(self) -> list[float]:
        """Return n / (n - 1) of every count; NaN for a single positive or negative group, whose variance is unknown."""
        return [n / (n - 1) if n > 1 else np.nan for n in self.counts]


class Paired(NamedTuple):
    """Difference of two AUCs on the same images (a minus b), its variance, z test against 0, and interval."""

    difference: float
    variance: float
    z: float
    p: float
    low: float
    high: float


def delong(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs of several models on the same images, shape (n_models,), and their covariance matrix.

    `labels`, shape (n,), are True where the image is positive. `scores`, shape (n,) or (n_models, n), may have any scale; higher
    means positive, and ties count one half. `groups`, shape (n,), are patients, lesions or slides; None: images are independent.
    A variance is exactly 0 if a model separates the classes perfectly or all scores are equal. The formula then cannot estimate
    the uncertainty, which is not 0 (`interval` returns NaN). It is NaN if all positives, or all negatives, are in one group.
    Raises ValueError if the labels are not bool or all the same, a score is not finite, or the shapes do not match.
    """
    found = _deviations(labels, scores, groups)
    return found.auc, found.covariance()


def interval(auc: float, variance: float, level: float = 0.95, method: str = "logit") -> tuple[float, float]:
    """Return the confidence interval (low, high) of an AUC, from its variance as `delong` returns it.

    `logit` is a normal approximation on the logit scale, `wald` one on the AUC's own scale, clipped to [0, 1]; an AUC of
    exactly 0 or 1 has no logit and gets Wald's. (nan, nan) if the variance is 0 or NaN, for example if the classes are
    separated perfectly: an interval from 1 to 1 would claim a certainty that the sample cannot give.
    """
    half = special.ndtri((1 + level) / 2) * np.sqrt(variance)
    if not variance > ROUNDING**2:
        return np.nan, np.nan
    if method == "logit" and 0 < auc < 1:
        half /= auc * (1 - auc)  # the slope of the logit
        return float(expit(logit(auc) - half)), float(expit(logit(auc) + half))
    return float(max(auc - half, 0)), float(min(auc + half, 1))


def paired(
    labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, groups: ArrayLike | None = None, *, level: float = 0.95
) -> Paired:
    """Test whether two models have the same AUC on the same images (in the same order); `groups` as in `delong`.

    The interval is Wald's at `level`. If the variance is 0, it is NaN; z is then 0 and p 1 for models with equal AUCs, else NaN.
    """
    found = _deviations(
        labels, np.stack([np.asarray(scores_a, dtype=float), np.asarray(scores_b, dtype=float)]), groups
    )
    # equal rankings: exactly 0
    apart = _Deviations(*(of_both[:1] - of_both[1:] for of_both in found[:3]), found.counts)
    difference, variance = apart.auc.item(), apart.covariance().item()
    sd = np.sqrt(variance) if variance > ROUNDING**2 else np.nan
    z = 0.0 if variance <= ROUNDING**2 and abs(difference) <= ROUNDING else float(difference / sd)
    half = float(sd * special.ndtri((1 + level) / 2))
    return Paired(difference, variance, z, float(2 * special.ndtr(-abs(z))), difference - half, difference + half)


def _deviations(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> _Deviations:
    labels = np.asarray(labels)
    v10, v01 = _components(labels, scores)
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if names.shape != labels.shape:
        raise ValueError(f"{len(labels)} images need as many groups; got shape {names.shape}.")
    codes = np.unique(names, return_inverse=True)[1]
    summed, counts = [], []
    for components, of in ((v10, codes[labels]), (v01, codes[~labels])):
        apart = components - components.mean(axis=1, keepdims=True)
        apart = np.where(np.abs(apart) <= ROUNDING, 0.0, apart) / components.shape[1]
        summed.append(np.stack([np.bincount(of, weights=row, minlength=codes.max() + 1) for row in apart]))
        counts.append(len(np.unique(of)))
    return _Deviations(v10.mean(axis=1), *summed, (*counts, int(codes.max()) + 1))


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


def _check(labels: np.ndarray, scores: np.ndarray) -> None:
    if labels.dtype != bool:
        raise ValueError(f"DeLong needs bool labels; got {labels.dtype}. Pass labels == the positive class.")
    if scores.shape[1:] != labels.shape:
        raise ValueError(f"Labels of shape {labels.shape} need as many scores per model; got shape {scores.shape}.")
    if labels.all() or not labels.any():
        raise ValueError(f"An AUC needs positives and negatives; got {labels.sum()} and {(~labels).sum()}.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} scores are not finite.")
