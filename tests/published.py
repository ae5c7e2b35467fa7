"""Networks of Keras with random numbers, and their weights in files as Keras publishes them."""

import sys

import h5py
import keras
import numpy as np

from catscans_lib.networks import registry


def keras_network(name, size, weights=None):
    function = getattr(keras.applications, registry.find(name).application)
    return function(include_top=False, weights=weights, input_shape=(size, size, 3), pooling="avg")


def shorten(monkeypatch):
    """Leave out most blocks of some networks, which all look alike and take seconds to build."""
    tables = sys.modules["keras.src.applications.convnext"].MODEL_CONFIGS
    monkeypatch.setitem(tables["tiny"], "depths", [1, 1, 1, 1])
    efficientnet = sys.modules["keras.src.applications.efficientnet"]
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", efficientnet.DEFAULT_BLOCKS_ARGS[:3])
    tables = sys.modules["keras.src.applications.efficientnet_v2"].DEFAULT_BLOCKS_ARGS
    for kind in ("efficientnetv2-b0", "efficientnetv2-s"):
        monkeypatch.setitem(tables, kind, tables[kind][:1])


def randomised(model):
    """Give a network of Keras numbers as if it had been trained; its own normalisation those of ImageNet."""
    noise = np.random.default_rng(0).normal(0, 0.1, 9973)
    for variable in model.weights:
        layer, kind = variable.path.split("/")[-2:]
        value = keras.ops.convert_to_numpy(variable)
        here = np.resize(noise, value.shape)
        if layer.startswith("normalization"):
            variable.assign({"mean": registry.MEAN, "variance": registry.SD, "count": 0}[kind])
        else:
            variable.assign(value * (1 + here) + ("variance" not in kind) * 0.1 * here)
    return model


def publish(model, folder, name):
    """Write a network's weights in both layouts."""
    layers = {layer.name: layer.get_weights() for layer in model.layers}
    write_older(folder / f"{name}_notop.h5", layers)
    model.save_weights(folder / f"{name}.weights.h5")
    return folder / f"{name}_notop.h5"


def write_older(path, layers, **attributes):
    """The layout of older Keras, written by hand: layer -> list of arrays."""
    with h5py.File(path, "w") as file:
        file.attrs.update(layer_names=np.array(list(layers), "S"), **attributes)
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            names = [f"{layer}/part{number}:0" for number in range(len(arrays))]
            group.attrs["weight_names"] = np.array(names, "S")
            for name, array in zip(names, arrays, strict=True):
                group[name] = array


def assert_same_weights(one, two):
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
