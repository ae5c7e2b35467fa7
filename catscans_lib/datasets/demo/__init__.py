"""The demo world: nine small made-up datasets, called like the real ones, whose classes are built from named factors.

Nothing here shows a patient. Which factors datasets share is declared (`shared_factors`) and not measured, so that one
can test whether a measure of similarity finds it.
"""

import zlib

import numpy as np
import pandas as pd

from catscans_lib.datasets.demo.factors import CLASSES, SHARES, TARGETS, exercised, shared_factors
from catscans_lib.datasets.demo.scenes import LOOK, SCENES
from catscans_lib.errors import InputError, unknown

__all__ = ["CLASSES", "TARGETS", "exercised", "make", "shared_factors"]

PER_GROUP = {"isic2018": 1.05, "chest": 3, "pcam_middle": 20, "pcam_small": 20}  # images, on average


def make(
    name: str, *, n_images: int | None, size_px: int, seed: int = 0
) -> tuple[np.ndarray, pd.DataFrame, tuple[str, ...]]:
    """Draw a dataset; the result is a function of the arguments alone.

    Parameters
    ----------
    n_images : int
        At least one for each class.
    size_px : int
        Side of the images, 16 to 64; the drawings are made for 32.

    Returns
    -------
    images : numpy.ndarray of uint8, shape (n_images, size_px, size_px, 3)
    table : pandas.DataFrame
        Columns image_id (sorted, says nothing about the label), label, group, split ("").
    classes : tuple of str

    Raises
    ------
    InputError
        If the dataset is not known, or the number or size of the images is out of range.
    """
    if name not in CLASSES:
        raise unknown("demo dataset", name, tuple(CLASSES))
    classes = CLASSES[name]
    if not 16 <= size_px <= 64:
        raise InputError(f"The demo world draws images of 16 to 64 pixels; '{name}' is to have size_px={size_px}.")
    if n_images is None or n_images < len(classes):
        raise InputError(
            f"Demo dataset '{name}' needs n_images of at least {len(classes)}, one per class; got {n_images}."
        )
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    label = rng.permutation(_labels(name, n_images))
    group = _groups(name, label)
    look = rng.random((group.max() + 1, LOOK))[group]
    images = np.empty((n_images, size_px, size_px, 3), np.uint8)
    for number, factors in enumerate(classes.values()):
        rows = np.flatnonzero(label == number)
        images[rows] = np.clip(255 * SCENES[name](factors, look[rows], size_px, rng) + 0.5, 0, 255)
    ids = [f"{name}_{number:05d}" for number in range(n_images)]
    groups = [f"{name}_group_{number:05d}" for number in group]
    table = pd.DataFrame({"image_id": ids, "label": np.array(list(classes))[label], "group": groups, "split": ""})
    return images, table, tuple(classes)


def _labels(name: str, n_images: int) -> np.ndarray:
    """Class number of every image, class by class, each class at least once."""
    shares = np.array([SHARES.get(name, {}).get(label, 1 / len(CLASSES[name])) for label in CLASSES[name]])
    edges = np.round(np.cumsum(shares) * (n_images - len(shares))).astype(int)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0) + 1)


def _groups(name: str, label: np.ndarray) -> np.ndarray:
    """Group number of every image: patients and lesions have one class, slides have images of both."""
    n = len(label)
    order = np.arange(n) if name.startswith("pcam") else np.argsort(label, kind="stable")
    place = np.empty(n, int)
    place[order] = np.arange(n)
    group = (place / PER_GROUP.get(name, 1)).astype(int)
    if not name.startswith("pcam"):  # a group that began in the class before would join two classes
        group = pd.factorize(pd.Series(list(zip(label, group, strict=True))))[0]
    return group
