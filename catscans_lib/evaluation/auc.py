"""The two numbers of the study: area under the ROC curve, and what pretraining adds to it in per cent."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

AVERAGES = ("weighted", "macro")


def auc(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], average: str = "weighted") -> float:
    """Area under the ROC curve; for more than two classes the mean of one-vs-rest.

    Parameters
    ----------
    labels : array_like of str, shape (n_images,)
        Class of every image, each one of `classes`.
    scores : array_like of float, shape (n_images, n_classes)
        Probability of every class, columns as in `classes`, rows summing to 1.
    classes : tuple of str
        At least two. Of two, the second is the positive one.
    average : {"weighted", "macro"}
        More than two classes: weight each class by its number of images, or equally. A class without an image has no
        ROC curve and is left out of the mean.

    Returns
    -------
    float
        In [0, 1]; 0.5 is chance. Ties between a positive and a negative count one half.

    Raises
    ------
    ValueError
        If a score is no number, a row does not sum to 1, a label is unknown, or only one class occurs.
    """
    labels, scores = np.asarray(labels, dtype=str), np.asarray(scores, dtype=float)
    _check(labels, scores, classes, average)
    if len(classes) == 2:
        return float(roc_auc_score(labels == classes[1], scores[:, 1]))
    counts = np.array([(labels == name).sum() for name in classes])
    present = np.flatnonzero(counts)
    each = [roc_auc_score(labels == classes[number], scores[:, number]) for number in present]
    return float(np.average(each, weights=counts[present] if average == "weighted" else None))


def transfer_score(auc: ArrayLike, baseline_auc: ArrayLike) -> np.ndarray:
    """Relative AUC gain from pretraining, in per cent of the baseline's AUC.

    Both arguments list the same folds in the same order, so the score is paired.

    Parameters
    ----------
    auc : array_like of float, shape (n_folds,)
        AUC on the held-out images after pretraining on the source, in [0, 1].
    baseline_auc : array_like of float, shape (n_folds,)
        AUC on the same images for a network that started from random weights, in (0, 1].

    Returns
    -------
    numpy.ndarray of float, shape (n_folds,)
        ``100 * (auc - baseline_auc) / baseline_auc``; above 0, pretraining helped.

    Raises
    ------
    ValueError
        If the shapes differ, or a baseline lies outside (0, 1].

    References
    ----------
    van den Brandt et al. (2021), arXiv:2107.05940.

    Examples
    --------
    >>> transfer_score([0.95, 0.90], [0.88, 0.90]).round(2)
    array([7.95, 0.  ])
    """
    auc, baseline = np.asarray(auc, dtype=float), np.asarray(baseline_auc, dtype=float)
    if auc.shape != baseline.shape:
        raise ValueError(
            f"transfer_score pairs folds: got {auc.shape} scores and {baseline.shape} baselines. "
            "Pass both from the same fold table."
        )
    if not ((baseline > 0) & (baseline <= 1)).all():
        raise ValueError(f"A baseline AUC lies in (0, 1]; got {baseline.tolist()}.")
    return 100 * (auc - baseline) / baseline


def _check(labels: np.ndarray, scores: np.ndarray, classes: tuple[str, ...], average: str) -> None:
    if average not in AVERAGES:
        raise ValueError(f"Unknown average '{average}'; known: {', '.join(AVERAGES)}.")
    if scores.shape != (len(labels), len(classes)):
        raise ValueError(
            f"{len(labels)} labels and {len(classes)} classes need scores of shape "
            f"({len(labels)}, {len(classes)}); got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores).all(axis=1)).sum()} images have a score that is no number.")
    if not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"Probabilities of an image sum to 1; got sums up to {scores.sum(axis=1).max():.3f}.")
    if unknown := set(labels) - set(classes):
        raise ValueError(f"Unknown labels {', '.join(sorted(unknown))}; the scores are of {', '.join(classes)}.")
    if len(set(labels)) < 2:
        raise ValueError(f"An AUC needs images of two classes; all {len(labels)} are '{''.join(set(labels))}'.")
