"""How far apart are two sets of images in the features of one network? Labels are not looked at."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure
from catscans_lib.similarity.measures import spectrum

BLOCK = 2048  # rows of a kernel matrix at a time: memory grows with n, not n^2
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def frechet_distance(features: ArrayLike, source_features: ArrayLike, ddof: int = 1) -> float:
    """Frechet distance (squared) of Gaussians fitted to two sets of features, as in FID.

    The trace of the root of the product of covariances is the sum of singular values of a product of their factors, so
    nothing is squared or inverted, and it is exact also with fewer images than features.

    Parameters
    ----------
    features, source_features : array_like of float, shape (n_images, n_features), (n_source_images, n_features)
        By one network.
    ddof : int
        Covariances are divided by the number of images less this.

    Returns
    -------
    float
        At least 0, in squared units of the features. Falls with the number of images for one and the same pair of
        distributions: compare only values of equal numbers.

    Raises
    ------
    InputError
        If the two differ in their number of features, or are not as `checks` wants them.

    References
    ----------
    Heusel et al. (2017), arXiv:1706.08500; Dowson and Landau (1982), doi:10.1016/0047-259X(82)90077-X.
    """
    x, z = checks.same_space(features, source_features)
    return gaussian_distance(moments(x, ddof), moments(z, ddof))


def moments(features: np.ndarray, ddof: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return mean, shape (d,), and a factor F of the covariance, ``cov = F.T @ F``; of a single image the covariance is 0."""
    mean = features.mean(axis=0)
    return mean, spectrum.factor(features - mean) / np.sqrt(max(len(features) - ddof, 1))


def gaussian_distance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """Squared Wasserstein-2 distance of two Gaussians, given as `moments`: that of the means, and that of the covariances."""
    (mean, factor), (other_mean, other_factor) = first, second
    cross = np.linalg.norm(factor @ other_factor.T, ord="nuc")
    spread = (factor**2).sum() + (other_factor**2).sum() - 2 * cross
    return float(((mean - other_mean) ** 2).sum() + max(spread, 0))


def kid(features: ArrayLike, source_features: ArrayLike, is_unbiased: bool = True) -> float:
    """Kernel inception distance: squared maximum mean discrepancy with the kernel ``(x.z / n_features + 1) ** 3``.

    Parameters
    ----------
    features, source_features
        As in `frechet_distance`; all images are used, not subsets.
    is_unbiased : bool
        Leave out the pairs of an image with itself; the value may then be a little below 0.

    Returns
    -------
    float
        Its expectation does not depend on the number of images.

    References
    ----------
    Binkowski et al. (2018), arXiv:1801.01401.
    """
    x, z = checks.same_space(features, source_features)
    return _discrepancy(lambda a, b: (a @ b.T / x.shape[1] + 1) ** 3, x, z, is_unbiased)


def mmd_rbf(features: ArrayLike, source_features: ArrayLike, is_unbiased: bool = True) -> float:
    """Squared maximum mean discrepancy with the kernel ``exp(-|x - z|^2 / h)``, h being the median over pairs of both sets.

    Parameters
    ----------
    features, source_features, is_unbiased
        As in `kid`.

    Returns
    -------
    float
        At most 2; 0 where all images are the same.

    References
    ----------
    Gretton et al. (2012), JMLR 13(25).
    """
    x, z = checks.same_space(features, source_features)
    median = float(np.median(pdist(np.concatenate([x, z]), "sqeuclidean")))
    if median == 0:  # half of the pairs are equal: any other distance is far
        median = np.finfo(float).tiny
    return _discrepancy(lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / median), x, z, is_unbiased)


def energy_distance(features: ArrayLike, source_features: ArrayLike, is_unbiased: bool = False) -> float:
    """``2 E|x - z| - E|x - x'| - E|z - z'|`` with Euclidean distances, not rooted.

    Parameters
    ----------
    features, source_features, is_unbiased
        As in `kid`, except that pairs of an image with itself count unless `is_unbiased`.

    Returns
    -------
    float
        In units of the features; at least 0 where biased.

    References
    ----------
    Szekely and Rizzo (2013), doi:10.1016/j.jspi.2013.03.018.
    """
    x, z = checks.same_space(features, source_features)
    return _discrepancy(lambda a, b: -cdist(a, b), x, z, is_unbiased)


def _discrepancy(kernel: Kernel, x: np.ndarray, z: np.ndarray, is_unbiased: bool) -> float:
    own = _own_mean(kernel, x, is_unbiased) + _own_mean(kernel, z, is_unbiased)
    return own - 2 * _sum(kernel, x, z) / (len(x) * len(z))


def _own_mean(kernel: Kernel, x: np.ndarray, is_unbiased: bool) -> float:
    if not is_unbiased:
        return _sum(kernel, x, x) / len(x) ** 2
    with_itself = sum(float(kernel(row[None], row[None])[0, 0]) for row in x)
    return (_sum(kernel, x, x) - with_itself) / (len(x) * (len(x) - 1))


def _sum(kernel: Kernel, x: np.ndarray, z: np.ndarray) -> float:
    return sum(float(kernel(x[start : start + BLOCK], z).sum()) for start in range(0, len(x), BLOCK))


_TWO = {"arguments": ("features", "source_features"), "larger_is_closer": False, "is_symmetric": True}
_RIGID = frozenset({"rotation", "shift"})  # done to both sets alike
MEASURES = (
    Measure(
        name="frechet_distance", title="Frechet distance", function=frechet_distance, **_TWO, range=(0, np.inf),
        cost="O((n + n_s) d min(n, d) + min(n, d)^3)", reference="heusel2017, arXiv:1706.08500", invariances=_RIGID,
        blind_to="labels; everything beyond mean and covariance; the number of images biases it",
    ),
    Measure(
        name="kid", title="Kernel distance (KID)", function=kid, **_TWO, range=(-np.inf, np.inf),
        cost="O((n + n_s)^2 d)", reference="binkowski2018, arXiv:1801.01401", invariances=frozenset({"rotation"}),
        blind_to="labels; moments beyond the third",
    ),
    Measure(
        name="mmd_rbf", title="MMD (Gaussian kernel)", function=mmd_rbf, **_TWO, range=(-2, 2), cost="O((n + n_s)^2 d)",
        reference="gretton2012, JMLR 13(25)", invariances=_RIGID | {"scale"},
        blind_to="labels; differences much finer or coarser than the median distance",
    ),
    Measure(
        name="energy_distance", title="Energy distance", function=energy_distance, **_TWO, range=(0, np.inf),
        cost="O((n + n_s)^2 d)", reference="szekely2013, doi:10.1016/j.jspi.2013.03.018", invariances=_RIGID,
        blind_to="labels; the number of images biases it upwards",
    ),
)  # fmt: skip
