"""How much fine-tuning changed the weights of each layer."""

import keras
import numpy as np
import pandas as pd

from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks.weights import leaves


def relative(networks: SourceNetworks) -> pd.DataFrame:
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
