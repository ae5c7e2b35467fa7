"""How well class probabilities predict the target's labels: LEEP, N-LEEP."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from catscans_lib.errors import InputError
from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure

ENERGY = 0.8  # share of the variance that N-LEEP keeps
COMPONENTS_PER_CLASS = 5


def leep(source_head: ArrayLike, labels: ArrayLike) -> float:
    """LEEP: mean log likelihood of the target's labels, predicted from the source's class probabilities.

    ``P(y | z)`` of target class y and source class z is estimated on the same images. `source_head` has probabilities, shape
    (n_images, n_source_classes). In nats per image, at most 0. Nguyen et al. (2020), arXiv:2002.12462.
    """
    head, labels = valid_arrays.labelled(source_head, labels, "source_head")
    if head.min() < 0 or not np.allclose(head.sum(axis=1), 1, atol=1e-3):
        raise InputError("source_head must hold probabilities. Pass the softmax of the head's outputs.")
    return _leep(head, labels)


def _leep(head: np.ndarray, labels: np.ndarray) -> float:
    joint = np.eye(labels.max() + 1)[labels].T @ head
    total = joint.sum(axis=0)
    given_source = joint[:, total > 0] / total[total > 0]  # source classes without any probability are left out
    return float(np.log((given_source[labels] * head[:, total > 0]).sum(axis=1)).mean())


def n_leep(features: ArrayLike, labels: ArrayLike, seed: int = 0) -> float:
    """N-LEEP: LEEP on the components of a Gaussian mixture instead of source classes, so the network needs no head.

    The mixture has 5 components per class (at most one per image) and full covariances, on the principal components that
    hold 80 % of the variance; `seed` initialises it. Published code leaves out the logarithm; this follows the paper. In nats
    per image, at most 0. Li et al. (2021), Ranking neural checkpoints, CVPR, arXiv:2011.11200.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    x, labels = valid_arrays.labelled(features, labels)
    if not np.ptp(x, axis=0).any():
        return _leep(np.ones((len(x), 1)), labels)
    reduced = PCA(n_components=ENERGY, svd_solver="full").fit_transform(x)
    n_components = min(COMPONENTS_PER_CLASS * (labels.max() + 1), len(x))
    mixture = GaussianMixture(n_components, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that is not quite converged is good enough
        return _leep(mixture.fit(reduced).predict_proba(reduced), labels)


MEASURES = (
    Measure(
        name="leep", title="LEEP", function=leep, arguments=("source_head", "labels"), larger_is_closer=True,
        range=(-np.inf, 0), cost="O(n C C_s)", reference="nguyen2020, arXiv:2002.12462",
        blind_to="features that the source's own classifier does not use. It falls with the number of target classes",
        why="the standard score for a network with its own classifier; benchmarks compare against it",
    ),
    Measure(
        name="n_leep", title="N-LEEP", function=n_leep, arguments=("features", "labels"), larger_is_closer=True,
        range=(-np.inf, 0), cost="O(n d min(n, d) + n C d'^2) per step, d' components kept",
        reference="li2021, arXiv:2011.11200", is_random=True, invariances=frozenset({"shift"}),
        blind_to="directions that hold the last fifth of the variance. With few images per mixture component it is too high",
        why="LEEP for networks without a head; `recommend` uses it",
    ),
)  # fmt: skip
