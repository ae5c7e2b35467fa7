"""DeLong's variance of an AUC and his paired test of two AUCs, in O(n log n), also for grouped images.

The AUC is the mean of the components v10 (one per positive: the share of negatives below it, ties one half), and also of v01
(one per negative: the share of positives above it). With independent images, the variance is var(v10) / n_positive + var(v01) /
n_negative. Images of one patient are correlated, so Obuchowski's form sums the deviations of the components from the AUC over
each group (patient, lesion, slide), and adds the covariance of a group's positives with its negatives. If each image is its own
group, both forms are equal. References: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3). Sun and Xu (2014), IEEE
Signal Processing Letters 21(11). Obuchowski (1997), Biometrics 53(2), for groups.
"""

from collections import namedtuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats
from scipy.special import expit, logit

Z = special.ndtri(0.975)  # half a 95 % interval, in standard deviations
ROUNDING = 1e-12  # deviations from the AUC up to this are rounding, not variance


Paired = namedtuple("Paired", "difference variance z p low high")  # of two AUCs on the same images, a minus b


def delong(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs of several models on the same images, shape (n_models,), and their covariance matrix.

    `labels`, shape (n,), are True (1) if positive. `scores`, shape (n,) or (n_models, n), may have any scale; higher
    means positive, and ties count one half. `groups`, shape (n,), are patients, lesions or slides; None: images are independent.
    A variance is exactly 0 if a model separates the classes perfectly or all scores are equal. The formula then cannot estimate
    the uncertainty, which is not 0 (`interval` returns NaN). It is NaN if all positives, or all negatives, are in one group.
    """
    auc, *deviations = _deviations(labels, scores, groups)
    return auc, _covariance(*deviations)


def interval(auc: float, variance: float) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of an AUC, normal on the logit scale, from its variance as `delong` returns it.

    (nan, nan) if the variance is 0 or NaN, for example if the classes are separated perfectly: an interval from 1 to 1 would
    claim a certainty that the sample cannot give.
    """
    if not variance > ROUNDING**2:
        return np.nan, np.nan
    half = Z * np.sqrt(variance) / (auc * (1 - auc))  # the slope of the logit
    return float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def paired(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, groups: ArrayLike | None = None) -> Paired:
    """Test whether two models have the same AUC on the same images (in the same order); `groups` as in `delong`.

    The interval is Wald's, 95 %. If the variance is 0, it is NaN; z is then 0 and p 1 for models with equal AUCs, else NaN.
    """
    *found, counts = _deviations(labels, np.stack([scores_a, scores_b]), groups)
    auc, *deviations = (of_both[:1] - of_both[1:] for of_both in found)  # equal rankings: exactly 0
    difference, variance = auc.item(), _covariance(*deviations, counts).item()
    sd = np.sqrt(variance) if variance > ROUNDING**2 else np.nan
    z = 0.0 if variance <= ROUNDING**2 and abs(difference) <= ROUNDING else float(difference / sd)
    half = float(sd * Z)
    return Paired(difference, variance, z, float(2 * special.ndtr(-abs(z))), difference - half, difference + half)


def _covariance(positive: np.ndarray, negative: np.ndarray, counts: tuple[int, ...]) -> np.ndarray:
    """Return the covariance matrix of the AUCs from what `_deviations` returns; NaN for a single positive or negative group."""
    both = positive @ negative.T
    terms = positive @ positive.T, negative @ negative.T, both + both.T
    return sum((n / (n - 1) if n > 1 else np.nan) * of for n, of in zip(counts, terms, strict=True))


def _deviations(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> tuple[np.ndarray, ...]:
    """Return the AUCs, the deviations of v10 and v01 divided by their numbers, and the groups of positives, negatives, all.

    Deviations are summed by group, shape (n_models, n_groups), so that a variance is a sum of squares.
    """
    labels, scores = np.asarray(labels), np.atleast_2d(np.asarray(scores, dtype=float))
    if (
        not np.isin(labels, (0, 1)).all()
        or len({len(labels), scores.shape[-1], len(labels if groups is None else groups)}) > 1
    ):
        got = f"labels {np.unique(labels)[:3].tolist()} of {len(labels)} images, scores {scores.shape}"
        raise ValueError(
            f"DeLong needs labels True or 1 and False or 0, scores and groups of the same images; got {got}."
        )
    labels = labels.astype(bool)  # 0 and 1 would select the first two images
    # A rank among all images minus that among images of its class is the number of others below, ties as one half.
    below = stats.rankdata(scores, axis=1)
    for of in (labels, ~labels):
        below[:, of] -= stats.rankdata(scores[:, of], axis=1)
    v10, v01 = below[:, labels] / (~labels).sum(), 1 - below[:, ~labels] / labels.sum()
    codes = np.unique(np.arange(len(labels)) if groups is None else groups, return_inverse=True)[1]
    summed, counts = [], []
    for components, of in ((v10, codes[labels]), (v01, codes[~labels])):
        apart = components - components.mean(axis=1, keepdims=True)
        apart = np.where(np.abs(apart) <= ROUNDING, 0.0, apart) / components.shape[1]
        summed.append(np.stack([np.bincount(of, weights=row, minlength=codes.max() + 1) for row in apart]))
        counts.append(len(np.unique(of)))
    return v10.mean(axis=1), *summed, (*counts, int(codes.max()) + 1)
