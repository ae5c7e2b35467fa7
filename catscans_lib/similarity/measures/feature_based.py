"""How well the features of a frozen network separate the target's classes: LogME, H-score, TransRate, GBC, SFDA, PARC."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lstsq
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import rankdata

from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure
from catscans_lib.statistics import ties

FLOOR = 1e-10  # LogME: squared error below which a fit counts as perfect; there the evidence has no upper bound
STEP = 0.5  # LogME: of the grid over log(alpha / beta); the evidence changes over about 1
DISTORTION = 1e-4  # TransRate: distortion of its code lengths
LEAST_VARIANCE = 1e-4  # GBC: lowest variance of a class, which keeps constant features harmless


def projections(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return squared singular values of X = U S V', ``(U' Y) ** 2`` for class indicators Y, and the rest of ``sum(Y ** 2)``.

    Shapes (rank,), (rank, n_classes), (n_classes,), from eigenvectors of X'X or XX'; values above about 1e-7 of the largest.
    """
    (n, d), targets = features.shape, np.eye(labels.max() + 1)[labels]
    squared, basis = np.linalg.eigh(_gram(features))
    kept = squared > squared[-1] * max(n, d) * np.finfo(float).eps
    squared, basis = squared[kept], basis[:, kept]
    along = (basis.T @ (features.T @ targets)) ** 2 / squared[:, None] if n > d else (basis.T @ targets) ** 2
    return squared, along, np.maximum((targets**2).sum(axis=0) - along.sum(axis=0), 0)


def _gram(features: np.ndarray) -> np.ndarray:
    """Return the smaller of X'X and XX'; both have the same positive eigenvalues."""
    n, d = features.shape
    return features.T @ features if n > d else features @ features.T


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """LogME: largest log evidence per image of a Bayesian linear model of the labels, mean over classes.

    The indicator y of each class is modelled as ``y = X w + noise`` with ``w ~ N(0, 1 / alpha)`` and ``noise ~ N(0, 1 / beta)``.
    For a ratio alpha / beta the best beta has a closed form, so one number per class is searched for, on a grid and then to
    1e-9; squared errors are at least 1e-10. `features` has shape (n_images, n_features), `labels` (n_images,). In nats per
    image. You et al. (2021), arXiv:2102.11005; You et al. (2022), arXiv:2110.10545.
    """
    x, y = valid_arrays.labelled(features, labels)
    squared, along, rest = projections(x, y)
    if len(squared) == 0:  # all features are 0: the evidence of noise alone
        return float(np.mean([-_noise(one, len(x)) for one in rest]) / len(x))
    ends = np.log(squared.min()) - 25, np.log(squared.max()) + 25
    grid = np.linspace(*ends, int(np.ceil((ends[1] - ends[0]) / STEP)))
    best = np.argmin(_minus_evidence(grid[:, None], squared, along, rest, len(x)), axis=0)
    evidences = []
    for number, place in enumerate(best):
        one = along[:, [number]], rest[[number]]
        bounds = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        searched = minimize_scalar(
            lambda log_t, one=one: float(_minus_evidence(np.array([[log_t]]), squared, *one, len(x))[0, 0]),
            bounds=bounds, method="bounded", options={"xatol": 1e-9},
        )  # fmt: skip
        evidences.append(-searched.fun / len(x))
    return float(np.mean(evidences))


def _minus_evidence(
    log_t: np.ndarray, squared: np.ndarray, along: np.ndarray, rest: np.ndarray, n: int
) -> np.ndarray:  # fmt: skip
    """Return minus the log evidence at the best beta, shape (n_ratios, n_targets); t = alpha / beta, log_t (n_ratios, 1).

    Least of ``|y - X w|^2 + t |w|^2`` is ``rest + sum(along * t / (t + s))``, and ``det(alpha + beta X'X)`` leaves ``1 + s / t``.
    """
    t = np.exp(log_t)
    error = rest + (t / (t + squared)) @ along
    return _noise(error, n) + np.log1p(squared / t).sum(axis=1, keepdims=True) / 2


def _noise(error: np.ndarray, n: int) -> np.ndarray:
    return n / 2 * (np.log((error + FLOOR) / n) + 1 + np.log(2 * np.pi))


def regularised_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Regularised H-score: between-class variance of the whitened features, ``tr(pinv(cov(f)) cov(E[f | y]))``.

    The covariance is the Ledoit-Wolf shrinkage estimate (2004). Arguments as in `logme`. From 0 to about n_classes - 1.
    Bao et al. (2019), doi:10.1109/ICIP.2019.8803726; Ibrahim et al. (2022), arXiv:2110.06893.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    x, y = valid_arrays.labelled(features, labels)
    x = x - x.mean(axis=0)
    (n, d), (squared, along, _) = x.shape, projections(x, y)
    between = along @ (1 / np.bincount(y))  # for each direction the sum over classes of n_c mean_c(U) ** 2
    if len(squared) == 0:
        return 0.0
    shrinkage = ledoit_wolf_shrinkage(x, assume_centered=True)
    variances = (1 - shrinkage) * squared / n + shrinkage * squared.sum() / (n * d)
    return float((1 - shrinkage) * (squared * between / variances).sum() / (n - 1))


def trans_rate(features: ArrayLike, labels: ArrayLike) -> float:
    """TransRate: nats saved by knowing the labels when the centred features are coded at a distortion of 1e-4.

    Classes are weighted by their share of the images, as in the paper. Arguments as in `logme`. At least 0; grows with the
    number of features and their scale. Huang et al. (2022), arXiv:2106.09362.
    """
    x, y = valid_arrays.labelled(features, labels)
    x = x - x.mean(axis=0)
    counts = np.bincount(y)
    return _rate(x) - float(counts / len(y) @ [_rate(x[y == number]) for number in range(len(counts))])


def _rate(centred: np.ndarray) -> float:
    small = _gram(centred)
    return float(np.linalg.slogdet(np.eye(len(small)) + small / (len(centred) * DISTORTION))[1] / 2)


def gbc(features: ArrayLike, labels: ArrayLike) -> float:
    """GBC: minus the sum of Bhattacharyya coefficients of all ordered pairs of classes, as Gaussians of diagonal covariance.

    Arguments as in `logme`. From ``-n_classes * (n_classes - 1)`` (all classes alike) to 0 (no overlap), which it approaches
    with many features. Pandy et al. (2022), arXiv:2111.12780.
    """
    x, y = valid_arrays.labelled(features, labels)
    classes = [x[y == number] for number in range(y.max() + 1)]
    means = np.array([of_class.mean(axis=0) for of_class in classes])
    variances = np.array([np.maximum(of_class.var(axis=0), LEAST_VARIANCE) for of_class in classes])
    logs, overlap = np.log(variances), 0.0
    for number in range(len(classes) - 1):
        rest = slice(number + 1, None)
        between = (variances[number] + variances[rest]) / 2
        distance = ((means[number] - means[rest]) ** 2 / between).sum(axis=1) / 8
        distance += (np.log(between) - (logs[number] + logs[rest]) / 2).sum(axis=1) / 2
        overlap += 2 * np.exp(-distance).sum()
    return -float(overlap)


def sfda(features: ArrayLike, labels: ArrayLike) -> float:
    """SFDA: mean posterior of the true class under a shrinkage LDA, refitted after mixing images with the other classes' mean.

    The lower its posterior in the first fit, the more an image is mixed. The shrinkage is ``exp(-5 * largest eigenvalue of the
    within-class covariance)``, at least 1e-10. Arguments as in `logme`. In [0, 1]. As in the published program (TencentARC/SFDA),
    it takes no logarithm, and the first posteriors pass through a second softmax. Shao et al. (2022), arXiv:2207.03036.
    """
    x, y = valid_arrays.labelled(features, labels)
    (n, d), x = x.shape, x - x.mean(axis=0)
    if n < d:
        x = np.linalg.qr(x.T, mode="r").T  # rotated into the space that the images span
    means = _means(x, y)
    within = np.linalg.eigvalsh(_gram(x - means[y]))[-1] / n
    shrinkage, right = max(np.exp(-5 * within), 1e-10), (np.arange(n), y)
    sure = softmax(_posteriors(x, y, shrinkage, d), axis=1)[right][:, None]
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    mixed = sure * x + (1 - sure) * others[y]
    return float(_posteriors(mixed, y, shrinkage, d)[right].mean())


def _means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([x[y == number].mean(axis=0) for number in range(y.max() + 1)])


def _posteriors(x: np.ndarray, y: np.ndarray, shrinkage: float, n_features: int) -> np.ndarray:
    """Class probabilities of the images that a linear discriminant is fitted to, shape (n_images, n_classes).

    As scikit-learn's with solver "lsqr", which uses LAPACK's gelsd and sometimes does not converge; gelsy does not iterate.
    """
    means = _means(x, y)
    within = x - means[y]
    covariance = (1 - shrinkage) * within.T @ within / len(x)
    covariance[np.diag_indices_from(covariance)] += shrinkage * (within**2).sum() / len(x) / n_features
    weights = lstsq(covariance, means.T, lapack_driver="gelsy")[0]
    return softmax(x @ weights - (means.T * weights).sum(axis=0) / 2 + np.log(np.bincount(y) / len(y)), axis=1)


def parc(features: ArrayLike, labels: ArrayLike) -> float:
    """PARC: rank correlation, over all pairs of images, of feature dissimilarity with having different classes.

    Dissimilarity is 1 - Pearson's correlation of two images' standardised features; those that differ by rounding are ties, which
    the published program orders. 100 * Spearman's correlation, in [-100, 100]; 0 if either side is the same for all pairs.
    Bolya et al. (2021), arXiv:2111.06977.
    """
    x, y = valid_arrays.labelled(features, labels)
    spread, pairs = x.std(axis=0), np.triu_indices(len(x), 1)
    is_constant = spread <= 1e-12 * np.abs(x).max(axis=0)
    rows = np.where(is_constant, 0, (x - x.mean(axis=0)) / np.where(is_constant, 1, spread))
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # 0: an image without variation
    rows = np.where(lengths > 1e-12, rows / np.where(lengths > 1e-12, lengths, 1), 0)
    apart = ties.merged((1 - rows @ rows.T)[pairs])
    first, second = (ranks - ranks.mean() for ranks in map(rankdata, (apart, (y[:, None] != y)[pairs])))
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return 100 * float(first @ second / lengths) if lengths > 0 else 0.0


_LABELLED = {"arguments": ("features", "labels"), "larger_is_closer": True}
_ALL = frozenset({"rotation", "scale", "shift"})
MEASURES = (
    Measure(
        name="logme", title="LogME", function=logme, **_LABELLED, range=(-np.inf, np.inf), cost="O(n d min(n, d))",
        reference="you2021, arXiv:2102.11005", invariances=frozenset({"rotation", "scale"}),
        blind_to="class structure that only a non-linear classifier finds; how much fine-tuning will change the features",
        why="the most widely used score; `recommend` uses it",
    ),
    Measure(
        name="regularised_h_score", title="Regularised H-score", function=regularised_h_score, **_LABELLED,
        range=(0, np.inf), cost="O(n d min(n, d) + n d^2)", reference="ibrahim2022, arXiv:2110.06893", invariances=_ALL,
        blind_to="differences between classes other than those of their mean features",
        why="the H-score made usable with fewer images than features; `recommend` uses it",
    ),
    Measure(
        name="trans_rate", title="TransRate", function=trans_rate, **_LABELLED, range=(0, np.inf),
        cost="O(n d min(n, d))", reference="huang2022, arXiv:2106.09362", invariances=frozenset({"rotation", "shift"}),
        blind_to="which classes are confused; small differences of means. Networks must have equally many features of one scale",
        why="coding length instead of a classifier; among the best on our sample of real images",
    ),
    Measure(
        name="gbc", title="GBC (diagonal)", function=gbc, **_LABELLED, range=(-np.inf, 0), cost="O(n d + C^2 d)",
        reference="pandy2022, arXiv:2111.12780", invariances=frozenset({"shift"}),
        blind_to="correlations between features. With many features it is 0 for every source",
        why="the only measure based on the overlap of class distributions; with LogME, the best on our sample of real images",
    ),
    Measure(
        name="sfda", title="SFDA", function=sfda, **_LABELLED, range=(0, 1), cost="O(n d min(n, d))",
        reference="shao2022, arXiv:2207.03036", invariances=frozenset({"rotation", "shift"}),
        blind_to="overfitting: it is evaluated on the images it was fitted to, and near 1 with fewer images than features",
        why="imitates fine-tuning; `recommend` uses it",
    ),
    Measure(
        name="parc", title="PARC", function=parc, **_LABELLED, range=(-100, 100), cost="O(n^2 d + n^2 log n)",
        reference="bolya2021, arXiv:2111.06977", invariances=frozenset({"scale", "shift"}),
        blind_to="classes that consist of several clusters. Its highest possible value falls with the number of classes",
        why="the only measure based on pairs of images; part of the published medical comparison",
    ),
)  # fmt: skip
