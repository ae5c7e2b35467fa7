"""What does it cost to turn one dataset into another? Wasserstein distances of features, and OTDD, which also moves labels."""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure
from catscans_lib.similarity.measures.distribution import gaussian_distance, moments

N_DIRECTIONS = 200
BLUR = 0.05  # entropic regularisation, as a share of the mean cost between the two sets
MOST_PIVOTS = 10_000_000  # of the network simplex; POT's default is too few for thousands of images
MOST_STEPS = 5000  # of Sinkhorn's iteration, and the change of a potential, in units of the blur, that ends it
TOLERANCE = 1e-7


def wasserstein(features: ArrayLike, source_features: ArrayLike, blur: float | None = None) -> float:
    """Squared Wasserstein-2 distance of two sets of features, every image weighing the same.

    Parameters
    ----------
    features, source_features : array_like of float, shape (n_images, n_features), (n_source_images, n_features)
        By one network.
    blur : float, optional
        Entropic regularisation as a share of the mean cost; the divergence is then debiased. None: the exact distance.

    Returns
    -------
    float
        In squared units of the features; 0 for a set and itself.

    Raises
    ------
    InputError
        If the two differ in their number of features, or are not as `checks` wants them.

    References
    ----------
    Peyre and Cuturi (2019), arXiv:1803.00567; Feydy et al. (2019), arXiv:1810.08278, for the debiased divergence.
    """
    x, z = checks.same_space(features, source_features)
    return _transported(lambda first, second: cdist(first, second, "sqeuclidean"), x, z, blur)


def sliced_wasserstein(
    features: ArrayLike, source_features: ArrayLike, n_directions: int = N_DIRECTIONS, seed: int = 0
) -> float:
    """Mean over random directions of the squared Wasserstein-2 distance along each; exact there, also for unequal numbers.

    Parameters
    ----------
    features, source_features
        As in `wasserstein`.
    n_directions : int
        Drawn evenly from the sphere.
    seed : int
        Of the directions.

    Returns
    -------
    float
        In squared units of the features; at most ``wasserstein / n_features`` but for the draw.

    References
    ----------
    Bonneel et al. (2015), doi:10.1007/s10851-014-0506-3.
    """
    x, z = checks.same_space(features, source_features)
    directions = np.random.default_rng(seed).normal(size=(x.shape[1], n_directions))
    directions /= np.linalg.norm(directions, axis=0)
    x, z = np.sort(x @ directions, axis=0), np.sort(z @ directions, axis=0)
    ends = np.union1d(np.arange(1, len(x) + 1) / len(x), np.arange(1, len(z) + 1) / len(z))
    shares = np.diff(ends, prepend=0)
    middles = ends - shares / 2
    apart = x[(middles * len(x)).astype(int)] - z[(middles * len(z)).astype(int)]
    return float((shares @ apart**2).mean())


def otdd(
    features: ArrayLike, labels: ArrayLike, source_features: ArrayLike, source_labels: ArrayLike, blur: float | None = None
) -> float:  # fmt: skip
    """Optimal transport dataset distance: transport between labelled images, where changing the class costs too.

    The cost of moving an image is the squared distance of features plus the squared Wasserstein-2 distance of the two classes
    as Gaussians. microsoft/otdd takes half of this as its cost.

    Parameters
    ----------
    features, source_features, blur
        As in `wasserstein`.
    labels, source_labels : array_like of int, shape (n_images,), (n_source_images,)

    Returns
    -------
    float
        In squared units of the features; 0 for a dataset and itself.

    References
    ----------
    Alvarez-Melis and Fusi (2020), arXiv:2002.02923.
    """
    x, z = checks.same_space(features, source_features)
    y = checks.labels(labels, len(x))
    y_source = checks.labels(source_labels, len(z), "source_labels")
    return _transported(_labelled_cost, (x, y, class_moments(x, y)), (z, y_source, class_moments(z, y_source)), blur)


def label_distances(first: list, second: list) -> np.ndarray:
    """Squared Wasserstein-2 distances between classes as Gaussians, given as `moments`, shape (n_classes, n_other_classes)."""
    return np.array([[gaussian_distance(one, other) for other in second] for one in first])


def class_moments(features: np.ndarray, labels: np.ndarray) -> list:
    """Return every class as a Gaussian, as `moments`."""
    return [moments(features[labels == number]) for number in range(labels.max() + 1)]


def _labelled_cost(first: tuple, second: tuple) -> np.ndarray:
    (x, y, classes), (z, y_other, other_classes) = first, second
    return cdist(x, z, "sqeuclidean") + label_distances(classes, other_classes)[y[:, None], y_other]


def _transported(cost: Callable[[Any, Any], np.ndarray], first: Any, second: Any, blur: float | None) -> float:
    """Return the least mean cost; where blurred, less half of that from each side to itself."""
    across = cost(first, second)
    if blur is None:
        return float(_pot().emd2([], [], across, numItermax=MOST_PIVOTS))
    strength = blur * float(across.mean())
    if strength == 0:  # all images of both sets are the same
        return 0.0
    own, other = (_blurred(cost(side, side), strength) for side in (first, second))
    return _blurred(across, strength) - (own + other) / 2


def _pot() -> ModuleType:
    """Import POT without its deep-learning backends, which are not used here and take seconds to load."""
    for backend in ("TENSORFLOW", "PYTORCH", "JAX", "CUPY"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    import ot

    return ot


def _blurred(cost: np.ndarray, strength: float) -> float:
    """Least of ``<plan, cost> + strength * KL(plan | product of the margins)``, by Sinkhorn's iteration on both potentials.

    Averaged steps, as in Feydy et al.: a set to itself takes tens of steps in place of the thousands of alternating ones.
    """
    scaled = cost / strength
    first, second = np.zeros(len(cost)), np.zeros(cost.shape[1])
    for _ in range(MOST_STEPS):
        of_first, of_second = _soft_least(scaled - second), _soft_least(scaled.T - first)
        change = max(np.abs(of_first - first).max(), np.abs(of_second - second).max())
        first, second = (first + of_first) / 2, (second + of_second) / 2
        if change < TOLERANCE:
            break
    return strength * float(first.mean() + second.mean())


def _soft_least(values: np.ndarray) -> np.ndarray:
    """Return ``-log mean exp(-values)`` over columns, shape (n_rows,)."""
    least = values.min(axis=1, keepdims=True)
    return least[:, 0] - np.log(np.exp(least - values).mean(axis=1))


_RIGID = frozenset({"rotation", "shift"})  # done to both sets alike
_TWO = {"larger_is_closer": False, "is_symmetric": True, "range": (0, np.inf)}
_FEATURES = {"arguments": ("features", "source_features"), **_TWO}
_LABELLED = {"arguments": ("features", "labels", "source_features", "source_labels"), **_TWO}
MEASURES = (
    Measure(
        name="wasserstein", title="Wasserstein distance", function=wasserstein, **_FEATURES, invariances=_RIGID,
        cost="O(n n_s d + n^3 log n) at worst", reference="peyre2019, arXiv:1803.00567",
        blind_to="labels; in many dimensions two samples of one distribution are far apart",
    ),
    Measure(
        name="sinkhorn_divergence", title="Sinkhorn divergence", function=wasserstein, settings={"blur": BLUR}, **_FEATURES,
        invariances=_RIGID, cost="O((n + n_s)^2) per step", reference="feydy2019, arXiv:1810.08278",
        blind_to="labels; differences finer than the blur",
    ),
    Measure(
        name="sliced_wasserstein", title="Sliced Wasserstein distance", function=sliced_wasserstein, **_FEATURES,
        invariances=frozenset({"shift"}), cost="O(200 n (d + log n))", reference="bonneel2015, doi:10.1007/s10851-014-0506-3",
        blind_to="labels; directions that a random draw of 200 misses", is_random=True,
    ),
    Measure(
        name="otdd", title="OTDD", function=otdd, **_LABELLED, invariances=_RIGID,
        cost="O(n n_s d + C C_s min(n / C, d)^3 + n^3 log n) at worst", reference="alvarezmelis2020, arXiv:2002.02923",
        blind_to="class structure beyond mean and covariance; which classes have the same meaning",
    ),
    Measure(
        name="otdd_debiased", title="OTDD (debiased)", function=otdd, settings={"blur": BLUR}, **_LABELLED,
        invariances=_RIGID, cost="O((n + n_s)^2) per step", reference="alvarezmelis2020, arXiv:2002.02923",
        blind_to="as OTDD, and differences finer than the blur",
    ),
)  # fmt: skip
