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
            f"{what}: row {bad[0]} holds NaN or infinity ({len(bad)} of {len(values)} rows do). Check them."
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
