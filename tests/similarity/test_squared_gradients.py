"""Squared gradients of a batch equal those of its images one by one, for every kind of layer that counts."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from catscans_lib.networks import build
from catscans_lib.similarity.squared_gradients import _n_filters, _weights, squared_gradients


def tiny():
    """Every kind of layer, on large and small maps, with strides, dilation, padding, a branch, and fused activations."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="large_map")(layers.Rescaling(1 / 255)(image))
    x = layers.BatchNormalization(name="norm")(layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x))
    branch = layers.Conv2D(8, 3, padding="same", groups=4, activation="tanh", name="grouped")(x)
    x = layers.Concatenate()([x, branch])
    x = layers.SeparableConv2D(12, 3, strides=2, padding="same", activation="relu", name="separable")(x)
    x = layers.LayerNormalization(name="layer_norm")(x)
    x = layers.Conv2D(24, 3, strides=2, padding="same", activation="swish", name="small_map")(x)
    x = layers.Conv2D(32, 2, dilation_rate=2, name="holes")(x)
    x = layers.BatchNormalization(scale=False, name="no_scale")(x)
    x = layers.Dense(10, activation="elu", name="pointwise")(x)
    return keras.Model(image, layers.Dense(5, name="last")(layers.GlobalAveragePooling2D()(x)))


def two_layers():
    image = keras.Input((6, 6, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu", name="first")(image))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, name="second")(x)))


def shaken(network, seed=0):
    """Random weights and positive variances: fresh normalisation layers would do nothing."""
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        noise = 0.3 * rng.standard_normal(weight.shape)
        weight.assign(rng.uniform(0.5, 2, weight.shape) if "variance" in weight.path else weight + noise)
    return network


def inputs(network, n=5):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (n, *network.input_shape[1:]), dtype=np.uint8)
    return images, rng.standard_normal((n, network.output_shape[-1]))


def counted(network):
    """The weights that count, in the order of the squared gradients."""
    rows = [(one.name, weight.name, _n_filters(one, weight)) for one in network.layers for weight in _weights(one)]
    return pd.DataFrame(rows, columns=["layer", "weight", "n_filters"])


def one_by_one(network, images, pull):
    """The direct way: batches of one image, gradients of the weights, squares, means over filters."""
    import tensorflow as tf

    parts = counted(network)
    weights = [
        next(weight for weight in network.get_layer(layer).weights if weight.name == name)
        for layer, name in zip(parts["layer"], parts["weight"], strict=True)
    ]
    rows = []
    for number in range(len(images)):
        with tf.GradientTape() as tape:
            output = network(images[number : number + 1].astype("float32"), training=False)
            total = tf.reduce_sum(output * pull[number : number + 1])
        gradients = [np.square(part) for part in tape.gradient(total, [weight.value for weight in weights])]
        sizes = zip(gradients, parts["n_filters"], strict=True)
        rows.append(np.concatenate([gradient.reshape(-1, n).mean(axis=0) for gradient, n in sizes]))
    return np.array(rows)


@pytest.mark.parametrize("make", [tiny, lambda: build.backbone("small_resnet", 16)], ids=["tiny", "small_resnet"])
def test_a_batch_gives_what_batches_of_one_image_give(make):
    keras.utils.set_random_seed(0)
    network = shaken(make())
    images, pull = inputs(network)
    found, expected = squared_gradients(network)(images, pull), one_by_one(network, images, pull)
    assert (found >= 0).all()
    assert found.dtype == np.float64 and found.shape == (5, counted(network)["n_filters"].sum())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * expected.max())
    assert (expected.max(axis=0) > 0).mean() > 0.8


def test_a_resnet50_has_as_many_filters_as_the_published_embeddings():
    parts = counted(build.backbone("resnet50", 32))
    assert parts["n_filters"].sum() == 53_120
    assert set(parts["weight"]) == {"kernel", "gamma"}


def test_depthwise_kernels_count_one_number_per_output_channel_and_biases_none():
    parts = counted(tiny()).set_index(["layer", "weight"])["n_filters"].to_dict()
    assert parts["depthwise", "kernel"] == parts["norm", "gamma"] == 16
    assert parts["separable", "depthwise_kernel"] == 24 and parts["separable", "pointwise_kernel"] == 12
    assert not any(layer == "no_scale" for layer, _ in parts)


def test_a_network_built_for_bfloat16_runs_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = shaken(two_layers())
    assert network.get_layer("first").compute_dtype == "bfloat16"
    images, pull = inputs(network)
    found = squared_gradients(network)(images, pull)
    keras.config.set_dtype_policy("float32")
    exact = two_layers()
    exact.set_weights(network.get_weights())
    np.testing.assert_array_equal(found, squared_gradients(exact)(images, pull))
