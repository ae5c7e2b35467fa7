"""Checks of the arrays that measures take (shapes, finite numbers, labels, groups): return the array or raise InputError."""

import numpy as np
from numpy.typing import ArrayLike

from catscans_lib.errors import InputError

LARGEST = 1e60  # of a feature: measures sum fourth powers, which overflow at 1e308


def features(values: ArrayLike, what: str = "features") -> np.ndarray:
    """Return features as float64, shape (n_images, n_features); an InputError names the first row with a number out of range."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or values.shape[1] < 1:
        raise InputError(f"{what} must have shape (n_images, n_features), at least 2 images; got {values.shape}.")
    if len(bad := np.flatnonzero(~np.isfinite(values).all(axis=1))):
        raise InputError(
            f"{what}: row {bad[0]} holds NaN or infinity ({len(bad)} of {len(values)} rows do). Leave these images out."
        )
    if (most := np.abs(values).max()) > LARGEST:
        raise InputError(f"{what} reach {most:.3g}; at most {LARGEST:g} are allowed. Divide all features by it.")
    return values


def labelled(values: ArrayLike, classes: ArrayLike, what: str = "features") -> tuple[np.ndarray, np.ndarray]:
    """Return features, and labels as int, shape (n_images,): 0 to n_classes - 1, at least two classes, each with an image."""
    values, classes = features(values, what), np.asarray(classes)
    if classes.shape != values.shape[:1]:
        raise InputError(f"labels must have shape ({len(values)},), one per image; got {classes.shape}.")
    if not np.issubdtype(classes.dtype, np.integer) or classes.min() < 0 or not np.bincount(classes).all():
        raise InputError(
            f"labels must be integers from 0 to n_classes - 1, each with an image; got {np.unique(classes)[:5]} "
            f"({classes.dtype}). Convert them with np.unique(labels, return_inverse=True)[1]."
        )
    if not classes.any():
        raise InputError("labels: all images have the same class; a measure that uses labels needs two.")
    return values, classes.astype(int)


def groups(values: ArrayLike | None, n_images: int) -> np.ndarray:
    """Return groups numbered from 0, shape (n_images,); for None, every image is its own group."""
    if values is None:
        return np.arange(n_images)
    values = np.asarray(values)
    if values.shape != (n_images,):
        raise InputError(f"groups must have shape ({n_images},), one per image; got {values.shape}.")
    return np.unique(values, return_inverse=True)[1]


def head(values: ArrayLike, classes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return source-class probabilities, shape (n_images, n_source_classes), and labels; rows sum to 1 within 0.001."""
    values, classes = labelled(values, classes, "source_head")
    totals = values.sum(axis=1)
    worst = int(np.argmax(np.abs(totals - 1)))
    if values.min() < 0 or abs(totals[worst] - 1) > 1e-3:
        raise InputError(
            f"source_head must hold probabilities, but row {worst} sums to {totals[worst]:.4g}, and the lowest value is "
            f"{values.min():.3g}. Pass the softmax of the head's outputs."
        )
    return values, classes


def same_space(target: ArrayLike, source: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of two sets of images by one network: the number of features must agree."""
    target, source = features(target), features(source, "source_features")
    if target.shape[1] != source.shape[1]:
        raise InputError(
            f"features and source_features must come from one network; got {target.shape[1]} and {source.shape[1]} features."
        )
    return target, source
