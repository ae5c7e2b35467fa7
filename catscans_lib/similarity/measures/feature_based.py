"""How well do frozen features separate the target's classes? H-scores, TransRate, GBC, SFDA, silhouette."""

import numpy as np
from numpy.typing import ArrayLike

from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure
from catscans_lib.similarity.measures import spectrum

DISTORTION = 1e-4  # of TransRate's code lengths
LEAST_VARIANCE = 1e-4  # of a class in GBC, so that constant features do no harm


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Share of the features' variance that lies between classes, summed over whitened directions.

    ``tr(pinv(cov(f)) cov(E[f | y]))``, computed as ``sum over classes of n_c |mean of U in c|^2`` with X = U S V'.

    Parameters
    ----------
    features : array_like of float, shape (n_images, n_features)
    labels : array_like of int, shape (n_images,)

    Returns
    -------
    float
        From 0 to n_classes - 1. With fewer images than features it is always n_classes - 1: take `regularised_h_score`.

    Raises
    ------
    InputError
        If features or labels are not as `checks` wants them.

    References
    ----------
    Bao et al. (2019), ICIP, doi:10.1109/ICIP.2019.8803726.
    """
    x, y = checks.labelled(features, labels)
    _, between = _between(x - x.mean(axis=0), y)
    return float(between.sum())


def _between(centred: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return squared singular values, shape (rank,), and for each direction the sum over classes of ``n_c mean_c(U) ** 2``."""
    found = spectrum.projections(centred, spectrum.one_hot(labels))
    return found.squared, found.along @ (1 / np.bincount(labels))


def regularised_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """H-score with the covariance shrunk towards a multiple of the identity, as much as Ledoit and Wolf find best.

    Parameters
    ----------
    features, labels
        As in `h_score`.

    Returns
    -------
    float
        From 0 to about n_classes - 1; also tells features apart where there are fewer images than features.

    References
    ----------
    Ibrahim et al. (2022), arXiv:2110.06893; Ledoit and Wolf (2004), doi:10.1016/S0047-259X(03)00096-4.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    x, y = checks.labelled(features, labels)
    x = x - x.mean(axis=0)
    (n, d), (squared, between) = x.shape, _between(x, y)
    if len(squared) == 0:
        return 0.0
    shrinkage = ledoit_wolf_shrinkage(x, assume_centered=True)
    variances = (1 - shrinkage) * squared / n + shrinkage * squared.sum() / (n * d)
    return float((1 - shrinkage) * (squared * between / variances).sum() / (n - 1))


def trans_rate(features: ArrayLike, labels: ArrayLike, is_weighted: bool = True) -> float:
    """Nats that knowing the labels saves in coding the centred features at a fixed distortion (1e-4).

    Parameters
    ----------
    features, labels
        As in `h_score`.
    is_weighted : bool
        Weigh classes by their share of the images, as in the paper; thuml/Transfer-Learning-Library weighs them equally.

    Returns
    -------
    float
        At least 0 where weighted. Grows with the number of features and their scale, so it compares networks only where
        these are alike. As the classes keep their means in it, it need not grow while they move little apart.

    References
    ----------
    Huang et al. (2022), arXiv:2106.09362.
    """
    x, y = checks.labelled(features, labels)
    x = x - x.mean(axis=0)
    counts = np.bincount(y)
    weights = counts / len(y) if is_weighted else np.full(len(counts), 1 / len(counts))
    return _rate(x) - float(weights @ [_rate(x[y == number]) for number in range(len(counts))])


def _rate(centred: np.ndarray) -> float:
    small = spectrum.gram(centred)
    return float(np.linalg.slogdet(np.eye(len(small)) + small / (len(centred) * DISTORTION))[1] / 2)


def gbc(features: ArrayLike, labels: ArrayLike, is_spherical: bool = False) -> float:
    """Minus the overlap of the classes as Gaussians: sum of Bhattacharyya coefficients over ordered pairs of classes.

    Parameters
    ----------
    features, labels
        As in `h_score`.
    is_spherical : bool
        One variance per class in place of one per class and feature. As in the published code
        (google-research/stable_transfer), the logarithm of this variance then counts once, not once per feature.

    Returns
    -------
    float
        From ``-n_classes * (n_classes - 1)`` (all classes alike) to 0 (no overlap), to which many features drive it.

    References
    ----------
    Pandy et al. (2022), arXiv:2111.12780.
    """
    x, y = checks.labelled(features, labels)
    classes = [x[y == number] for number in range(y.max() + 1)]
    means = np.array([of_class.mean(axis=0) for of_class in classes])
    variances = np.array([np.maximum(of_class.var(axis=0), LEAST_VARIANCE) for of_class in classes])
    if is_spherical:
        variances = variances.mean(axis=1, keepdims=True)
    logs, overlap = np.log(variances), 0.0
    for number in range(len(classes) - 1):
        rest = slice(number + 1, None)
        between = (variances[number] + variances[rest]) / 2
        distance = ((means[number] - means[rest]) ** 2 / between).sum(axis=1) / 8
        distance += (np.log(between) - (logs[number] + logs[rest]) / 2).sum(axis=1) / 2
        overlap += 2 * np.exp(-distance).sum()
    return -float(overlap)


def sfda(features: ArrayLike, labels: ArrayLike) -> float:
    """How surely does a linear discriminant find the right class, after it was made harder for itself?

    A shrunken discriminant is fitted; every image is pulled towards the mean of the other classes' means, the further the
    less sure the discriminant was of it; a second one, fitted and judged on these, gives the score. Shrinkage is
    ``exp(-5 * largest eigenvalue of the within-class covariance)``, at least 1e-10.

    Parameters
    ----------
    features, labels
        As in `h_score`.

    Returns
    -------
    float
        Mean probability of the right class, in [0, 1], on the images it was fitted to. As in the published program there is
        no logarithm, and the first probabilities go through a softmax once more.

    References
    ----------
    Shao et al. (2022), arXiv:2207.03036; TencentARC/SFDA.
    """
    from scipy.special import softmax
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, y = checks.labelled(features, labels)
    means = np.array([x[y == number].mean(axis=0) for number in range(y.max() + 1)])
    within = np.linalg.eigvalsh(spectrum.gram(x - means[y]))[-1] / len(x)
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=max(np.exp(-5 * within), 1e-10))
    right = np.arange(len(y)), y
    sure = softmax(discriminant.fit(x, y).predict_proba(x), axis=1)[right][:, None]
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    mixed = sure * x + (1 - sure) * others[y]
    return float(discriminant.fit(mixed, y).predict_proba(mixed)[right].mean())


def silhouette(features: ArrayLike, labels: ArrayLike) -> float:
    """Mean silhouette of the classes: how much nearer an image is to its own class than to the next one, in [-1, 1].

    References
    ----------
    Rousseeuw (1987), doi:10.1016/0377-0427(87)90125-7.
    """
    from sklearn.metrics import silhouette_score

    x, y = checks.labelled(features, labels)
    return float(silhouette_score(x, y)) if y.max() + 1 < len(y) else 0.0


_LABELLED = {"arguments": ("features", "labels"), "larger_is_closer": True}
_ALL = frozenset({"rotation", "scale", "shift"})
MEASURES = (
    Measure(
        name="h_score", title="H-score", function=h_score, **_LABELLED, range=(0, np.inf), cost="O(n d min(n, d))",
        reference="bao2019, doi:10.1109/ICIP.2019.8803726", invariances=_ALL,
        blind_to="everything where there are fewer images than features: it is then n_classes - 1",
    ),
    Measure(
        name="regularised_h_score", title="Regularised H-score", function=regularised_h_score, **_LABELLED,
        range=(0, np.inf), cost="O(n d min(n, d) + n d^2)", reference="ibrahim2022, arXiv:2110.06893", invariances=_ALL,
        blind_to="class structure beyond means",
    ),
    Measure(
        name="trans_rate", title="TransRate", function=trans_rate, **_LABELLED, range=(0, np.inf),
        cost="O(n d min(n, d))", reference="huang2022, arXiv:2106.09362", invariances=frozenset({"rotation", "shift"}),
        blind_to="which classes are confused, and classes little apart; compares only features of like number and scale",
    ),
    Measure(
        name="gbc", title="GBC (diagonal)", function=gbc, **_LABELLED, range=(-np.inf, 0), cost="O(n d + C^2 d)",
        reference="pandy2022, arXiv:2111.12780", invariances=frozenset({"shift"}),
        blind_to="correlations of features; is 0 whatever the network where features are many",
    ),
    Measure(
        name="gbc_spherical", title="GBC (spherical)", function=gbc, settings={"is_spherical": True}, **_LABELLED,
        range=(-np.inf, 0), cost="O(n d + C^2 d)", reference="pandy2022, arXiv:2111.12780",
        invariances=frozenset({"rotation", "shift"}), blind_to="the shape of classes; is 0 where features are many",
    ),
    Measure(
        name="sfda", title="SFDA", function=sfda, **_LABELLED, range=(0, 1), cost="O(n d^2 + d^3)",
        reference="shao2022, arXiv:2207.03036", invariances=frozenset({"rotation", "shift"}),
        blind_to="overfitting: it is judged on the images it is fitted to, and near 1 with fewer images than features",
    ),
    Measure(
        name="silhouette", title="Silhouette", function=silhouette, **_LABELLED, range=(-1, 1), cost="O(n^2 d)",
        reference="rousseeuw1987, doi:10.1016/0377-0427(87)90125-7", invariances=_ALL,
        blind_to="classes that hold several clusters, and small differences beside large common variation",
    ),
)  # fmt: skip
