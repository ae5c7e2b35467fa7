"""Similarity of two networks: linear centred kernel alignment (CKA) of their layers' outputs for the same images."""

from itertools import product

import keras
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.inspection.feature_maps import map_layers

GRID = 8  # maps are averaged over at most 8 x 8 cells
BATCH = 16  # images at a time


def linear_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return the debiased linear CKA of two representations, from their Gram matrices ``X @ X.T`` and ``Y @ Y.T``.

    1: equal up to rotation, scale and shift; about 0: nothing in common; NaN: the same for every image. Kornblith et al.
    (2019), arXiv:1905.00414; debiased as in Nguyen et al. (2021), arXiv:2010.15327. InputError for fewer than 4 images.
    """
    both = hsic(gram_x, gram_y)
    own = hsic(gram_x, gram_x) * hsic(gram_y, gram_y)
    return float(both / np.sqrt(own)) if own > 0 else np.nan


def hsic(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion, Song et al. (2012), JMLR 13, equation 5."""
    n = len(gram_x)
    if n < 4:
        raise InputError(f"The debiased estimator needs at least 4 images; got {n}. Raise n_cka_images, or add images.")
    x, y = (gram - np.diag(np.diag(gram)) for gram in (gram_x, gram_y))
    pairs = (x * y).sum()
    means = x.sum() * y.sum() / ((n - 1) * (n - 2))
    rows = 2 / (n - 2) * (x.sum(axis=0) @ y.sum(axis=0))
    return float((pairs + means - rows) / (n * (n - 3)))


def last_layer(backbone: keras.Model) -> str:
    """Return the name of the last layer with maps, before the pooling."""
    return list(map_layers(backbone))[-1]


def sample(table: pd.DataFrame, n_images: int, seed: int) -> np.ndarray:
    """Draw at most `n_images` rows of a store (the index of `table`), sorted, one per group: CKA takes independent images."""
    drawn = table.sample(frac=1, random_state=np.random.default_rng(seed)).drop_duplicates("group")
    return np.sort(drawn.index[:n_images].to_numpy())


def gram(backbone: keras.Model, images: np.ndarray, layer: str) -> np.ndarray:
    """Return the Gram matrix (n_images, n_images) of a layer; larger maps are averaged over 8 x 8 cells, for memory."""
    probe = keras.Model(backbone.input, map_layers(backbone)[layer])
    batches = (images[start : start + BATCH].astype("float32") for start in range(0, len(images), BATCH))
    features = np.concatenate([_cells(keras.ops.convert_to_numpy(probe(one, training=False))) for one in batches])
    centred = features - features.mean(axis=0)  # CKA is invariant to it; reduces rounding errors
    return centred @ centred.T


def _cells(maps: np.ndarray) -> np.ndarray:
    """Average maps over a grid of cells: (n, height, width, channels) -> (n, n_cells * channels), float64."""
    for axis in (1, 2):
        size = maps.shape[axis]
        starts = np.arange(min(GRID, size)) * size // min(GRID, size)
        widths = np.diff([*starts, size]).reshape([-1 if place == axis else 1 for place in range(4)])
        maps = np.add.reduceat(maps, starts, axis=axis, dtype="float64") / widths
    return maps.reshape(len(maps), -1)


def between(grams: dict[str, np.ndarray], layer: str) -> pd.DataFrame:
    """Compare all pairs of sources in one layer: columns layer, source, other, cka, n_images; both orders, self pairs too."""
    rows = [(layer, *pair, linear_cka(*map(grams.get, pair)), len(grams[pair[0]])) for pair in product(grams, repeat=2)]
    return pd.DataFrame(rows, columns=["layer", "source", "other", "cka", "n_images"])


def kept(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> pd.DataFrame:
    """Compare each source before and after fine-tuning: columns source, cka, n_images."""
    rows = [(source, linear_cka(before[source], of_source), len(of_source)) for source, of_source in after.items()]
    return pd.DataFrame(rows, columns=["source", "cka", "n_images"])
