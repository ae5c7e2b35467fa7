"""The distance of two sets of images in the features of one network: MMD."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure

BLOCK = 2048  # rows of a kernel matrix at a time: memory grows with n, not n^2


def mmd_rbf(features: ArrayLike, source_features: ArrayLike, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``exp(-|x - z|^2 / bandwidth)``.

    The default bandwidth is the median of ``|x - z|^2`` over all pairs of the target's images. Both are features by one network,
    shape (n, n_features). At most 2, and by chance a little below 0. Gretton et al. (2012), JMLR 13(25).
    """
    x, z = valid_arrays.features(features), valid_arrays.features(source_features, "source_features")
    median = float(np.median(pdist(x, "sqeuclidean"))) if bandwidth is None else bandwidth
    if median == 0:  # half of the pairs are equal: any other distance is far
        median = np.finfo(float).tiny

    def total(a: np.ndarray, b: np.ndarray) -> float:
        blocks = (a[start : start + BLOCK] for start in range(0, len(a), BLOCK))
        return sum(float(np.exp(-cdist(block, b, "sqeuclidean") / median).sum()) for block in blocks)

    within = sum((total(side, side) - len(side)) / (len(side) * (len(side) - 1)) for side in (x, z))
    return within - 2 * total(x, z) / (len(x) * len(z))


MEASURES = (
    Measure(
        name="mmd_rbf", title="MMD (Gaussian kernel)", function=mmd_rbf, arguments=("features", "source_features"),
        larger_is_closer=False, range=(-2, 2), cost="O((n + n_s)^2 d)",
        reference="gretton2012, JMLR 13(25)", invariances=frozenset({"rotation", "scale", "shift"}),
        blind_to="labels; how far a source is beyond the typical distance between the target's images: all look equally far",
        why="does not depend on the number of images; `recommend` uses it to warn of unfamiliar images",
    ),
)  # fmt: skip
