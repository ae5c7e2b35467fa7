"""Filters: those of the first convolution, and how much fine-tuning changed the weights of each layer."""

import keras
import numpy as np
import pandas as pd

from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks.weights import leaves


def first(backbone: keras.Model) -> np.ndarray:
    """Return the filters of the first convolution, shape (height, width, 3, n_filters)."""
    return next(layer for layer in leaves(backbone) if isinstance(layer, keras.layers.Conv2D)).get_weights()[0]


def norms(filters: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return source, filter (from 1) and Euclidean norm of every filter; `filters` as `first` returns them, by source."""
    tables = [
        pd.DataFrame(
            {
                "source": source,
                "filter": np.arange(1, here.shape[3] + 1),
                "norm": np.sqrt((here**2).sum(axis=(0, 1, 2))),
            }
        )
        for source, here in filters.items()
    ]
    return pd.concat(tables, ignore_index=True)


def changes(networks: SourceNetworks) -> pd.DataFrame:
    """Return how much fine-tuning changed the kernel of every layer of each source.

    Columns source, layer, n_weights, change: ||after - before|| / ||before|| (Frobenius norm). Biases and normalisation
    layers are left out, since many start at 0.
    """
    rows = []
    for source in networks.sources:
        before = _kernels(networks.pretrained(source))
        for layer, after in _kernels(networks.fine_tuned(source)).items():
            moved, length = np.linalg.norm(after - before[layer]), np.linalg.norm(before[layer])
            rows.append((source, layer, after.size, float(moved / length)))
    return pd.DataFrame(rows, columns=["source", "layer", "n_weights", "change"])


def _kernels(backbone: keras.Model) -> dict[str, np.ndarray]:
    """Return the first weight array of every layer, if it has more than one dimension."""
    found = {layer.name: layer.get_weights() for layer in leaves(backbone) if layer.weights}
    return {name: arrays[0] for name, arrays in found.items() if arrays[0].ndim > 1}
