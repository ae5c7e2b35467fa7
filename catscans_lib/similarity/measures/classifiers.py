"""What simple classifiers make of frozen features: nearest neighbours, a linear probe, and a source-against-target classifier."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from catscans_lib.images import folds
from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure
from catscans_lib.statistics.metrics import auc

N_FOLDS = 5
C = 0.1  # inverse strength of the probe's L2 penalty on standardised features; fixed, so that the probe is quick


def knn_accuracy(
    features: ArrayLike, labels: ArrayLike, n_neighbours: int = 5, groups: ArrayLike | None = None
) -> float:
    """Leave-one-out k-nearest-neighbour accuracy, in [0, 1], by Euclidean distance of features.

    A tied vote goes to the smallest label. Images of the same group (patient, lesion or slide) do not vote on each other.
    """
    from sklearn.metrics import pairwise_distances_chunked

    x, y = valid_arrays.labelled(features, labels)
    groups, n_voters = valid_arrays.groups(groups, len(x)), min(n_neighbours, len(x) - 1)

    def is_right(distances: np.ndarray, start: int) -> np.ndarray:
        rows = slice(start, start + len(distances))
        distances[groups[rows, None] == groups] = np.inf
        nearest = np.argpartition(distances, n_voters - 1, axis=1)[:, :n_voters]
        votes = np.zeros((len(distances), y.max() + 1))
        may_vote = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
        np.add.at(votes, (np.arange(len(votes))[:, None], y[nearest]), may_vote)
        return votes.argmax(axis=1) == y[rows]

    return float(np.concatenate(list(pairwise_distances_chunked(x, reduce_func=is_right))).mean())


def linear_probe_auc(features: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> float:
    """Cross-validated AUC of a logistic regression on standardised features, in [0, 1], mean over folds.

    Images of the same group are in the same fold; `seed` draws the folds. For more than two classes it is the weighted
    one-vs-rest AUC of `statistics.metrics.auc`. Raises InputError if a class has fewer than 2 groups.
    """
    x, y = valid_arrays.labelled(features, labels)
    return _cross_validated_auc(x, y, valid_arrays.groups(groups, len(x)), seed)


def domain_auc(
    features: ArrayLike, source_features: ArrayLike, groups: ArrayLike | None = None,
    source_groups: ArrayLike | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """Cross-validated AUC of a logistic regression that tells target images from source images (proxy A-distance).

    Both are features by one network, shape (n, n_features). Images of the same group are in the same fold; equal names in
    source and target are different groups; `seed` draws the folds. 0.5: no better than chance; 1: the two sets do not overlap.
    Below 0.5 only by chance, or if both sets share images. Ben-David et al. (2010), doi:10.1007/s10994-009-5152-4.
    """
    x, z = valid_arrays.same_space(features, source_features)
    own, other = valid_arrays.groups(groups, len(x)), valid_arrays.groups(source_groups, len(z), "source_groups")
    y = np.repeat([0, 1], [len(x), len(z)])
    return _cross_validated_auc(np.concatenate([x, z]), y, np.concatenate([own, own.max() + 1 + other]), seed)


def _cross_validated_auc(x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> float:
    """Mean AUC over five folds, or as many as the rarest class has groups; stratified, no group in two folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.DataFrame({"image_id": [f"{row:09d}" for row in range(len(y))], "group": groups, "label": y})
    n_folds = max(2, min(N_FOLDS, table.groupby("label")["group"].nunique().min()))
    fold = folds.make(table.assign(sha256=table["image_id"]), n_folds=n_folds, seed=seed)["fold"].to_numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    aucs = []
    for number in range(1, n_folds + 1):
        held_out = fold == number
        scores = probe.fit(x[~held_out], y[~held_out]).predict_proba(x[held_out])
        aucs.append(auc(y[held_out].astype(str), scores, tuple(str(name) for name in range(scores.shape[1]))))
    return float(np.mean(aucs))


MEASURES = (
    Measure(
        name="knn_accuracy", title="5-nearest-neighbour accuracy", function=knn_accuracy, arguments=("features", "labels"),
        larger_is_closer=True, range=(0, 1), cost="O(n^2 d)", reference="cover1967, doi:10.1109/TIT.1967.1053964",
        blind_to="directions of little variance. With unequal class sizes, predicting the largest class already scores high",
        invariances=frozenset({"rotation", "scale", "shift"}), optional=("groups",),
        why="the simplest test of features: nothing is fitted",
    ),
    Measure(
        name="linear_probe_auc", title="Linear probe (AUC)", function=linear_probe_auc, arguments=("features", "labels"),
        larger_is_closer=True, range=(0, 1), cost="O(n d) per step of the fit", reference="alain2017, arXiv:1610.01644",
        blind_to="class structure that only a non-linear classifier finds; how much fine-tuning will change the features",
        invariances=frozenset({"scale", "shift"}), optional=("groups",), is_random=True,
        why="ranks best on the published medical targets; `recommend` uses it",
    ),
    Measure(
        name="domain_auc", title="Domain classifier (AUC)", function=domain_auc, arguments=("features", "source_features"),
        larger_is_closer=False, range=(0, 1), cost="O((n + n_s) d) per step of the fit",
        reference="bendavid2010, doi:10.1007/s10994-009-5152-4", is_symmetric=True,
        blind_to="labels; how far apart two datasets are once they do not overlap: it is then 1, as for most real datasets",
        invariances=frozenset({"scale", "shift"}), optional=("groups", "source_groups"), is_random=True,
        why="proxy A-distance; its value can be understood without knowing the features",
    ),
)  # fmt: skip
