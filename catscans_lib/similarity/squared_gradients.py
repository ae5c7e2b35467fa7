"""Squared gradients per image and filter, for Task2Vec."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

if TYPE_CHECKING:
    import tensorflow as tf

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
NORMS = layers.BatchNormalization | layers.LayerNormalization


def squared_gradients(network: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function that maps images and gradients with respect to their features to squared gradients of the weights.

    The network is a graph of layers, each used once; it runs in float32 and in inference mode. The function takes (n, size, size,
    3) and (n, n_features) and returns, for each image, the mean of the squares over each filter: (n, n_filters), float64, in the
    order of the layers and of the weights in each. Needs TensorFlow.
    """
    import tensorflow as tf

    plain = keras.models.clone_model(network, clone_function=_in_float32)
    counting = [plain.get_layer(layer.name) for layer in network.layers if layer.weights]
    for layer in counting:  # one by one: the copy may list them in another order
        layer.set_weights(network.get_layer(layer.name).get_weights())
    weights = [(weight.value, _n_filters(layer, weight)) for layer in counting for weight in _weights(layer)]

    def of_one(pair: tuple) -> "tf.Tensor":
        with tf.GradientTape() as tape:
            tape.watch([weight for weight, _ in weights])
            features = plain(pair[0][None], training=False)
        gradients = tape.gradient(features, [weight for weight, _ in weights], output_gradients=pair[1][None])
        squares = [tf.reshape(tf.square(one), (-1, n)) for one, (_, n) in zip(gradients, weights, strict=True)]
        return tf.concat([tf.reduce_mean(one, axis=0) for one in squares], axis=0)

    size = tf.TensorSpec((sum(n for _, n in weights),))
    shapes = [tf.TensorSpec((None, *shape[1:])) for shape in (plain.input_shape, plain.output_shape)]
    traced = tf.function(
        lambda *pairs: tf.map_fn(of_one, pairs, fn_output_signature=size), autograph=False, input_signature=shapes
    )
    return lambda images, pull: traced(images.astype("float32"), pull.astype("float32")).numpy().astype("float64")


def _in_float32(layer: keras.Operation) -> keras.Operation:
    config = layer.get_config() | ({"dtype": "float32"} if isinstance(layer, layers.Layer) else {})
    return type(layer).from_config(config)


def _weights(layer: layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer that count, as in the published code: kernels, and scales of normalisation, but no biases."""
    names = ("gamma",) if isinstance(layer, NORMS) else KERNELS
    parts = layer._flatten_layers()  # attention has four
    found = [getattr(part, name, None) for part in parts for name in names]
    return [weight for weight in found if weight is not None]


def _n_filters(layer: layers.Layer, weight: keras.Variable) -> int:
    is_depthwise = isinstance(layer, layers.DepthwiseConv2D) or weight.name == "depthwise_kernel"
    return int(np.prod(weight.shape[2:] if is_depthwise else weight.shape[-1:]))
