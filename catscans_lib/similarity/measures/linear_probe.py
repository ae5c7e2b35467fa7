"""How well a logistic regression on frozen features predicts the target's classes, by cross-validation."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from catscans_lib.errors import InputError
from catscans_lib.images import folds
from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure
from catscans_lib.statistics.metrics import auc

N_FOLDS = 5
C = 0.1  # inverse strength of the probe's L2 penalty on standardised features; fixed, so that the probe is quick


def linear_probe_auc(features: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> float:
    """Cross-validated AUC of a logistic regression on standardised features, in [0, 1], mean over folds.

    There are five stratified folds, or as many as the rarest class has groups; `seed` draws them. Weighted one-vs-rest AUC.
    InputError if a class has fewer than 2 groups; findings, bool (n_images, n_findings), with or without which there are fewer
    than 2 are left out.
    """
    if np.ndim(labels) == 2:
        columns, of = np.asarray(labels, dtype=int).T, valid_arrays.groups(groups, len(labels))
        told = [one for one in columns if min(len(set(of[one == side])) for side in (0, 1)) >= 2]
        if not told:
            raise InputError("No finding is in at least 2 groups and missing in at least 2.")
        return float(np.mean([linear_probe_auc(features, one, groups, seed) for one in told]))
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = valid_arrays.labelled(features, labels)
    groups = valid_arrays.groups(groups, len(x))
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
        name="linear_probe_auc", title="Linear probe (AUC)", function=linear_probe_auc, arguments=("features", "labels"),
        larger_is_closer=True, range=(0, 1), cost="O(n d) per step of the fit", reference="alain2017, arXiv:1610.01644",
        blind_to="class structure that only a non-linear classifier finds; how much fine-tuning will change the features",
        invariances=frozenset({"scale", "shift"}), optional=("groups",), is_random=True, takes_findings=True,
        why="ranks best on the published medical targets; `recommend` uses it",
    ),
)  # fmt: skip
