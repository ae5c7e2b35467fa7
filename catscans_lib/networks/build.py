"""Builds networks by name. Every network takes RGB images from 0 to 255; its first layer is its preprocessing.

A model is `backbone` (images -> pooled features, a nested model of that name) -> `dropout` -> `head` (one sigmoid unit
for two classes, softmax for more; a sigmoid unit for each finding). Saved models open without this library.
"""

import inspect
from functools import partial
from pathlib import Path

import keras
from keras import layers

from catscans_lib.errors import InputError
from catscans_lib.networks import registry, torch_builds, transformers, weights

_XAVIER = "lecun_uniform"  # in Caffe's sense: variance 1 / fan-in


def build(backbone: keras.Model, n_classes: int, dropout: float, *, multi_label: bool = False) -> keras.Model:
    """Return a new classifier with this backbone: (n, size, size, 3) in 0..255 -> (n, 1) or (n, n_classes)."""
    if n_classes < 2:
        raise InputError(f"A classifier needs at least 2 classes; got {n_classes}.")
    inputs = keras.Input(backbone.input_shape[1:], name="image")
    features = layers.Dropout(dropout, name="dropout")(backbone(inputs))
    units, activation = (1, "sigmoid") if n_classes == 2 else (n_classes, "softmax")
    units, activation = (n_classes, "sigmoid") if multi_label else (units, activation)
    return keras.Model(inputs, layers.Dense(units, activation=activation, dtype="float32", name="head")(features))


def backbone(name: str, size_px: int) -> keras.Model:
    """Return a network with random weights, without head, (n, size_px, size_px, 3) -> (n, n_features); InputError: too small."""
    registry.check_size(name, size_px)
    info = registry.find(name)
    image = keras.Input((size_px, size_px, 3), name="rgb")
    how = info.preprocessing
    # always float32: the 8 significant bits of bfloat16 would coarsen the image
    x = layers.Rescaling(how.scale, how.offset, dtype="float32", name="preprocess")(image)
    if info.application:
        return _application(info.application, x)
    own = {"small_resnet": _small_resnet, "squeezenet": _squeezenet}
    own |= dict.fromkeys(registry.TRANSFORMERS, partial(transformers.network, name))
    return own[name](image, x) if name in own else torch_builds.network(name, image, x)


def saved_backbone(path: Path, name: str, size_px: int) -> keras.Model:
    """Return a new backbone for images of `size_px` with the weights of a saved model, whose graph is never built."""
    network = backbone(name, size_px)
    weights.fill_from_file(network, name, path)
    return network


def _application(function: str, x: keras.KerasTensor) -> keras.Model:
    """Return a network of `keras.applications` on our preprocessing layer, without its own preprocessing."""
    make = getattr(keras.applications, function)
    own = {"include_preprocessing": False} if "include_preprocessing" in inspect.signature(make).parameters else {}
    network = make(include_top=False, weights=None, input_tensor=x, pooling="avg", **own)
    if any(isinstance(layer, layers.Normalization) for layer in network.layers):  # EfficientNet always has its own

        def unless_preprocessing(layer: layers.Layer, *args: object, **kwargs: object) -> object:
            again = isinstance(layer, layers.Rescaling | layers.Normalization) and layer.name != "preprocess"
            return args[0] if again else layer(*args, **kwargs)

        network = keras.models.clone_model(network, call_function=unless_preprocessing)
    names = weights.renumbered([part.name for part in network.operations], network.operations)
    for part in network.operations:  # the same names in every process
        part.name = names.get(part.name, part.name)
    return keras.Model(network.inputs[0], network.outputs[0], name="backbone")


def _small_resnet(image: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
    """Three residual blocks with about 80,000 weights, for the demo's 32-pixel images; every block halves them."""
    x = layers.ReLU(name="conv1_relu")(_normalised_conv(x, 16, 3, 1, "conv1"))
    for name, width in {"block2": 16, "block3": 32, "block4": 64}.items():
        y = layers.ReLU(name=f"{name}_relu1")(_normalised_conv(x, width, 3, 2, f"{name}_conv1"))
        y = _normalised_conv(y, width, 3, 1, f"{name}_conv2")
        x = _normalised_conv(x, width, 1, 2, f"{name}_shortcut")
        x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))
    return keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x), name="backbone")


def _normalised_conv(x: keras.KerasTensor, width: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(width, size, strides=stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def _squeezenet(image: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
    """SqueezeNet 1.1 up to fire9: 722,496 weights, 512 features, as its authors drew them (by default 25 times as small)."""
    x = layers.Conv2D(64, 3, strides=2, activation="relu", kernel_initializer=_XAVIER, name="conv1")(x)
    x, how = layers.MaxPooling2D(3, 2, name="pool1")(x), {"activation": "relu", "kernel_initializer": _XAVIER}
    for number, width in enumerate([16, 16, 32, 32, 48, 48, 64, 64], start=2):
        squeeze = layers.Conv2D(width, 1, name=f"fire{number}_squeeze1x1", **how)(x)
        left = layers.Conv2D(4 * width, 1, name=f"fire{number}_expand1x1", **how)(squeeze)
        right = layers.Conv2D(4 * width, 3, padding="same", name=f"fire{number}_expand3x3", **how)(squeeze)
        x = layers.Concatenate(name=f"fire{number}_concat")([left, right])
        if number in (3, 5):
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x), name="backbone")
