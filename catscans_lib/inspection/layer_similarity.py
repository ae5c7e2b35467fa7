"""Similarity of two networks: linear centred kernel alignment (CKA) of their layers' outputs for the same images."""

from itertools import product

import keras
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.inspection.feature_maps import map_layers

GRID = 8  # maps are averaged over at most 8 x 8 cells
BATCH = 16  # memory holds the outputs of all layers for one batch
Grams = dict[str, np.ndarray]


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


def stage_ends(backbone: keras.Model) -> list[str]:
    """Return the last layer at each map size, from the first convolution to the pooling; at most five, evenly spaced."""
    maps = map_layers(backbone)
    kinds = {layer.name: layer for layer in backbone.layers}
    names = list(maps)
    first = next(at for at, name in enumerate(names) if isinstance(kinds[name], keras.layers.Conv2D | keras.Model))
    sizes = {name: maps[name].shape[1:3] for name in names[first:]}
    is_pixel = {name: size == (1, 1) for name, size in sizes.items()}  # inside a squeeze-and-excitation block
    padded = {name: isinstance(kinds[name], keras.layers.ZeroPadding2D) for name in sizes}
    ends = {size: name for name, size in sizes.items() if not is_pixel[name] and not padded[name]}
    ends[sizes[names[-1]]] = names[-1]
    kept = np.linspace(0, len(ends) - 1, min(5, len(ends))).round().astype(int)
    return [list(ends.values())[at] for at in kept]


def sample(table: pd.DataFrame, n_images: int, seed: int) -> np.ndarray:
    """Draw at most `n_images` rows of a store (the index of `table`), sorted, one per group: CKA takes independent images."""
    drawn = table.sample(frac=1, random_state=np.random.default_rng(seed)).drop_duplicates("group")
    return np.sort(drawn.index[:n_images].to_numpy())


def grams(backbone: keras.Model, images: np.ndarray, layers: list[str]) -> Grams:
    """Return the Gram matrix (n_images, n_images) of every layer; larger maps are averaged over 8 x 8 cells, for memory."""
    maps = map_layers(backbone)
    probe = keras.Model(backbone.input, [maps[name] for name in layers])
    batches = [images[start : start + BATCH].astype("float32") for start in range(0, len(images), BATCH)]
    found = [[_cells(keras.ops.convert_to_numpy(one)) for one in probe(batch, training=False)] for batch in batches]
    features = (np.concatenate(parts) for parts in zip(*found, strict=True))
    centred = (here - here.mean(axis=0) for here in features)  # CKA is invariant to it; reduces rounding errors
    return {name: here @ here.T for name, here in zip(layers, centred, strict=True)}


def _cells(maps: np.ndarray) -> np.ndarray:
    """Average maps over a grid of cells: (n, height, width, channels) -> (n, n_cells * channels), float64."""
    for axis in (1, 2):
        size = maps.shape[axis]
        starts = np.arange(min(GRID, size)) * size // min(GRID, size)
        widths = np.diff([*starts, size]).reshape([-1 if place == axis else 1 for place in range(4)])
        maps = np.add.reduceat(maps, starts, axis=axis, dtype="float64") / widths
    return maps.reshape(len(maps), -1)


def between(grams_of: dict[str, Grams], layer: str) -> pd.DataFrame:
    """Compare all pairs of sources in one layer: columns layer, source, other, cka, n_images; both orders, self pairs too."""
    here = {source: of_layer[layer] for source, of_layer in grams_of.items()}
    rows = [(layer, *pair, linear_cka(*map(here.get, pair)), len(here[pair[0]])) for pair in product(here, repeat=2)]
    return pd.DataFrame(rows, columns=["layer", "source", "other", "cka", "n_images"])


def kept(before: dict[str, Grams], after: dict[str, Grams]) -> pd.DataFrame:
    """Compare each source before and after fine-tuning in each layer: columns source, layer, cka, n_images."""
    rows = [
        (source, layer, linear_cka(before[source][layer], gram), len(gram))
        for source, of_source in after.items()
        for layer, gram in of_source.items()
    ]
    return pd.DataFrame(rows, columns=["source", "layer", "cka", "n_images"])
