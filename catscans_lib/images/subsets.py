"""Subsets of a dataset's images: drawn by class, or halves that share no group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.images import folds
from catscans_lib.images.store import ImageStore, open_store


@dataclass(frozen=True)
class Subset:
    """Some images of one dataset.

    Attributes
    ----------
    store : ImageStore
    rows : numpy.ndarray of int
        Rows of the store.
    labels : numpy.ndarray of int, shape (n_images,)
        Classes, numbered from 0 among those that occur.
    n_available : int
        Number of images that the subset was drawn from.
    """

    store: ImageStore
    rows: np.ndarray
    labels: np.ndarray
    n_available: int

    @property
    def groups(self) -> np.ndarray:
        """Patient, lesion or slide of every image."""
        return self.store.table["group"].to_numpy()[self.rows]

    @property
    def images(self) -> np.ndarray:
        """Pixels, uint8."""
        return self.store.images[self.rows]


def subset(store: ImageStore, rows: np.ndarray, n_images: int, seed: int) -> Subset:
    """Draw about `n_images` of the given rows of a store, as `draw` does."""
    chosen = rows[draw(store.table["label"].to_numpy()[rows], n_images, seed)]
    labels = np.unique(store.table["label"].to_numpy()[chosen], return_inverse=True)[1]
    return Subset(store, chosen, labels, len(rows))


def draw(labels: np.ndarray, n_images: int, seed: int) -> np.ndarray:
    """Return sorted indices of about `n_images` labels: each class in its share, with at least two images if it has them."""
    rng, drawn = np.random.default_rng(seed), []
    for name in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == name))
        drawn.append(members[: max(2, round(n_images * len(members) / len(labels)))])
    return np.sort(np.concatenate(drawn))


def half(store: ImageStore, rows: np.ndarray, seed: int, which: int) -> np.ndarray:
    """Return the rows of one half (0 or 1) of the groups; no patient, lesion or slide is in both halves."""
    codes = pd.factorize(store.table["group"].iloc[rows])[0]
    return rows[np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % 2 == which]


def of_dataset(profile: str, dataset: str, size_px: int, n_images: int, seed: int, is_target: bool = False) -> Subset:
    """Draw about `n_images` of a profile's dataset, stored at `size_px`; of a target only images in its fold table."""
    store = open_store(paths.store_path(profile, dataset, size_px))
    return subset(store, rows_of(profile, dataset, store, is_target), n_images, seed)


def rows_of(profile: str, dataset: str, store: ImageStore, is_target: bool) -> np.ndarray:
    """Return the rows of a store; of a target only those in its fold table."""
    rows = np.arange(len(store.table))
    if not is_target:
        return rows
    return rows[store.table["image_id"].isin(folds.read(paths.folds_path(profile, dataset))["image_id"])]


def if_stored(profile: str, source: str, size_px: int, n_images: int, seed: int) -> Subset | None:
    """Draw as `of_dataset`; None if the source has no image store because it came as weights."""
    is_stored = paths.store_path(profile, source, size_px).is_file()
    return of_dataset(profile, source, size_px, n_images, seed) if is_stored else None
