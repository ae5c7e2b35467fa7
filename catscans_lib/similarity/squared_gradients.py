"""Squared gradients per image and filter, for Task2Vec, faster than by batches of one image.

In inference mode images of a batch are independent, so one backward pass gives every layer's input and output gradient of each
image. The rest is computed layer by layer and image by image; convolutions on small maps, which hold most of a network's
weights, have a form for whole batches that never forms the gradients themselves.
"""

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

    The network is a graph of layers, each used once: images -> features. It runs in float32 and in inference mode, however it
    was built. The function takes (n, size, size, 3) and (n, n_features) and returns, for each image, the mean of the squares
    over each filter: (n, n_filters), float64, at least 0, in the order of the layers and of the weights in each. Needs
    TensorFlow.
    """
    import tensorflow as tf

    plain = _linear_layers(network)
    counting = [plain.get_layer(layer.name) for layer in network.layers if _weights(layer)]
    inside = [[layer.input for layer in counting], [layer.output for layer in counting], plain.output]
    inner = keras.Model(plain.inputs, inside)

    def squares(images: "tf.Tensor", pull: "tf.Tensor") -> "tf.Tensor":
        with tf.GradientTape() as tape:
            tape.watch(images)
            inputs, outputs, features = inner(images, training=False)
        gradients = tape.gradient(features, outputs, output_gradients=pull)
        return tf.concat([_per_filter(*part) for part in zip(counting, inputs, gradients, strict=True)], axis=1)

    shapes = [tf.TensorSpec((None, *shape[1:])) for shape in (plain.input_shape, plain.output_shape)]
    traced = tf.function(squares, autograph=False, input_signature=shapes)
    return lambda images, pull: traced(images.astype("float32"), pull.astype("float32")).numpy().astype("float64")


def _weights(layer: layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer that count, as in the published code.

    These are the kernels of all convolutions and inner dense layers, one number per output channel (the mean over the rest of
    the kernel), and the scales of normalisation layers, but no biases or shifts.
    """
    names = ("gamma",) if isinstance(layer, NORMS) else KERNELS
    found = [getattr(layer, name, None) for name in names]
    return [weight for weight in found if weight is not None]


def _n_filters(layer: layers.Layer, weight: keras.Variable) -> int:
    is_depthwise = isinstance(layer, layers.DepthwiseConv2D) or weight.name == "depthwise_kernel"
    return int(np.prod(weight.shape[2:] if is_depthwise else weight.shape[-1:]))


def _linear_layers(network: keras.Model) -> keras.Model:
    """Return a float32 copy in which every activation is a layer of its own."""
    activations = {
        layer.name: layer.activation for layer in network.layers if _weights(layer) and hasattr(layer, "activation")
    }

    def made(layer: keras.Operation) -> keras.Operation:
        config = layer.get_config()
        if isinstance(layer, layers.Layer):
            config |= {"dtype": "float32"} | ({"activation": None} if layer.name in activations else {})
        return type(layer).from_config(config)

    def called(layer: keras.Operation, *args: object, **kwargs: object) -> object:
        output = layer(*args, **kwargs)
        if layer.name not in activations:
            return output
        return layers.Activation(activations[layer.name], dtype="float32")(output)

    copy = keras.models.clone_model(network, clone_function=made, call_function=called)
    for layer in network.layers:  # one by one: the copy may list them in another order
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _per_filter(layer: layers.Layer, x: "tf.Tensor", g: "tf.Tensor") -> "tf.Tensor":
    """Mean of the squared gradients over each filter of a layer, shape (n, n_filters), from its input and output gradient."""
    if isinstance(layer, layers.BatchNormalization) and layer.axis in (-1, len(g.shape) - 1):
        return _of_scale(layer, x, g)
    if type(layer) is layers.Dense or (type(layer) is layers.Conv2D and layer.groups == 1):
        n_inputs, n_filters = int(np.prod(layer.kernel.shape[:-1])), layer.kernel.shape[-1]
        n_places = int(np.prod(g.shape[1:-1]))
        if n_places * (n_inputs + n_filters) < n_inputs * n_filters:  # multiplications per image
            return _of_kernel(layer, x, g, (n_places, n_inputs, n_filters))
    return _one_by_one(layer, x, g)


def _of_scale(layer: layers.BatchNormalization, x: "tf.Tensor", g: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    normal = (x - layer.moving_mean) * tf.math.rsqrt(layer.moving_variance + layer.epsilon)
    return tf.square(tf.reduce_sum(g * normal, axis=list(range(1, len(g.shape) - 1))))


def _of_kernel(layer: layers.Layer, x: "tf.Tensor", g: "tf.Tensor", sizes: tuple[int, int, int]) -> "tf.Tensor":
    """Mean square of each column of ``patches.T @ g``, which is ``g.T @ (patches @ patches.T) @ g`` divided by n_inputs."""
    import tensorflow as tf

    n_places, n_inputs, n_filters = sizes
    if type(layer) is layers.Conv2D:
        size, strides, rates = ([1, *pair, 1] for pair in (layer.kernel_size, layer.strides, layer.dilation_rate))
        x = tf.image.extract_patches(x, size, strides, rates, layer.padding.upper())
    patches, g = tf.reshape(x, (-1, n_places, n_inputs)), tf.reshape(g, (-1, n_places, n_filters))
    pulled = tf.matmul(tf.matmul(patches, patches, transpose_b=True), g)
    return tf.nn.relu(tf.reduce_sum(g * pulled, axis=1)) / n_inputs  # rounding can take it below 0


def _one_by_one(layer: layers.Layer, x: "tf.Tensor", g: "tf.Tensor") -> "tf.Tensor":
    """The gradient of any layer, image by image."""
    import tensorflow as tf

    weights = _weights(layer)

    def one(pair: tuple) -> "tf.Tensor":
        with tf.GradientTape() as tape:
            for weight in weights:
                tape.watch(weight.value)
            output = layer(pair[0][None], training=False)
        gradients = tape.gradient(output, [weight.value for weight in weights], output_gradients=pair[1][None])
        means = [
            tf.reduce_mean(tf.reshape(tf.square(gradient), (-1, _n_filters(layer, weight))), axis=0)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
        return tf.concat(means, axis=0)

    size = sum(_n_filters(layer, weight) for weight in weights)
    return tf.map_fn(one, (x, g), fn_output_signature=tf.TensorSpec((size,)))
