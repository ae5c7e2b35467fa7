"""Feature maps: the outputs of one layer for some images, by source."""

import keras
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import findings
from catscans_lib.images.store import ImageStore
from catscans_lib.inspection.networks import SourceNetworks


def chosen(images: ImageStore, image_ids: list[str] | None = None) -> pd.DataFrame:
    """Return image_id and label, by row, of the named images (InputError: unknown), or of the first of at most three classes."""
    table = images.table[["image_id", "label"]]
    if image_ids is None:
        each = findings.each(table["label"])
        return table.loc[[each.index[each == name][0] for name in images.classes[:3]]]
    if missing := [name for name in image_ids if name not in set(table["image_id"])]:
        some = ", ".join(table["image_id"].iloc[:: max(1, len(table) // 5)])
        has = f"{images.dataset}, which has {len(table):,}; some of them: {some}"
        raise InputError(f"No image '{missing[0]}' in {has}.")
    return table.iloc[pd.Index(table["image_id"]).get_indexer(image_ids)]


def activations(backbone: keras.Model, images: np.ndarray, layer: str | None = None) -> np.ndarray:
    """Return the output of one layer, shape (n_images, height, width, n_channels), float32, for RGB images in 0..255.

    `layer` None is the first convolution. InputError for an unknown layer, or one without maps; lists the layers with maps.
    """
    known = map_layers(backbone)
    if layer is None:
        layer = next(here.name for here in backbone.layers if isinstance(here, keras.layers.Conv2D | keras.Model))
    if layer not in known:
        raise InputError(f"No layer '{layer}' with feature maps; the network has: {', '.join(known)}.")
    up_to = keras.Model(backbone.input, known[layer])
    outputs = up_to(images.astype("float32"), training=False)  # a few images: tracing a graph takes longer
    return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))


def map_layers(backbone: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return the output (n, height, width, channels) of every layer with maps, by name, in the network's order.

    The maps of a block of a transformer are its tokens but the first, the class token, at the places of their patches.
    """
    # not `here.output`: of a layer that is a model (ConvNeXt's first), it is a tensor of the inner graph
    outputs = {here.name: keras.Operation.output.fget(here) for here in backbone.layers}
    for name in (name for name in outputs if name.endswith("_dense_add")):
        outputs[name] = keras.ops.reshape(outputs[name][:, 1:], (-1, *outputs["patches"].shape[1:]))
    return {name: output for name, output in outputs.items() if len(output.shape) == 4}


def of_sources(networks: SourceNetworks, images: np.ndarray, layer: str | None, n_maps: int) -> dict[str, np.ndarray]:
    """Return the `n_maps` maps of each pretrained network that vary most, shape (n_images, height, width, n_maps)."""
    maps = {}
    for source in networks.alike:
        found = activations(networks.pretrained(source), images, layer)
        variation = found.std(axis=(1, 2)).mean(axis=0)
        maps[source] = found[..., np.argsort(-variation, kind="stable")[:n_maps]]
    return maps
