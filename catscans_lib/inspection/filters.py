"""Filters: those of the first convolution, and how much fine-tuning changed the weights of each layer."""

import keras
import numpy as np
import pandas as pd

from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks.weights import leaves

LOW = 0.25  # cycles per pixel: half the highest frequency that pixels can show


def first(backbone: keras.Model) -> np.ndarray:
    """Return the filters of the first convolution, shape (height, width, 3, n_filters)."""
    return next(layer for layer in leaves(backbone) if isinstance(layer, keras.layers.Conv2D)).get_weights()[0]


def numbers(filters: dict[str, np.ndarray]) -> pd.DataFrame:
    """Describe every filter of each source, shape (height, width, 3, n_filters), by three numbers.

    Columns source, filter (from 1), norm; low_frequency, the share of energy (sum of squares) below 0.25 cycles per pixel;
    grey, the share of energy that red, green and blue have in common. `of_noise` gives the mean shares of white noise.
    Shares of a zero filter are NaN.
    """
    tables = []
    for source, here in filters.items():
        energy = (here**2).sum(axis=(0, 1, 2))
        spectrum = np.abs(np.fft.fft2(here, axes=(0, 1), norm="ortho")) ** 2  # its sum is the energy (Parseval)
        low = spectrum[_is_low(*here.shape[:2])].sum(axis=(0, 1))
        grey = here.shape[2] * (here.mean(axis=2) ** 2).sum(axis=(0, 1))
        shares = [np.divide(part, energy, out=np.full_like(energy, np.nan), where=energy > 0) for part in (low, grey)]
        number = np.arange(1, here.shape[3] + 1)
        columns = {"filter": number, "norm": np.sqrt(energy), "low_frequency": shares[0], "grey": shares[1]}
        tables.append(pd.DataFrame({"source": source} | columns))
    return pd.concat(tables, ignore_index=True)


def of_noise(height: int, width: int) -> dict[str, float]:
    """Return the mean shares of filters of independent weights with mean 0, such as random initial weights."""
    return {"low_frequency": float(_is_low(height, width).mean()), "grey": 1 / 3}


def _is_low(height: int, width: int) -> np.ndarray:
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) < LOW


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
