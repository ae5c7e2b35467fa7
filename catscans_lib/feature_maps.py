"""What one layer of a network makes of one image."""

import keras
import numpy as np
import pandas as pd

from catscans_lib import models, paths, results
from catscans_lib.errors import InputError
from catscans_lib.settings import FeatureMaps


def activations(backbone: keras.Model, images: np.ndarray, layer: str | None = None) -> np.ndarray:
    """Output of one layer, after its activation where that is part of it.

    Parameters
    ----------
    backbone : keras.Model
        A network without its head, as `models.backbone` returns it.
    images : numpy.ndarray, shape (n_images, height, width, 3), 0..255
    layer : str or None
        Name of the layer, "preprocess" for what the network makes of its input; None: the first convolution.

    Returns
    -------
    numpy.ndarray of float32, shape (n_images, height, width, n_channels)

    Raises
    ------
    InputError
        If there is no such layer, or its output is no map; lists the layers.
    """
    # not `here.output`: a layer that is itself a model (ConvNeXt's first) would give a tensor of its inner graph
    known = {here.name: keras.Operation.output.fget(here) for here in backbone.layers}
    known = {name: output for name, output in known.items() if len(output.shape) == 4}
    if layer is None:
        layer = next(here.name for here in backbone.layers if isinstance(here, keras.layers.Conv2D | keras.Model))
    if layer not in known:
        raise InputError(f"No layer '{layer}' with feature maps; the network has: {', '.join(known)}.")
    up_to = keras.Model(backbone.input, known[layer])
    outputs = up_to(images.astype("float32"), training=False)  # a few images: tracing a graph would take longer
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))


def of_sources(profile: str, settings: FeatureMaps, image: np.ndarray) -> dict[str, np.ndarray]:
    """Feature maps of one image, source by source, the ones that vary most over the image first.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (1, size, size, 3)

    Returns
    -------
    dict of numpy.ndarray, shape (height, width, n_maps)
    """
    maps = {}
    for source in settings.sources:
        made = results.record(profile, f"pretrain/{source}")["parameters"]
        path = paths.run_dir(profile, "pretrain", source) / "model.keras"
        backbone = models.saved_backbone(path, made["backbone"], image.shape[1])
        found = activations(backbone, image, settings.layer)[0]
        most = np.argsort(-found.std(axis=(0, 1)), kind="stable")
        maps[source] = found[:, :, most[: settings.n_maps]]
    return maps


def strengths(maps: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean and spread of every map over the image: columns source, map (from 1), mean, sd."""
    rows = [
        (source, number, float(here[:, :, number - 1].mean()), float(here[:, :, number - 1].std()))
        for source, here in maps.items()
        for number in range(1, here.shape[2] + 1)
    ]
    return pd.DataFrame(rows, columns=["source", "map", "mean", "sd"])
