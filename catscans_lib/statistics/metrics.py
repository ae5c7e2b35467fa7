"""Metrics of predictions: AUC, transfer score, and the quality of decisions and probabilities."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from catscans_lib.images.findings import vary

AVERAGES = ("weighted", "macro")
N_ECE_BINS = 15
ROUNDING = 0.0005  # largest error of a probability rounded to three decimals


def auc(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...], average: str = "weighted") -> float:
    """Return the area under the ROC curve in [0, 1], averaged over classes if there are more than two.

    `labels`, shape (n_images,), are names of classes; `scores`, shape (n_images, n_classes), are probabilities in the order of
    `classes`, whose rows sum to 1 (three decimals suffice). 0.5 is chance, and a tie between a positive and a negative counts
    one half. Of two classes the second is the positive one, and `average` has no effect. Of more, the one-vs-rest AUCs are
    averaged, weighted by the images of each class (weighted) or equally (macro). Where an image may have several findings, labels
    are bool (n_images, n_findings), scores need not sum to 1, and the mean over findings is macro whatever `average`.

    A class without images has no ROC curve and is left out of the mean, and so is a finding that all images have. Raises
    ValueError if a score is not finite, a row does not sum to 1, a label or the average is unknown, or only one class occurs.
    """
    labels, scores = check_predictions(labels, scores, classes)
    if (labels == labels[0]).all():
        raise ValueError(f"An AUC needs images of two classes; all {len(labels)} are '{labels[0]}'.")
    return averaged(area, labels, scores, classes, average)


def per_class(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]) -> list[tuple[str, float, int, int]]:
    """Return class, one-vs-rest AUC, n_positive and n_negative of every class; the AUC is NaN if a count is 0."""
    labels, scores = check_predictions(labels, scores, classes)
    rows = []
    for number, (name, score) in enumerate(zip(classes, scores.T, strict=True)):
        positive = labels[:, number] if labels.ndim == 2 else labels == name
        n = int(positive.sum())
        value = area(positive, score) if 0 < n < len(positive) else np.nan
        rows.append((name, value, n, len(positive) - n))
    return rows


def area(positive: np.ndarray, scores: np.ndarray) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher, ties one half; 50 times scikit-learn's speed."""
    below = np.sort(scores[~positive])
    above = scores[positive]
    won = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(won / (2 * len(above) * len(below)))


def transfer_score(auc: ArrayLike, baseline_auc: ArrayLike) -> np.ndarray:
    """Relative AUC gain from pretraining, in percent: ``100 * (auc - baseline_auc) / baseline_auc`` for each fold.

    Both arguments, shape (n_folds,), list the same folds in the same order; `baseline_auc`, in (0, 1], is that of random weights.
    ValueError if shapes differ or a baseline is out of range. Reference: van den Brandt et al. (2021), arXiv:2107.05940.

    >>> transfer_score([0.95, 0.90], [0.88, 0.90]).round(2)
    array([7.95, 0.  ])
    """
    auc, baseline = np.asarray(auc, dtype=float), np.asarray(baseline_auc, dtype=float)
    if auc.shape != baseline.shape:
        said = f"transfer_score pairs folds: got {auc.shape} scores and {baseline.shape} baselines."
        raise ValueError(f"{said} Pass both from the same fold table.")
    if not ((baseline > 0) & (baseline <= 1)).all() or ((auc < 0) | (auc > 1)).any():
        raise ValueError(f"An AUC lies in [0, 1], a baseline above 0; got {auc.tolist()} and {baseline.tolist()}.")
    return 100 * (auc - baseline) / baseline


def averaged(
    measure: Callable[[np.ndarray, np.ndarray], float], labels: np.ndarray, scores: np.ndarray, classes: tuple[str, ...],
    average: str,
) -> float:  # fmt: skip
    """Weighted mean of ``measure(positive, scores)`` over the binary problems of an average."""
    problems = binary_problems(labels, scores, classes, average)
    values = np.array([measure(*problem) for problem in problems])
    weight = weights(average_of(labels, classes, average), np.array([positive.sum() for positive, _ in problems]))
    return float((weight * values).sum() / weight.sum())


def binary_problems(
    labels: np.ndarray, scores: np.ndarray, classes: tuple[str, ...], average: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split checked predictions into what an average is taken over: which images are positive (bool), and their scores."""
    if average not in AVERAGES:
        raise ValueError(f"Unknown average '{average}'; known: {', '.join(AVERAGES)}.")
    if labels.ndim == 2:
        return [(labels[:, one], scores[:, one]) for one in np.flatnonzero(vary(labels))]
    if len(classes) == 2:
        return [(labels == classes[1], scores[:, 1])]
    is_class = labels[:, None] == np.array(classes)
    return [(is_class[:, one], scores[:, one]) for one in np.flatnonzero(is_class.any(axis=0))]


def average_of(labels: np.ndarray, classes: tuple[str, ...], average: str) -> str:
    """Return which average an AUC is: macro over findings, binary for two classes, else `average`."""
    return "macro" if labels.ndim == 2 else "binary" if len(classes) == 2 else average


def weights(average: str, n_positive: np.ndarray) -> np.ndarray:
    """Weight of each binary problem in an average, from its number of positives (an array of any shape)."""
    return n_positive if average == "weighted" else np.ones_like(n_positive)


def check_predictions(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (str, or bool if they are a matrix) and scores (float), or raise a ValueError that names the problem."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    labels = labels.astype(bool if labels.ndim == 2 else str)
    if len(set(classes)) < max(2, len(classes)):
        raise ValueError(f"Expected at least two different class names; got {', '.join(classes) or 'none'}.")
    if scores.shape != (len(labels), len(classes)):
        needed = len(labels), len(classes)
        raise ValueError(
            f"{needed[0]} labels and {needed[1]} classes need scores of shape {needed}; got {scores.shape}."
        )
    if len(labels) == 0:
        raise ValueError("Got no images; pass at least one label with its scores.")
    if labels.ndim == 2:
        if labels.shape != scores.shape or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"Findings {labels.shape} need as many probabilities in [0, 1]; got {scores.shape}.")
        return labels, scores
    apart = np.abs(scores.sum(axis=1) - 1)
    if (off := ~(apart <= ROUNDING * len(classes) + 1e-6)).any():  # also True where a score is NaN
        worst = np.argmax(np.where(np.isnan(apart), np.inf, apart))
        said = f"The probabilities of an image must be finite and sum to 1; {off.sum()} of {len(off)} rows do not."
        raise ValueError(f"{said} The worst is row {worst} (from 0) with sum {scores[worst].sum():.3f}.")
    if unknown := set(labels.tolist()) - set(classes):
        raise ValueError(f"Unknown labels {', '.join(sorted(unknown))}; known classes: {', '.join(map(str, classes))}.")
    return labels, scores


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Mean precision at the score of each positive; as scikit-learn's, which takes ten times as long for few images."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    return float((np.diff(found[last], prepend=0) * found[last] / (last + 1)).sum() / found[-1])


def classification_metrics(labels: ArrayLike, scores: ArrayLike, classes: tuple[str, ...]) -> dict[str, float]:
    """Return what an AUC does not measure: the quality of decisions and of probabilities; arguments as in `auc`.

    The class with the highest probability is predicted, the first if several are tied. balanced_accuracy is the mean recall over
    the classes that occur; average_precision (weighted, of more than two classes) is NaN if only one class occurs; brier is, of
    two classes, the mean squared error of the positive class's probability, in [0, 1]; of more, summed over classes, in [0, 2];
    ece is the expected calibration error of the predicted class over 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).
    ValueError for scores outside [0, 1].
    """
    labels, scores = check_predictions(labels, scores, classes)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"Probabilities lie in [0, 1]; got {scores.min():.3g} to {scores.max():.3g}.")
    if labels.ndim == 2:  # means over findings, each predicted from a probability of 0.5 on
        pairs = zip(labels.T.astype(int), scores.T, strict=True)
        each = [classification_metrics(has, np.stack([1 - score, score], axis=1), ("0", "1")) for has, score in pairs]
        return {name: float(np.nanmean([of[name] for of in each])) for name in each[0]}
    is_class = labels[:, None] == np.array(classes)
    correct = is_class[np.arange(len(labels)), scores.argmax(axis=1)]
    squared = (scores - is_class) ** 2
    n = is_class.sum(axis=0)
    recall = is_class[correct].sum(axis=0)[n > 0] / n[n > 0]
    precision = averaged(average_precision, labels, scores, classes, "weighted") if len(recall) > 1 else np.nan
    inner_edges, confidence = np.linspace(0, 1, N_ECE_BINS + 1)[1:-1], scores.max(axis=1)
    surplus = np.bincount(np.searchsorted(inner_edges, confidence), weights=correct - confidence)
    return {
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(recall.mean()),
        "average_precision": precision,
        "brier": float(squared[:, 1].mean() if len(classes) == 2 else squared.sum(axis=1).mean()),
        "ece": float(np.abs(surplus).sum() / len(correct)),
    }
