"""Task2Vec's distances between two embeddings: the original study's, and the one that Task2Vec's authors recommend."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import distance

from catscans_lib.errors import InputError
from catscans_lib.similarity.measure import Measure

EPSILON = 1e-8  # added to the sum of two embeddings by the published program


def cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of the raw embeddings, as the original study did; the few largest filters decide.

    Parameters
    ----------
    fisher, source_fisher : array_like of float, shape (n_filters,)
        Diagonals of the Fisher information of one probe network on two datasets, at least 0.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If the lengths differ, a value is not finite or below 0, or an embedding is 0 throughout.

    References
    ----------
    van den Brandt et al. (2021), arXiv:2107.05940.
    """
    return float(distance.cosine(*_checked(fisher, source_fisher)))


def symmetric_cosine(fisher: ArrayLike, source_fisher: ArrayLike) -> float:
    """Return 1 - cosine of ``f / (f + g + 1e-8)`` and ``g / (f + g + 1e-8)``: every filter has equal weight.

    Arguments as in `cosine`. In [0, 1].

    References
    ----------
    Achille et al. (2019), arXiv:1902.03545.
    """
    one, other = _checked(fisher, source_fisher)
    total = one + other + EPSILON
    return float(distance.cosine(one / total, other / total))


def _checked(*fishers: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = (np.asarray(side, dtype=np.float64) for side in fishers)
    if one.ndim != 1 or one.shape != other.shape:
        raise InputError(
            f"Embeddings must have shape (n_filters,), both of one probe network; got {one.shape} and {other.shape}."
        )
    for what, side in (("fisher", one), ("source_fisher", other)):
        bad = np.flatnonzero(~(np.isfinite(side) & (side >= 0)))
        if len(bad):
            raise InputError(f"{what}: filter {bad[0]} is {side[bad[0]]}; Fisher information must be finite and >= 0.")
        if not side.any():
            raise InputError(f"{what} is 0 for all filters: its probe network learned nothing. Fit it again.")
    return one, other


_TWO = {
    "arguments": ("fisher", "source_fisher"), "larger_is_closer": False, "is_symmetric": True, "range": (0, 1),
    "cost": "O(n_filters)",
}  # fmt: skip
MEASURES = (
    Measure(
        name="task2vec_cosine", title="Task2Vec, raw cosine", function=cosine, **_TWO,
        reference="vandenbrandt2021, arXiv:2107.05940", invariances=frozenset({"scale"}),  # of both embeddings alike
        blind_to="all but the few filters with the largest Fisher information",
        why="the original study's first measure",
    ),
    Measure(
        name="task2vec_symmetric_cosine", title="Task2Vec, normalised cosine", function=symmetric_cosine, **_TWO,
        reference="achille2019, arXiv:1902.03545",
        blind_to="which filters matter much: a filter hardly used by either weighs like any other",
        why="the distance that Task2Vec's authors recommend",
    ),
)  # fmt: skip
