"""Distances of two sets of images in the features of one network: Frechet, MMD, and OTDD, which uses labels."""

import os

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure

BLOCK = 2048  # rows of a kernel matrix at a time: memory grows with n, not n^2
MOST_PIVOTS = 10_000_000  # of the network simplex; POT's default is too few for thousands of images
Gaussian = tuple[np.ndarray, np.ndarray]


def frechet_distance(features: ArrayLike, source_features: ArrayLike) -> float:
    """Squared Frechet distance of Gaussians fitted to two sets of features, as in FID.

    The trace of the root of the product of covariances is the sum of singular values of a product of their factors, so it is
    exact also with fewer images than features.

    Both are features by one network, shape (n, n_features). At least 0, in squared units of the features. It falls with the
    number of images for the same pair of distributions, so compare only values from equal numbers. Heusel et al. (2017),
    arXiv:1706.08500; Dowson and Landau (1982), doi:10.1016/0047-259X(82)90077-X.
    """
    x, z = valid_arrays.same_space(features, source_features)
    return _gaussian_distance(_moments(x), _moments(z))


def _moments(features: np.ndarray) -> Gaussian:
    """Mean, shape (d,), and a factor F of the covariance, ``cov = F.T @ F``; a single image has covariance 0."""
    (n, d), mean = features.shape, features.mean(axis=0)
    factor = features - mean if n <= d else np.linalg.qr(features - mean, mode="r")
    return mean, factor / np.sqrt(max(n - 1, 1))


def _gaussian_distance(first: Gaussian, second: Gaussian) -> float:
    """Squared Wasserstein-2 distance of two Gaussians, given as `_moments`."""
    (mean, factor), (other_mean, other_factor) = first, second
    cross = np.linalg.norm(factor @ other_factor.T, ord="nuc")
    spread = (factor**2).sum() + (other_factor**2).sum() - 2 * cross
    return float(((mean - other_mean) ** 2).sum() + max(spread, 0))


def mmd_rbf(features: ArrayLike, source_features: ArrayLike, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``exp(-|x - z|^2 / bandwidth)``.

    The default bandwidth is the median of ``|x - z|^2`` over all pairs of the target's images: all sources of a target are
    compared with the same kernel. Arguments as in `frechet_distance`. At most 2, and by chance a little below 0; 0 if all images
    are the same. Gretton et al. (2012), JMLR 13(25).
    """
    x, z = valid_arrays.same_space(features, source_features)
    median = float(np.median(pdist(x, "sqeuclidean"))) if bandwidth is None else bandwidth
    if median == 0:  # half of the pairs are equal: any other distance is far
        median = np.finfo(float).tiny

    def total(a: np.ndarray, b: np.ndarray) -> float:
        blocks = (a[start : start + BLOCK] for start in range(0, len(a), BLOCK))
        return sum(float(np.exp(-cdist(block, b, "sqeuclidean") / median).sum()) for block in blocks)

    within = sum((total(side, side) - len(side)) / (len(side) * (len(side) - 1)) for side in (x, z))
    return within - 2 * total(x, z) / (len(x) * len(z))


def otdd(
    features: ArrayLike, labels: ArrayLike, source_features: ArrayLike, source_labels: ArrayLike
) -> float:  # fmt: skip
    """OTDD (optimal transport dataset distance): exact transport between labelled images, where a change of class costs, too.

    The cost of a pair of images is the squared distance of their features plus the squared Wasserstein-2 distance of their
    classes as Gaussians. microsoft/otdd uses half of this cost. Features as in `frechet_distance`, one label per image. In
    squared units of the features; 0 for a dataset and itself. Alvarez-Melis and Fusi (2020), arXiv:2002.02923.
    """
    x, z = valid_arrays.same_space(features, source_features)
    y = valid_arrays.labels(labels, len(x))
    y_source = valid_arrays.labels(source_labels, len(z), "source_labels")
    for backend in ("TENSORFLOW", "PYTORCH", "JAX", "CUPY"):  # POT would load them, which takes seconds
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    import ot

    cost = cdist(x, z, "sqeuclidean") + class_distances(x, y, z, y_source)[y[:, None], y_source]
    return float(ot.emd2([], [], cost, numItermax=MOST_PIVOTS))  # all images weighted equally


def class_distances(x: np.ndarray, y: np.ndarray, z: np.ndarray, y_source: np.ndarray) -> np.ndarray:
    """Return squared Wasserstein-2 distances between the classes as Gaussians, shape (n_classes, n_source_classes)."""
    own = [_moments(x[y == number]) for number in range(y.max() + 1)]
    others = [_moments(z[y_source == number]) for number in range(y_source.max() + 1)]
    return np.array([[_gaussian_distance(one, other) for other in others] for one in own])


_TWO = {"arguments": ("features", "source_features"), "larger_is_closer": False, "is_symmetric": True}
_RIGID = frozenset({"rotation", "shift"})  # of both sets alike
MEASURES = (
    Measure(
        name="frechet_distance", title="Frechet distance", function=frechet_distance, **_TWO, range=(0, np.inf),
        cost="O((n + n_s) d min(n, d) + min(n, d)^3)", reference="heusel2017, arXiv:1706.08500", invariances=_RIGID,
        blind_to="labels; all differences other than mean and covariance. It depends on the number of images",
        why="FID, the distance between sets of images that users know",
    ),
    Measure(
        name="mmd_rbf", title="MMD (Gaussian kernel)", function=mmd_rbf, **_TWO | {"is_symmetric": False}, range=(-2, 2),
        cost="O((n + n_s)^2 d)",
        reference="gretton2012, JMLR 13(25)", invariances=_RIGID | {"scale"},
        blind_to="labels; how far a source is beyond the typical distance between the target's images: all look equally far",
        why="does not depend on the number of images; `recommend` uses it to warn of unfamiliar images",
    ),
    Measure(
        name="otdd", title="OTDD", function=otdd, arguments=("features", "labels", "source_features", "source_labels"),
        larger_is_closer=False, is_symmetric=True, range=(0, np.inf), invariances=_RIGID,
        cost="O(n n_s d + C C_s min(n / C, d)^3 + n^3 log n) at worst", reference="alvarezmelis2020, arXiv:2002.02923",
        blind_to="class structure other than mean and covariance; whether classes of source and target mean the same",
        why="the distance between labelled datasets that users ask for",
    ),
)  # fmt: skip
