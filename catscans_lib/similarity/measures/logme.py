"""LogME: the evidence that a Bayesian linear model of the labels finds in features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure
from catscans_lib.similarity.measures import spectrum

FLOOR = 1e-10  # squared error below which a fit counts as perfect; there the evidence has no upper bound
STEP = 0.5  # of the logarithm of alpha / beta, on which the evidence changes over about 1


class Rule(NamedTuple):
    """How a published program iterates: at most 11 steps, until alpha / beta changes by less than `tolerance`.

    `epsilon` is added to the denominators of alpha and beta, and where `is_in_evidence` also to the terms of the evidence.
    """

    epsilon: float
    tolerance: float
    is_in_evidence: bool


PUBLISHED = {"fixed_point": Rule(1e-5, 1e-3, False), "icml": Rule(1e-5, 1e-2, True), "icml_tllib": Rule(0, 1e-2, True)}


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Largest log evidence per image of ``y = X w + noise``, mean over classes, y being the indicator of a class.

    ``w ~ N(0, 1 / alpha)`` and ``noise ~ N(0, 1 / beta)``. For a given ratio t = alpha / beta the best beta has a closed form, so
    one number per class is searched for, on a grid and then to 1e-9: the maximum itself, also where it lies at t = 0 or
    infinity, which happens with fewer images than features.

    Parameters
    ----------
    features : array_like of float, shape (n_images, n_features)
    labels : array_like of int, shape (n_images,)

    Returns
    -------
    float
        In nats per image. Turning or scaling the features changes nothing; shifting does, there being no intercept. Where the
        labels are a linear function of the features the squared error is taken to be 1e-10.

    Raises
    ------
    InputError
        If features or labels are not as `checks` wants them.

    References
    ----------
    You et al. (2021), arXiv:2102.11005; You et al. (2022), arXiv:2110.10545.
    """
    x, y = checks.labelled(features, labels)
    found = spectrum.projections(x, spectrum.one_hot(y))
    if len(found.squared) == 0:  # all features are 0: the evidence of noise alone
        return float(np.mean([-_noise(rest, len(x)) for rest in found.rest]) / len(x))
    ends = np.log(found.squared.min()) - 25, np.log(found.squared.max()) + 25
    grid = np.linspace(*ends, int(np.ceil((ends[1] - ends[0]) / STEP)))
    best = np.argmin(_minus_evidence(grid[:, None], found, len(x)), axis=0)
    evidences = []
    for number, place in enumerate(best):
        one = spectrum.Projections(found.squared, found.along[:, [number]], found.rest[[number]])
        bounds = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        searched = minimize_scalar(
            lambda log_t, one=one: float(_minus_evidence(np.array([[log_t]]), one, len(x))[0, 0]),
            bounds=bounds, method="bounded", options={"xatol": 1e-9},
        )  # fmt: skip
        evidences.append(-searched.fun / len(x))
    return float(np.mean(evidences))


def _minus_evidence(log_t: np.ndarray, found: spectrum.Projections, n: int) -> np.ndarray:
    """Return minus the log evidence at the best beta, shape (n_ratios, n_targets), for log(alpha / beta), shape (n_ratios, 1).

    Least of ``|y - X w|^2 + t |w|^2`` is ``rest + sum(along * t / (t + s))``, and ``det(alpha + beta X'X)`` leaves ``1 + s / t``.
    """
    t = np.exp(log_t)
    error = found.rest + (t / (t + found.squared)) @ found.along
    return _noise(error, n) + np.log1p(found.squared / t).sum(axis=1, keepdims=True) / 2


def _noise(error: np.ndarray, n: int) -> np.ndarray:
    return n / 2 * (np.log((error + FLOOR) / n) + 1 + np.log(2 * np.pi))


def logme_published(features: ArrayLike, labels: ArrayLike, rule: str = "fixed_point") -> float:
    """LogME as published programs compute it, stopped early and with small constants; to compare with published values.

    Parameters
    ----------
    features, labels
        As in `logme`.
    rule : {"fixed_point", "icml", "icml_tllib"}
        Of LogME.py at thuml/LogME (its default; its older one), and of thuml/Transfer-Learning-Library. The default leaves
        directions without variance out of the determinant, which is wrong for fewer images than features
        (thuml/LogME#23); here they are in.

    Returns
    -------
    float
        In nats per image; up to 3e-4 below `logme`.
    """
    x, y = checks.labelled(features, labels)
    squared, along, rest = spectrum.projections(x, spectrum.one_hot(y))
    evidences = [
        _iterated(squared, along[:, number], rest[number], x.shape, PUBLISHED[rule]) for number in range(len(rest))
    ]
    return float(np.mean(evidences))


def _iterated(squared: np.ndarray, along: np.ndarray, rest: float, shape: tuple[int, int], rule: Rule) -> float:
    (n, d), alpha, beta = shape, 1.0, 1.0
    for _ in range(11):
        t = alpha / beta
        gamma = (squared / (squared + t)).sum()
        weights = (squared * along / (t + squared) ** 2).sum()
        error = (along / (1 + squared / t) ** 2).sum() + rest
        alpha, beta = gamma / (weights + rule.epsilon), (n - gamma) / (error + rule.epsilon)
        if abs(alpha / beta - t) / t <= rule.tolerance:
            break
    extra = rule.epsilon if rule.is_in_evidence else 0
    determinant = np.log(alpha + beta * squared).sum() + (d - len(squared)) * np.log(alpha)
    fit = beta * (error + extra) + alpha * (weights + extra)
    return (d * np.log(alpha) + n * np.log(beta) - determinant - fit - n * np.log(2 * np.pi)) / (2 * n)


MEASURES = (
    Measure(
        name="logme", title="LogME", function=logme, arguments=("features", "labels"), larger_is_closer=True,
        range=(-np.inf, np.inf), cost="O(n d min(n, d))", reference="you2021, arXiv:2102.11005",
        blind_to="what only a non-linear classifier finds; how far the network would move in fine-tuning",
        invariances=frozenset({"rotation", "scale"}),
    ),
)  # fmt: skip
