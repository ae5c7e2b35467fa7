"""Draws of fewer training images: whole units, class shares kept, seeded and nested (20 images lie within 100)."""

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import folds


def fewer(
    labels: np.ndarray, units: np.ndarray, seed: int, *, n_images: int | None = None, n_per_class: int | None = None
) -> np.ndarray:
    """Mark about `n_images` images, or of each class about `n_per_class`; shape (n_images,), bool.

    `labels` are class numbers, or findings (bool, n_images x n_findings); images of one of `units` stay together, so the last
    unit drawn may exceed the number. Every class keeps an image; a rare finding may lose all. With one seed, a smaller draw
    lies within a larger one. InputError if there are too few images or groups.
    """
    names, numbers = np.unique(labels, return_inverse=True) if labels.ndim == 1 else (range(labels.shape[1]), None)
    has = labels if numbers is None else np.eye(len(names), dtype=bool)[numbers]
    what, n = ("n_images", n_images) if n_per_class is None else ("n_per_class", n_per_class)
    there = len(has) if n_per_class is None else has.sum(axis=0)[has.any(axis=0)].min()
    if n > there:
        of = "training images" if n_per_class is None else "training images of the rarest class"
        raise InputError(f"{what} is {n}, and there are {there} {of}. Use a smaller number.")
    marked = _shares_kept(has, units, seed, n) if n_per_class is None else _of_each(has, units, seed, n)
    lost = (has.any(axis=0) & ~has[marked].any(axis=0)).sum()
    if lost and labels.ndim == 1:
        said = f"too few for a group of each of {len(names)} classes: {lost} would have no image"
        raise InputError(f"{what} is {n}, {said}. Use a larger number.")
    if marked.all() and n < there:
        said = f"the training images have {len(set(units))} groups, of which all would be needed"
        raise InputError(f"{what} is {n}, and {said}. Use a smaller number, or a target with more groups.")
    return marked


def _shares_kept(has: np.ndarray, units: np.ndarray, seed: int, n: int) -> np.ndarray:
    """Take units by the rarest class that each holds."""
    held = pd.DataFrame(has).groupby(units).transform("any").to_numpy()
    counts = np.where(held, has.sum(axis=0), np.inf)
    rarest = np.where(held.any(axis=1), counts.argmin(axis=1), -1)
    return folds.subset(pd.Series(rarest), units, 1, seed, n)


def _of_each(has: np.ndarray, units: np.ndarray, seed: int, n: int) -> np.ndarray:
    """Take units in random order until each class has `n` images; units of one class do not count for another's order."""
    codes = np.unique(units, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(codes.max() + 1)
    holds = pd.DataFrame(has).groupby(codes).sum().to_numpy()[order]
    taken = (holds > 0) & (holds.cumsum(axis=0) - holds < n)
    return np.isin(codes, order[taken.any(axis=1)])
