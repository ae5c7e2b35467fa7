"""Some images of a dataset: drawn by class, in halves that share no group, from the stores of a profile."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.images.store import ImageStore, open_store


@dataclass(frozen=True)
class Subset:
    """Some images of one dataset.

    Attributes
    ----------
    store : ImageStore
    rows : numpy.ndarray of int
        Their places in the store.
    labels : numpy.ndarray of int, shape (n_images,)
        Classes, numbered from 0 among those that occur.
    n_available : int
        Images that could have been drawn.
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
        """The images, uint8."""
        return self.store.images[self.rows]


def subset(store: ImageStore, rows: np.ndarray, n_images: int, seed: int) -> Subset:
    """Draw about `n_images` images, every class by its share and with at least two images where it has them.

    Parameters
    ----------
    rows : numpy.ndarray of int
        Places in the store that may be drawn from.
    """
    chosen = rows[draw(store.table["label"].to_numpy()[rows], n_images, seed)]
    labels = np.unique(store.table["label"].to_numpy()[chosen], return_inverse=True)[1]
    return Subset(store, chosen, labels, len(rows))


def draw(labels: np.ndarray, n_images: int, seed: int) -> np.ndarray:
    """Return places of about `n_images` of the labels, sorted: every class by its share, at least two where it has them."""
    rng, drawn = np.random.default_rng(seed), []
    for name in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == name))
        drawn.append(members[: max(2, round(n_images * len(members) / len(labels)))])
    return np.sort(np.concatenate(drawn))


def half(store: ImageStore, rows: np.ndarray, seed: int, which: int) -> np.ndarray:
    """Return the rows of one half (0 or 1) of the groups, drawn by seed: no patient, lesion or slide is in both."""
    codes = pd.factorize(store.table["group"].iloc[rows])[0]
    return rows[np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % 2 == which]


def of_dataset(profile: str, dataset: str, size_px: int, n_images: int, seed: int, is_target: bool = False) -> Subset:
    """Draw about `n_images` of a profile's dataset, stored at `size_px`; of a target only images in its fold table."""
    store = open_store(paths.store_path(profile, dataset, size_px))
    return subset(store, rows_of(profile, dataset, store, is_target), n_images, seed)


def rows_of(profile: str, dataset: str, store: ImageStore, is_target: bool) -> np.ndarray:
    """Return the places of a dataset's images in its store; of a target only those in its fold table."""
    rows = np.arange(len(store.table))
    if not is_target:
        return rows
    return rows[store.table["image_id"].isin(results.read_table(paths.folds_path(profile, dataset))["image_id"])]


def if_stored(profile: str, source: str, size_px: int, n_images: int, seed: int) -> Subset | None:
    """Draw as `of_dataset`; None where the source has no image store, as one that came as weights."""
    is_stored = paths.store_path(profile, source, size_px).is_file()
    return of_dataset(profile, source, size_px, n_images, seed) if is_stored else None
