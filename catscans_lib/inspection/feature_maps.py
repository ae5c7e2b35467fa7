"""What a layer makes of an image: source by source, and before and after fine-tuning."""

import keras
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images.store import ImageStore
from catscans_lib.inspection.networks import SourceNetworks

MOST_IMAGES = 3  # shown where none are named
Pair = tuple[np.ndarray, np.ndarray]


def chosen(images: ImageStore, image_ids: list[str] | None = None) -> pd.DataFrame:
    """Choose images to look at: the named ones, else the first of each class, in the order of ids, at most three.

    Returns
    -------
    pandas.DataFrame
        image_id, label; the index is the row in the store.

    Raises
    ------
    InputError
        If there is no such image; lists some that there are.
    """
    table = images.table[["image_id", "label"]]
    if image_ids is None:
        return table.loc[[table.index[table["label"] == name][0] for name in images.classes[:MOST_IMAGES]]]
    if missing := [name for name in image_ids if name not in set(table["image_id"])]:
        some = ", ".join(table["image_id"].iloc[:: max(1, len(table) // 5)])
        raise InputError(
            f"No image '{missing[0]}' in {images.dataset}, which has {len(table):,}; some of them: {some}."
        )
    place = pd.Series(table.index, index=table["image_id"])
    return table.loc[place[image_ids]]


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
    known = map_layers(backbone)
    if layer is None:
        layer = next(here.name for here in backbone.layers if isinstance(here, keras.layers.Conv2D | keras.Model))
    if layer not in known:
        raise InputError(f"No layer '{layer}' with feature maps; the network has: {', '.join(known)}.")
    up_to = keras.Model(backbone.input, known[layer])
    outputs = up_to(images.astype("float32"), training=False)  # a few images: tracing a graph would take longer
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))


def map_layers(backbone: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return the layers with maps, by name, in the network's order: each with its output (n, height, width, channels)."""
    # not `here.output`: a layer that is itself a model (ConvNeXt's first) would give a tensor of its inner graph
    outputs = {here.name: keras.Operation.output.fget(here) for here in backbone.layers}
    return {name: output for name, output in outputs.items() if len(output.shape) == 4}


def of_sources(networks: SourceNetworks, images: np.ndarray, layer: str | None, n_maps: int) -> dict[str, np.ndarray]:
    """Feature maps of pretrained networks, source by source: the channels that vary most over an image first.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)

    Returns
    -------
    dict of numpy.ndarray, shape (n_images, height, width, n_maps)
        The same channels for every image.
    """
    maps = {}
    for source in networks.sources:
        found = activations(networks.pretrained(source), images, layer)
        maps[source] = found[..., _largest(found.std(axis=(1, 2)), n_maps)]
    return maps


def before_and_after(networks: SourceNetworks, image: np.ndarray, layer: str | None, n_maps: int) -> dict[str, Pair]:
    """Feature maps of one image in the pretrained and in the fine-tuned network: the channels that changed most first.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (1, size, size, 3)

    Returns
    -------
    dict of (numpy.ndarray, numpy.ndarray), both of shape (height, width, n_maps)
    """
    pairs = {}
    for source in networks.sources:
        before = activations(networks.pretrained(source), image, layer)
        after = activations(networks.fine_tuned(source), image, layer)
        most = _largest(np.abs(after - before).mean(axis=(1, 2)), n_maps)
        pairs[source] = before[0][..., most], after[0][..., most]
    return pairs


def _largest(numbers: np.ndarray, n: int) -> np.ndarray:
    """Channels with the largest mean over the images, shape (n_images, n_channels) -> (n,)."""
    return np.argsort(-numbers.mean(axis=0), kind="stable")[:n]


def strengths(maps: dict[str, np.ndarray], image_ids: list[str]) -> pd.DataFrame:
    """Mean and spread of every map over its image: columns source, image_id, map (from 1), mean, sd."""
    rows = [
        (source, image_id, number, float(one.mean()), float(one.std()))
        for source, here in maps.items()
        for image_id, of_image in zip(image_ids, here, strict=True)
        for number, one in enumerate(np.moveaxis(of_image, -1, 0), start=1)
    ]
    return pd.DataFrame(rows, columns=["source", "image_id", "map", "mean", "sd"])


def differences(pairs: dict[str, Pair]) -> pd.DataFrame:
    """How far fine-tuning moved every map.

    Returns
    -------
    pandas.DataFrame
        Columns source, map (from 1), range (of values, before and after together), mean_difference and largest_difference
        (after - before, the latter with its sign).
    """
    rows = []
    for source, (before, after) in pairs.items():
        for number in range(before.shape[-1]):
            one, other = before[..., number], after[..., number]
            change = (other - one).ravel()
            span = max(one.max(), other.max()) - min(one.min(), other.min())
            largest = change[np.abs(change).argmax()]
            rows.append((source, number + 1, float(span), float(change.mean()), float(largest)))
    return pd.DataFrame(rows, columns=["source", "map", "range", "mean_difference", "largest_difference"])
