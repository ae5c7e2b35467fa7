"""How far apart are two tasks in Task2Vec's space? Every published distance between diagonals of the Fisher information.

Filters that one of the two never uses have Fisher information 0 and variance 1 / 0. Distances of variances are therefore taken
over the filters that are positive in both; in a ResNet-50 about 565 of 53,120 are 0.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import distance
from scipy.special import entr

from catscans_lib.errors import InputError
from catscans_lib.similarity.measure import Measure

LEAST = 1e-8  # added to the sum of two Fisher diagonals by the published program


def cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of the raw Fisher diagonals, as the original study did; the few largest filters decide.

    Parameters
    ----------
    fisher, source_fisher : array_like of float, shape (n_filters,)
        Diagonals of the Fisher information of one probe network on two tasks, at least 0.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If the two differ in length, a number is missing or below 0, or one of them is 0 throughout.

    References
    ----------
    van den Brandt et al. (2021), arXiv:2107.05940.
    """
    return float(distance.cosine(*_checked(fisher, source_fisher)))


def symmetric_cosine(fisher: ArrayLike, source_fisher: ArrayLike, epsilon: float = LEAST) -> float:
    """Return 1 - cosine of ``f / (f + g + epsilon)`` and ``g / (f + g + epsilon)``: every filter weighs alike.

    This is the distance that Task2Vec's authors recommend. With an epsilon of 0, filters that neither task uses are left
    out, and the scale of the Fisher information no longer matters; arguments as in `cosine`.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    Achille et al. (2019), arXiv:1902.03545.
    """
    return float(distance.cosine(*_shares(*_checked(fisher, source_fisher), epsilon)))


def entropy(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return log 2 less the mean binary entropy of the source's share, ``g / (f + g + 1e-8)``; arguments as in `cosine`.

    Returns
    -------
    float
        In [0, log 2] nats. Not symmetric where the Fisher information is as small as 1e-8 (the two ways differ by up to a
        half between the published embeddings), and filters smaller than that in both count as far apart, also from themselves.
    """
    _, share = _shares(*_checked(fisher, source_fisher), LEAST)
    return float(np.log(2) - (entr(share) + entr(1 - share)).mean())


def kl(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return the larger of the two divergences of Gaussians with variance 1 / Fisher, taken and summed filter by filter.

    Over the filters positive in both; arguments as in `cosine`.

    Returns
    -------
    float
        In nats, summed over filters, at least 0.
    """
    ratio = np.divide(*_positive(fisher, source_fisher))
    return float(np.maximum(_divergence(ratio), _divergence(1 / ratio)).sum())


def jsd(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return the mean divergence of both Gaussians from the one with their mean variance, mean over filters; as `kl`."""
    one, other = (1 / side for side in _positive(fisher, source_fisher))
    mean = (one + other) / 2
    return float((_divergence(one / mean) + _divergence(other / mean)).mean() / 2)


def _divergence(ratio: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of two centred Gaussians with this ratio of variances, in nats."""
    return (ratio - 1 - np.log(ratio)) / 2


def variance_cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of the variances 1 / Fisher; the least used filters decide; as `kl`, in [0, 1]."""
    return float(distance.cosine(*(1 / side for side in _positive(fisher, source_fisher))))


def variance_correlation(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - Pearson's correlation of the variances 1 / Fisher; as `kl`, in [0, 2]; 1 where one is constant."""
    one, other = (1 / side for side in _positive(fisher, source_fisher))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float(not np.array_equal(one, other))
    return float(distance.correlation(one, other))


def log_euclid(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return the root mean square difference of the logarithms; a factor on every filter counts alike; as `kl`."""
    one, other = (np.log(side) for side in _positive(fisher, source_fisher))
    return float(np.sqrt(((one - other) ** 2).mean()))


def _shares(one: np.ndarray, other: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    total = one + other + epsilon
    return one[total > 0] / total[total > 0], other[total > 0] / total[total > 0]


def _positive(fisher: ArrayLike, source_fisher: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = _checked(fisher, source_fisher)
    in_both = (one > 0) & (other > 0)
    if not in_both.any():
        raise InputError(f"No filter has Fisher information above 0 in both; {len(one)} were compared.")
    return one[in_both], other[in_both]


def _checked(*fishers: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = (np.asarray(side, dtype=np.float64) for side in fishers)
    if one.ndim != 1 or one.shape != other.shape:
        raise InputError(
            f"Fisher diagonals have shape (n_filters,), both of one probe network; got {one.shape} and {other.shape}."
        )
    for what, side in (("fisher", one), ("source_fisher", other)):
        bad = np.flatnonzero(~(np.isfinite(side) & (side >= 0)))
        if len(bad):
            raise InputError(f"{what}: filter {bad[0]} is {side[bad[0]]}; Fisher information is a number from 0 on.")
        if not side.any():
            raise InputError(f"{what} is 0 for all filters: its probe network learned nothing. Fit it again.")
    return one, other


_TWO = {
    "arguments": ("fisher", "source_fisher"), "larger_is_closer": False, "is_symmetric": True, "cost": "O(n_filters)",
    "reference": "achille2019, arXiv:1902.03545",
}  # fmt: skip
_SCALE = frozenset({"scale"})  # of both Fisher diagonals alike
MEASURES = (
    Measure(
        name="task2vec_cosine", title="Task2Vec, raw cosine", function=cosine,
        **_TWO | {"reference": "vandenbrandt2021, arXiv:2107.05940"}, range=(0, 1), invariances=_SCALE,
        blind_to="all but the few filters with the largest Fisher information",
    ),
    Measure(
        name="task2vec_symmetric_cosine", title="Task2Vec, normalised cosine", function=symmetric_cosine, **_TWO,
        range=(0, 1), blind_to="which filters matter much: a filter hardly used by either weighs like any other",
    ),
    Measure(
        name="task2vec_symmetric_cosine_eps0", title="Task2Vec, normalised cosine without epsilon",
        function=symmetric_cosine, settings={"epsilon": 0.0}, **_TWO, range=(0, 1), invariances=_SCALE,
        blind_to="which filters matter much",
    ),
    Measure(
        name="task2vec_entropy", title="Task2Vec, entropy", function=entropy, **_TWO | {"is_symmetric": False},
        range=(0, np.log(2)), blind_to="which filters matter much",
    ),
    Measure(
        name="task2vec_kl", title="Task2Vec, KL", function=kl, **_TWO, range=(0, np.inf), invariances=_SCALE,
        blind_to="filters that one of the two does not use; a single filter can decide",
    ),
    Measure(
        name="task2vec_jsd", title="Task2Vec, JSD", function=jsd, **_TWO, range=(0, np.inf), invariances=_SCALE,
        blind_to="filters that one of the two does not use",
    ),
    Measure(
        name="task2vec_variance_cosine", title="Task2Vec, cosine of variances", function=variance_cosine, **_TWO,
        range=(0, 1), invariances=_SCALE, blind_to="all but the few least used filters",
    ),
    Measure(
        name="task2vec_variance_correlation", title="Task2Vec, correlation of variances", function=variance_correlation,
        **_TWO, range=(0, 2), invariances=_SCALE, blind_to="all but the few least used filters",
    ),
    Measure(
        name="task2vec_log_euclid", title="Task2Vec, log-Euclidean", function=log_euclid, **_TWO, range=(0, np.inf),
        invariances=_SCALE, blind_to="filters that one of the two does not use; which filters matter much",
    ),
    Measure(
        name="task2vec_head", title="Task2Vec of the last layer, normalised cosine", function=symmetric_cosine,
        **_TWO | {"arguments": ("head_fisher", "source_head_fisher"), "cost": "O(n_features)"}, range=(0, 1),
        blind_to="all layers but the last: it takes features alone, and no pass back through the network",
    ),
)  # fmt: skip
