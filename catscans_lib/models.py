"""Networks by name. Every network takes RGB images from 0 to 255: what it does to them first is its own first layer.

A model is `backbone` (images -> pooled features, a nested model of that name) -> `dropout` -> `head` (one sigmoid unit
for two classes, softmax for more). Saved models hold plain Keras layers only, so they open without this library.
"""

import hashlib
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from catscans_lib.errors import InputError, unknown

CAFFE_OFFSET = (-123.68, -116.779, -103.939)  # minus the mean of ImageNet's red, green, blue


def build(backbone: keras.Model, n_classes: int, dropout: float) -> keras.Model:
    """Return a new classifier on a backbone: shape (n, size, size, 3) in 0..255 -> (n, 1) or (n, n_classes)."""
    inputs = keras.Input(backbone.input_shape[1:], name="image")
    features = layers.Dropout(dropout, name="dropout")(backbone(inputs))
    units, activation = (1, "sigmoid") if n_classes == 2 else (n_classes, "softmax")
    return keras.Model(inputs, layers.Dense(units, activation=activation, dtype="float32", name="head")(features))


def backbone(name: str, size_px: int) -> keras.Model:
    """Return a network without its head and with random weights: (n, size_px, size_px, 3) -> (n, n_features).

    Raises
    ------
    InputError
        If the name is not known.
    """
    makers = {"small_resnet": _small_resnet, "squeezenet": _squeezenet, "resnet50": _resnet50}
    if name not in makers:
        raise unknown("backbone", name, tuple(makers))
    return makers[name](keras.Input((size_px, size_px, 3), name="rgb"))


def saved_backbone(path: Path, name: str, size_px: int) -> keras.Model:
    """Return the backbone of a saved model, made anew for images of `size_px`, with the saved weights."""
    network = backbone(name, size_px)
    network.set_weights(keras.models.load_model(path, compile=False).get_layer("backbone").get_weights())
    return network


def load_weights(network: keras.Model, name: str, weights: str, folder: Path | None) -> str:
    """Fill a backbone with ImageNet weights, in place; return where they came from, with the file's SHA-256.

    Parameters
    ----------
    weights : str
        "keras" (`keras.applications` downloads them; ResNet50) or a file in `folder` (SqueezeNet 1.1 in Keras-1 layout).

    Raises
    ------
    InputError
        If the file is missing or does not hold this network, or Keras has no weights for it.
    """
    if weights == "keras":
        if name != "resnet50":
            raise InputError(f"Keras offers no ImageNet weights for '{name}', only for resnet50. Name a file instead.")
        reference = keras.applications.ResNet50(include_top=False, weights="imagenet", pooling="avg")
        network.set_weights(reference.get_weights())
        _expect_rgb(network.get_layer("conv1_conv"))
        return "keras.applications resnet50 imagenet"
    if name != "squeezenet":
        raise InputError(
            f"Weights file '{weights}' is for squeezenet; the profile's backbone is '{name}'. Use weights: keras."
        )
    path = folder / weights
    if not path.is_file():
        raise InputError(
            f"No weights file '{weights}' in WEIGHTS; it has: {', '.join(sorted(p.name for p in folder.iterdir()))}."
        )
    _load_squeezenet(network, path)
    return f"{weights} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _load_squeezenet(network: keras.Model, path: Path) -> None:
    """Copy the 25 convolutions of a Keras-1 file, whose layers are called `fire2/squeeze1x1` where ours use `_`."""
    try:
        with h5py.File(path, "r") as file:
            stored = {
                layer: [file[layer][name][()] for name in file[layer].attrs["weight_names"]]
                for layer in _text(file.attrs["layer_names"])
            }
        for layer, arrays in stored.items():
            if arrays:
                network.get_layer(layer.replace("/", "_")).set_weights(arrays)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"Weights file '{path.name}' does not hold SqueezeNet 1.1 in Keras-1 layout: {error}"
        ) from error
    _expect_rgb(network.get_layer("conv1"))


def _text(names: np.ndarray) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _expect_rgb(first: layers.Conv2D) -> None:
    """Turn the first convolution round to take RGB: these weights were trained on blue, green, red."""
    kernel, *bias = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *bias])


def _small_resnet(image: keras.KerasTensor) -> keras.Model:
    """About 80,000 numbers, three residual blocks; made for the demo world's 32-pixel images."""
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocess")(image)
    x = layers.ReLU(name="conv1_relu")(_normalised_conv(x, 16, 3, 1, "conv1"))
    for number, (width, stride) in enumerate([(16, 1), (32, 2), (64, 2)], start=2):
        x = _residual_block(x, width, stride, f"block{number}")
    return keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x), name="backbone")


def _residual_block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    y = layers.ReLU(name=f"{name}_relu1")(_normalised_conv(x, width, 3, stride, f"{name}_conv1"))
    y = _normalised_conv(y, width, 3, 1, f"{name}_conv2")
    if x.shape[-1] != width or stride > 1:
        x = _normalised_conv(x, width, 1, stride, f"{name}_shortcut")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def _normalised_conv(x: keras.KerasTensor, width: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(width, size, strides=stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def _squeezenet(image: keras.KerasTensor) -> keras.Model:
    """SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360) up to fire9: 722,496 numbers, 512 features."""
    x = layers.Rescaling(1.0, offset=CAFFE_OFFSET, name="preprocess")(image)
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for number, width in enumerate([16, 16, 32, 32, 48, 48, 64, 64], start=2):
        x = _fire(x, width, f"fire{number}")
        if number in (3, 5):
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x), name="backbone")


def _fire(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    squeeze = layers.Conv2D(width, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    left = layers.Conv2D(4 * width, 1, activation="relu", name=f"{name}_expand1x1")(squeeze)
    right = layers.Conv2D(4 * width, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(squeeze)
    return layers.Concatenate(name=f"{name}_concat")([left, right])


def _resnet50(image: keras.KerasTensor) -> keras.Model:
    """ResNet-50 as in `keras.applications` (He et al. 2016, arXiv:1512.03385), 2,048 features."""
    x = layers.Rescaling(1.0, offset=CAFFE_OFFSET, name="preprocess")(image)
    return keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x, pooling="avg", name="backbone")
