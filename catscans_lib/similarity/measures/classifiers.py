"""What does a simple classifier make of frozen features? Neighbours, a linear probe, and one that tells source from target."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from catscans_lib.images import folds
from catscans_lib.similarity import checks
from catscans_lib.similarity.measure import Measure
from catscans_lib.statistics.auc import auc

N_FOLDS = 5
STRENGTH = 0.1  # C of the logistic regression: fixed, as the probe should be quick; features are standardised


def knn_accuracy(
    features: ArrayLike, labels: ArrayLike, n_neighbours: int = 5, metric: str = "euclidean", groups: ArrayLike | None = None
) -> float:  # fmt: skip
    """Share of images that most of their nearest neighbours have the class of; no image votes on itself.

    Parameters
    ----------
    features : array_like of float, shape (n_images, n_features)
    labels : array_like of int, shape (n_images,)
    n_neighbours : int
        That vote; a tie goes to the smallest label.
    metric : {"euclidean", "cosine"}
    groups : array_like, shape (n_images,), optional
        Images of one group (patient, lesion, slide) do not vote on each other.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If features, labels or groups are not as `checks` wants them.
    """
    from sklearn.metrics import pairwise_distances_chunked

    x, y = checks.labelled(features, labels)
    groups, n_voters = checks.groups(groups, len(x)), min(n_neighbours, len(x) - 1)

    def is_right(distances: np.ndarray, start: int) -> np.ndarray:
        rows = slice(start, start + len(distances))
        distances[groups[rows, None] == groups] = np.inf
        nearest = np.argpartition(distances, n_voters - 1, axis=1)[:, :n_voters]
        votes = np.zeros((len(distances), y.max() + 1))
        may_vote = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
        np.add.at(votes, (np.arange(len(votes))[:, None], y[nearest]), may_vote)
        return votes.argmax(axis=1) == y[rows]

    return float(np.concatenate(list(pairwise_distances_chunked(x, metric=metric, reduce_func=is_right))).mean())


def cross_validated(x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return labels and class probabilities of the held-out images of each fold, by a logistic regression on the rest.

    Five folds, or as many as the rarest class has groups; stratified, no group in two folds, every class in every fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.DataFrame({"image_id": [f"{row:09d}" for row in range(len(y))], "group": groups, "label": y})
    n_folds = max(2, min(N_FOLDS, table.groupby("label")["group"].nunique().min()))
    fold = folds.make(table.assign(sha256=table["image_id"]), n_folds=n_folds, seed=seed)["fold"].to_numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    found = []
    for number in range(1, n_folds + 1):
        held_out = fold == number
        found.append((y[held_out], probe.fit(x[~held_out], y[~held_out]).predict_proba(x[held_out])))
    return found


def linear_probe(
    features: ArrayLike, labels: ArrayLike, metric: str = "auc", groups: ArrayLike | None = None, seed: int = 0
) -> float:
    """Cross-validated AUC or accuracy of a logistic regression on standardised features, mean over folds.

    Parameters
    ----------
    features, labels, groups
        As in `knn_accuracy`; no group is in two folds.
    metric : {"auc", "accuracy"}
        AUC is weighted one-vs-rest for more than two classes, as in `evaluation.auc`.
    seed : int
        Of the folds.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If a class has fewer than 2 groups, or an argument is not as `checks` wants it.
    """
    x, y = checks.labelled(features, labels)
    predicted = cross_validated(x, y, checks.groups(groups, len(x)), seed)
    judge = {"auc": _auc, "accuracy": _accuracy}[metric]
    return float(np.mean([judge(*of_fold) for of_fold in predicted]))


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    return auc(labels.astype(str), scores, tuple(str(number) for number in range(scores.shape[1])))


def _accuracy(labels: np.ndarray, scores: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == labels).mean())


def domain_auc(
    features: ArrayLike, source_features: ArrayLike, groups: ArrayLike | None = None,
    source_groups: ArrayLike | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """How well does a logistic regression tell images of the target from images of the source? Cross-validated AUC.

    Parameters
    ----------
    features, source_features : array_like of float, shape (n_images, n_features), (n_source_images, n_features)
        By one network.
    groups, source_groups : array_like, optional
        Of each; no group is in two folds. A group of the target is another one than a group of the source with its name.
    seed : int
        Of the folds.

    Returns
    -------
    float
        0.5: no better than chance; 1: the two do not overlap. Below 0.5 only by chance, or where the same images lie in both.

    References
    ----------
    Ben-David et al. (2010), doi:10.1007/s10994-009-5152-4, whose proxy distance is of this kind.
    """
    x, z = checks.same_space(features, source_features)
    own, other = checks.groups(groups, len(x)), checks.groups(source_groups, len(z), "source_groups")
    y = np.repeat([0, 1], [len(x), len(z)])
    predicted = cross_validated(np.concatenate([x, z]), y, np.concatenate([own, own.max() + 1 + other]), seed)
    return float(np.mean([_auc(*of_fold) for of_fold in predicted]))


MEASURES = (
    Measure(
        name="knn_accuracy", title="5-nearest-neighbour accuracy", function=knn_accuracy, arguments=("features", "labels"),
        larger_is_closer=True, range=(0, 1), cost="O(n^2 d)", reference="cover1967, doi:10.1109/TIT.1967.1053964",
        blind_to="directions of little variance; class imbalance, which alone gives a high accuracy",
        invariances=frozenset({"rotation", "scale", "shift"}), optional=("groups",),
    ),
    Measure(
        name="linear_probe_auc", title="Linear probe (AUC)", function=linear_probe, arguments=("features", "labels"),
        larger_is_closer=True, range=(0, 1), cost="O(n d) per step of the fit", reference="alain2017, arXiv:1610.01644",
        blind_to="what only a non-linear classifier finds; how far the network would move in fine-tuning",
        invariances=frozenset({"scale", "shift"}), optional=("groups",), is_random=True,
    ),
    Measure(
        name="linear_probe_accuracy", title="Linear probe (accuracy)", function=linear_probe,
        arguments=("features", "labels"), larger_is_closer=True, range=(0, 1), cost="O(n d) per step of the fit",
        reference="alain2017, arXiv:1610.01644", blind_to="class imbalance, which alone gives a high accuracy",
        invariances=frozenset({"scale", "shift"}), optional=("groups",), settings={"metric": "accuracy"}, is_random=True,
    ),
    Measure(
        name="domain_auc", title="Domain classifier (AUC)", function=domain_auc, arguments=("features", "source_features"),
        larger_is_closer=False, range=(0, 1), cost="O((n + n_s) d) per step of the fit",
        reference="bendavid2010, doi:10.1007/s10994-009-5152-4", is_symmetric=True,
        blind_to="labels; how far apart two sets are once they do not overlap, as most real ones do not",
        invariances=frozenset({"scale", "shift"}), optional=("groups", "source_groups"), is_random=True,
    ),
)  # fmt: skip
