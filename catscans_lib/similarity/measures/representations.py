"""Which pairs of images look alike to a network: those that look alike to another network (CKA), those of one class (PARC)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure


def cka_debiased(features: ArrayLike, reference_features: ArrayLike) -> float:
    """Debiased linear CKA (centred kernel alignment) of two networks' features of the same images.

    The plain value goes to 1 where features outnumber images; the debiased one uses unbiased estimates of its three terms.
    Shapes (n_images, n_features) and (n_images, n_reference_features), at least 4 images. At most 1; about 0, also below, for
    unrelated features; 0 if either is the same for all images. Kornblith et al. (2019), arXiv:1905.00414; Nguyen et al. (2021),
    arXiv:2010.15327.
    """
    x, y = (side - side.mean(axis=0) for side in valid_arrays.same_images(features, reference_features))
    first, second = _debiased(x @ x.T), _debiased(y @ y.T)
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.vdot(first, second) / lengths) if lengths > 0 else 0.0


def _debiased(gram: np.ndarray) -> np.ndarray:
    """Centre a Gram matrix so that inner products of two are unbiased (Szekely and Rizzo, 2014, doi:10.1214/14-AOS1255)."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    means = gram.sum(axis=0) / (n - 2)
    means -= means.sum() / (2 * (n - 1))
    gram -= means[:, None] + means
    np.fill_diagonal(gram, 0)
    return gram


def parc(features: ArrayLike, labels: ArrayLike) -> float:
    """PARC: rank correlation, over all pairs of images, of feature dissimilarity with having different classes.

    Dissimilarity is 1 - Pearson's correlation of two images' standardised features. That of labels is exactly 0 or 1; the
    published program computes it as a correlation of indicators, and its ranks then order the rounding errors.

    100 * Spearman's correlation, in [-100, 100]; 0 if either side is the same for all pairs. Bolya et al. (2021),
    arXiv:2111.06977.
    """
    x, y = valid_arrays.labelled(features, labels)
    pairs = np.triu_indices(len(x), 1)
    return 100 * _rank_correlation(_dissimilarities(x)[pairs], (y[:, None] != y)[pairs])


def _dissimilarities(features: np.ndarray) -> np.ndarray:
    """1 - Pearson's correlation of every two images, features standardised; 1 for an image without variation."""
    spread = features.std(axis=0)
    is_constant = spread <= 1e-12 * np.abs(features).max(axis=0)
    rows = np.where(is_constant, 0, (features - features.mean(axis=0)) / np.where(is_constant, 1, spread))
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.where(lengths > 1e-12, rows / np.where(lengths > 1e-12, lengths, 1), 0)
    return 1 - rows @ rows.T


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation with mean ranks for ties; 0 if either side is constant."""
    first, second = (ranks - ranks.mean() for ranks in (rankdata(first), rankdata(second)))
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / lengths) if lengths > 0 else 0.0


MEASURES = (
    Measure(
        name="parc", title="PARC", function=parc, arguments=("features", "labels"), larger_is_closer=True,
        range=(-100, 100), cost="O(n^2 d + n^2 log n)",
        reference="bolya2021, arXiv:2111.06977", invariances=frozenset({"scale", "shift"}),
        blind_to="classes that hold several clusters; the most it can reach falls with the number of classes",
        why="the only one from pairs of images and their labels; in the published medical comparison",
    ),
    Measure(
        name="cka_debiased", title="Linear CKA (debiased)", function=cka_debiased,
        arguments=("features", "reference_features"), larger_is_closer=True, is_symmetric=True, range=(-np.inf, 1),
        cost="O(n^2 d)", reference="nguyen2021, arXiv:2010.15327", invariances=frozenset({"rotation", "scale", "shift"}),
        blind_to="labels; directions of little variance",
        why="compares networks without labels; the form that is right with few images",
    ),
)  # fmt: skip
