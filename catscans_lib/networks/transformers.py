"""Vision transformers with layer scale, as DINOv2 has them, of Keras's own layers; reads weights by keras-hub.

Dosovitskiy et al. (2021), arXiv:2010.11929; their features are the last class token alone, as in DINOv2's evaluation by nearest
neighbours and linear classifiers: Oquab et al. (2024), arXiv:2304.07193.
"""

from functools import partial
from math import isqrt, prod

import keras
import numpy as np
from keras import layers

from catscans_lib.errors import InputError
from catscans_lib.networks.registry import TRANSFORMERS
from catscans_lib.networks.weight_files import Stored

INSTALL = "make vit, or .venv/bin/pip install --no-deps keras-hub==0.32.0 kagglehub kagglesdk regex tokenizers"


def network(name: str, image: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
    """Return a network from images to the class token; x are the images after preprocessing.

    The class token is the position of the first token, which is 0 before: only the sum of both counts.
    """
    patch, width, depth, heads = TRANSFORMERS[name]
    norm = partial(layers.LayerNormalization, epsilon=1e-6)
    how = {"kernel_initializer": {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}}
    first = layers.Cropping1D((0, prod(image.shape[1:]) - 1), name="first")(layers.Reshape((-1, 1), name="row")(image))
    one = layers.Rescaling(0.0, 1.0, name="one")(first)  # the kernel of a dense layer on it is a learnt array

    def added(x: keras.KerasTensor, y: keras.KerasTensor, name: str) -> keras.KerasTensor:
        scale = layers.Dense(width, use_bias=False, kernel_initializer="ones", name=f"{name}_scale")(one)
        return layers.Add(name=f"{name}_add")([x, layers.Multiply(name=f"{name}_scaled")([y, scale])])

    x = layers.Conv2D(width, patch, strides=patch, name="patches", **how)(x)
    x = layers.ZeroPadding1D((1, 0), name="tokens")(layers.Reshape((-1, width), name="patch_row")(x))
    places = layers.Dense(prod(x.shape[1:]), use_bias=False, name="positions", **how)(one)
    x = layers.Add(name="placed_tokens")([x, layers.Reshape(x.shape[1:], name="position_rows")(places)])
    for block in (f"block{number}" for number in range(1, depth + 1)):
        y = norm(name=f"{block}_norm1")(x)
        y = layers.MultiHeadAttention(heads, width // heads, name=f"{block}_attention", **how)(y, y)
        x = added(x, y, f"{block}_attention")
        y = layers.Dense(4 * width, "gelu", name=f"{block}_dense1", **how)(norm(name=f"{block}_norm2")(x))
        x = added(x, layers.Dense(width, name=f"{block}_dense2", **how)(y), f"{block}_dense")
    token = layers.Flatten(name="class_token")(layers.Cropping1D((0, x.shape[1] - 1), name="first_token")(x))
    return keras.Model(image, norm(name="norm")(token), name="backbone")


def fitted_positions(kernel: np.ndarray, network: keras.Model) -> np.ndarray:
    """Return the positions of a file, shape (1, n_tokens * width), interpolated (bicubic) to the grid of a network's patches."""
    width = network.output_shape[-1]
    token, grid = np.split(kernel.reshape(-1, width), [1])
    old, new = isqrt(len(grid)), network.get_layer("patches").output.shape[1]
    grid = keras.ops.image.resize(grid.reshape(1, old, old, width), (new, new), interpolation="bicubic")
    return np.concatenate([token.ravel(), np.ravel(grid)])[None] if new != old else kernel


def of_keras_hub(preset: str) -> Stored:
    """Return the weights of a DINOv2: of a preset that keras-hub downloads, or of a preset's folder; InputError: it cannot."""
    try:
        import keras_hub

        hub = keras_hub.models.DINOV2Backbone.from_preset(preset)
    except Exception as error:  # of many kinds
        raise InputError(f"keras-hub could not load '{preset}': {error}. It is an extra: {INSTALL}.") from error
    token, positions = (np.array(one)[0] for one in (hub.embeddings.cls_token, hub.embeddings.position_embeddings))
    positions[0] += token[0]
    parts = {"patches": hub.embeddings.patch_embeddings.projection, "norm": hub.layernorm}
    names = ("norm1", "attention", "attention_scale", "norm2", "dense1", "dense2", "dense_scale")
    for number, of in enumerate(hub.encoder.layers, start=1):
        here = (of.norm1, of.attention.attention, of.layer_scale1, of.norm2, of.mlp.fc1, of.mlp.fc2, of.layer_scale2)
        parts |= {f"block{number}_{name}": part for name, part in zip(names, here, strict=True)}
    found = {name: part.get_weights() for name, part in parts.items()} | {"positions": [positions.reshape(1, -1)]}
    found |= {name: [held[0][None]] for name, held in found.items() if name.endswith("scale")}
    return Stored(found, ordered=False, own=False)
