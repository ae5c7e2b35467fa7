"""Several findings per image: as text in tables ("Edema|Effusion"), as a matrix for networks, divided evenly into folds.

The label of an image is the sorted names of its findings; no class has `SEPARATOR` in its name. As numbers, labels are int
(n_images,) where every image has one class, and a bool matrix (n_images, n_findings) where it may have several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "|"
NO_FINDING = "No finding"  # the label of an image without any
WORDS = {"no finding", "no findings", "nofinding", "none"}  # that tables have for it, in any case


def joined(names: Iterable[str]) -> str:
    """Return the label of an image with these findings."""
    return SEPARATOR.join(sorted(set(names))) or NO_FINDING


def label(names: Iterable[str]) -> tuple[str, str]:
    """Return the label of an image that a table gives these findings (blank ones do not count), and its fault ("": none).

    >>> label(["Edema", "Effusion "]), label(["No Finding"]), label([""])
    (('Edema|Effusion', ''), ('No finding', ''), ('', 'no label'))
    """
    names = [name.strip() for name in names if name.strip()]
    found = [name for name in names if re.sub(r"[\s_-]+", " ", name).casefold() not in WORDS]
    if any(SEPARATOR in name for name in found):
        return "", f"a finding has {SEPARATOR} in its name; --multi-label '{SEPARATOR}' separates several"
    if found and len(found) < len(names):
        return "", f"'{(set(names) - set(found)).pop()}' and '{found[0]}' at once"
    return (joined(found), "") if names else ("", "no label")


def each(labels: pd.Series) -> pd.Series:
    """Return a row for every class or finding of an image, with the index of the image."""
    return labels.str.split(SEPARATOR, regex=False).explode()


def matrix(labels: Iterable[str], names: Sequence[str] | None = None) -> np.ndarray:
    """Return which image has which finding, bool (n_images, n_findings); None: all findings that occur, sorted."""
    split = [set(text.split(SEPARATOR)) - {NO_FINDING} for text in labels]
    names = sorted(set().union(*split)) if names is None else names
    return np.array([[name in found for name in names] for found in split], bool).reshape(len(split), len(names))


def vary(labels: np.ndarray) -> np.ndarray:
    """Mark the findings that some but not all images have, shape (n_findings,)."""
    return labels.any(axis=0) & ~labels.all(axis=0)


def stratified(has: np.ndarray, units: np.ndarray, shares: Sequence[float], seed: int, *, least: int = 0) -> np.ndarray:
    """Divide images into parts of these shares in which every finding has its share; return the part of each, from 0.

    `has` is bool (n_images, n_findings); images of one of `units` stay together. The first part gets at least `least` images
    with each finding, if there are so many. Iterative stratification of units (Sechidis, Tsoumakas and Vlahavas 2011,
    doi:10.1007/978-3-642-23808-6_10): the rarest remaining finding first, its largest unit before others, where most are lacking.
    """
    rng, codes = np.random.default_rng(seed), np.unique(units, return_inverse=True)[1]
    holds = np.zeros((codes.max() + 1, has.shape[1] + 1))  # images with each finding, and images
    np.add.at(holds, codes, np.column_stack([has, np.ones(len(has))]))
    lacks = np.outer(shares, holds.sum(axis=0))
    if least:
        lacks[0] = np.maximum(lacks[0], np.minimum(least, lacks.sum(axis=0)))
        lacks[1] = holds.sum(axis=0) - lacks[0]
    part, rest = np.zeros(len(holds), int), rng.permutation(len(holds))
    rest = rest[np.argsort(-holds[rest, -1], kind="stable")]
    while len(rest):
        left = holds[rest, :-1].sum(axis=0)
        rarest = np.where(left > 0, left, np.inf).argmin() if left.any() else -1  # -1: units without any finding
        is_next = holds[rest, rarest] > 0
        for unit in rest[is_next]:
            part[unit] = np.lexsort((rng.random(len(lacks)), lacks[:, -1], lacks[:, rarest]))[-1]
            lacks[part[unit]] -= holds[unit]
        rest = rest[~is_next]
    return part[codes]
