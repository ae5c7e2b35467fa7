"""Which images are alike to a network: those alike to another network (CKA, RSA, DDS), those of one class (PARC)?"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure


def cka(features: ArrayLike, reference_features: ArrayLike, is_debiased: bool = False) -> float:
    """Linear centred kernel alignment of two representations of the same images.

    Parameters
    ----------
    features, reference_features : array_like of float, shape (n_images, n_features), (n_images, n_reference_features)
    is_debiased : bool
        Take unbiased estimates of the three terms. The plain value is near 1 where features outnumber images.

    Returns
    -------
    float
        Plain in [0, 1], debiased at most 1 and about 0, also below, for features with nothing in common; 0 where one of the
        two is the same for all images.

    Raises
    ------
    InputError
        If the two are not of the same images, or there are fewer than 4.

    References
    ----------
    Kornblith et al. (2019), arXiv:1905.00414; Nguyen et al. (2021), arXiv:2010.15327.
    """
    x, y = (side - side.mean(axis=0) for side in checks.same_images(features, reference_features))
    if is_debiased:
        return _aligned(_debiased(x @ x.T), _debiased(y @ y.T))
    if max(x.shape[1], y.shape[1]) > len(x):
        return _aligned(x @ x.T, y @ y.T)
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / own) if own > 0 else 0.0


def _debiased(gram: np.ndarray) -> np.ndarray:
    """Centre a Gram matrix so that inner products of two are unbiased (Szekely and Rizzo, 2014, doi:10.1214/14-AOS1255)."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    means = gram.sum(axis=0) / (n - 2)
    means -= means.sum() / (2 * (n - 1))
    gram -= means[:, None] + means
    np.fill_diagonal(gram, 0)
    return gram


def _aligned(first: np.ndarray, second: np.ndarray) -> float:
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.vdot(first, second) / lengths) if lengths > 0 else 0.0


def rsa(features: ArrayLike, reference_features: ArrayLike) -> float:
    """Representational similarity: are the same pairs of images alike to both networks? 100 * Spearman's correlation.

    Dissimilarity is 1 - Pearson's correlation over standardised features; arguments as in `cka`.

    Returns
    -------
    float
        In [-100, 100].

    References
    ----------
    Dwivedi and Roig (2019), arXiv:1904.11740.
    """
    x, y = checks.same_images(features, reference_features)
    pairs = np.triu_indices(len(x), 1)
    return 100 * rank_correlation(dissimilarities(x)[pairs], dissimilarities(y)[pairs])


def dds(features: ArrayLike, reference_features: ArrayLike) -> float:
    """Duality diagram similarity: 100 * debiased CKA of the cosine distances of standardised features; as `cka`.

    Returns
    -------
    float
        At most 100.

    References
    ----------
    Dwivedi et al. (2020), arXiv:2008.02107.
    """
    return 100 * _aligned(*(_debiased(_cosine(side)) for side in checks.same_images(features, reference_features)))


def _cosine(features: np.ndarray) -> np.ndarray:
    rows = standardised(features)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 0, lengths, 1)
    return 1 - rows @ rows.T


def parc(features: ArrayLike, labels: ArrayLike) -> float:
    """Do images look alike to the network where they are of one class? Rank correlation over all pairs of images.

    Dissimilarity of features is 1 - Pearson's correlation after standardising every feature; that of labels is 0 or 1,
    exactly. The published program takes it from a correlation of indicators, whose rounding errors its ranks then sort.

    Parameters
    ----------
    features : array_like of float, shape (n_images, n_features)
    labels : array_like of int, shape (n_images,)

    Returns
    -------
    float
        100 * Spearman's correlation, in [-100, 100]; 0 where either side is the same for all pairs.

    References
    ----------
    Bolya et al. (2021), arXiv:2111.06977.
    """
    x, y = checks.labelled(features, labels)
    pairs = np.triu_indices(len(x), 1)
    return 100 * rank_correlation(dissimilarities(x)[pairs], (y[:, None] != y)[pairs])


def standardised(features: np.ndarray) -> np.ndarray:
    """Return features with mean 0 and standard deviation 1; a constant feature is 0."""
    spread = features.std(axis=0)
    is_constant = spread <= 1e-12 * np.abs(features).max(axis=0)
    return np.where(is_constant, 0, (features - features.mean(axis=0)) / np.where(is_constant, 1, spread))


def dissimilarities(features: np.ndarray) -> np.ndarray:
    """Return 1 - Pearson's correlation of every two images over standardised features; 1 where one has no variation."""
    rows = standardised(features)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.where(lengths > 1e-12, rows / np.where(lengths > 1e-12, lengths, 1), 0)
    return 1 - rows @ rows.T


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation with mean ranks for ties; 0 where one of the two is constant."""
    first, second = (ranks - ranks.mean() for ranks in (rankdata(first), rankdata(second)))
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / lengths) if lengths > 0 else 0.0


_TWO = {"arguments": ("features", "reference_features"), "larger_is_closer": True, "is_symmetric": True}
MEASURES = (
    Measure(
        name="parc", title="PARC", function=parc, arguments=("features", "labels"), larger_is_closer=True,
        range=(-100, 100), cost="O(n^2 d + n^2 log n)",
        reference="bolya2021, arXiv:2111.06977", invariances=frozenset({"scale", "shift"}),
        blind_to="classes that hold several clusters; the most it can reach falls with the number of classes",
    ),
    Measure(
        name="cka", title="Linear CKA", function=cka, **_TWO, range=(0, 1), cost="O(n d min(n, d))",
        reference="kornblith2019, arXiv:1905.00414", invariances=frozenset({"rotation", "scale", "shift"}),
        blind_to="labels; directions of little variance; near 1 for any two networks where features outnumber images",
    ),
    Measure(
        name="cka_debiased", title="Linear CKA (debiased)", function=cka, settings={"is_debiased": True}, **_TWO,
        range=(-np.inf, 1), cost="O(n^2 d)", reference="nguyen2021, arXiv:2010.15327",
        invariances=frozenset({"rotation", "scale", "shift"}), blind_to="labels; directions of little variance",
    ),
    Measure(
        name="rsa", title="RSA", function=rsa, **_TWO, range=(-100, 100), cost="O(n^2 d + n^2 log n)",
        reference="dwivedi2019, arXiv:1904.11740", invariances=frozenset({"scale", "shift"}), blind_to="labels",
    ),
    Measure(
        name="dds", title="DDS", function=dds, **_TWO, range=(-np.inf, 100), cost="O(n^2 d)",
        reference="dwivedi2020, arXiv:2008.02107", invariances=frozenset({"scale", "shift"}), blind_to="labels",
    ),
)  # fmt: skip
