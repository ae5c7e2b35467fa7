"""Published and saved weights for a network: where they come from, and that every number lands in its layer."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np

from catscans_lib import networks
from catscans_lib.errors import InputError
from catscans_lib.weight_files import Stored, read

NUMBERED = re.compile(r"(conv2d|separable_conv2d|depthwise_conv2d|batch_normalization|layer_normalization|dense)(?:_(\d+))?")


def load_weights(network: keras.Model, name: str, weights: str, folder: Path | None) -> str:
    """Fill a backbone with published or saved weights, in place; return where they came from, with a SHA-256.

    Weights of `keras.applications`, and networks trained on what its `preprocess_input` gives, are turned where needed
    so that they take RGB from 0 to 255. Of a model that was saved with a head, the head is left out.

    Parameters
    ----------
    weights : str
        "keras" (`keras.applications` downloads its ImageNet weights) or a file in `folder`: `.keras`, `.weights.h5`, or
        `.h5` as `keras.applications` publishes them.

    Raises
    ------
    InputError
        If the file is missing, holds code or another network, or the download fails; names the first layer that
        does not fit.
    """
    if weights == "keras":
        stored = _published(name)
        _fill(network, name, stored, "Keras's weights")
        return f"keras.applications {name} imagenet, numbers sha256:{_digest(stored)}"
    path = folder / weights
    if not path.is_file():
        raise InputError(
            f"No weights file '{weights}' in WEIGHTS; it has: {', '.join(sorted(p.name for p in folder.iterdir()))}."
        )
    fill_from_file(network, name, path)
    with path.open("rb") as file:
        return f"{weights} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def fill_from_file(network: keras.Model, name: str, path: Path) -> None:
    """Fill a backbone with the weights of a file, in place; InputError if they do not fit."""
    _fill(network, name, read(path), f"Weights file '{path.name}'")


def _published(name: str) -> Stored:
    function = networks.find(name).application
    if function is None:
        raise InputError(f"Keras offers no ImageNet weights for '{name}'. Put a file in WEIGHTS and name it instead.")
    try:
        model = getattr(keras.applications, function)(include_top=False, weights="imagenet", pooling="avg")
    except Exception as error:  # Keras raises no narrower one when it cannot download
        raise InputError(
            f"Keras could not download its ImageNet weights for '{name}': {error}. Without a connection, put the file "
            "(..._notop.h5) in WEIGHTS and name it in `weights`."
        ) from error
    arrays = {layer.name: [keras.ops.convert_to_numpy(v) for v in _older_order(layer)] for layer in model.layers}
    return Stored({layer: held for layer, held in arrays.items() if held}, ordered=True, own=False)


def _digest(stored: Stored) -> str:
    digest = hashlib.sha256()
    for arrays in stored.layers.values():
        for array in arrays:
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _fill(network: keras.Model, name: str, stored: Stored, source: str) -> None:
    info = networks.find(name)
    places = _places(network, stored.ordered)
    layers = stored.layers if stored.ordered else _renumbered(stored.layers)
    try:
        layers = _without_normalisation(layers)
        pairs = _pairs(places, layers, stored.ordered)
        _check(places, layers, pairs)
    except ValueError as error:
        raise InputError(f"{source} is not for {info.title}: {error}.") from error
    for place, layer in pairs.items():
        for variable, array in zip(places[place], layers[layer], strict=True):
            variable.assign(array)
    if info.preprocessing.bgr and not stored.own:
        _expect_rgb(network)


def _places(network: keras.Model, ordered: bool) -> dict[str, list[keras.Variable]]:
    """The network's variables as a file of this layout holds them, layer by layer."""
    if ordered:
        return {layer.name: _older_order(layer) for layer in network.layers if layer.weights}
    return _renumbered({layer.name: layer.weights for layer in _innermost(network) if layer.weights})


def _older_order(layer: keras.layers.Layer) -> list[keras.Variable]:
    return layer.trainable_weights + layer.non_trainable_weights


def _innermost(model: keras.Model) -> list[keras.layers.Layer]:
    nested = ([layer] if not isinstance(layer, keras.Model) else _innermost(layer) for layer in model.layers)
    return [layer for layers in nested for layer in layers]


def _renumbered(layers: dict) -> dict:
    """Count layers that Keras named itself from 0: conv2d_94 and conv2d_95 of one session are conv2d_0 and conv2d_1."""
    matches = sorted(filter(None, map(NUMBERED.fullmatch, layers)), key=lambda match: int(match[2] or 0))
    counts: Counter = Counter()
    names = {}
    for match in matches:
        names[match[0]] = f"{match[1]}_{counts[match[1]]}"
        counts[match[1]] += 1
    return {names.get(name, name): held for name, held in layers.items()}


def _without_normalisation(layers: dict) -> dict:
    """Leave out EfficientNet's own normalisation, which our first layer does: ImageNet's mean, and SD (as published)."""
    own = {name: held for name, held in layers.items() if re.fullmatch(r"normalization(_\d+)?", name)}
    for name, (mean, variance, *_) in own.items():
        if not (np.allclose(mean, networks.MEAN, atol=1e-3) and np.allclose(variance, networks.SD, atol=1e-3)):
            raise ValueError(
                f"its layer '{name}' normalises with mean {mean.round(3)} and variance {variance.round(3)}, "
                f"the network with {networks.MEAN} and {networks.SD}"
            )
    return {name: held for name, held in layers.items() if name not in own}


def _pairs(places: dict, layers: dict, ordered: bool) -> dict[str, str]:
    """Which layer of the file belongs to each of the network.

    By name; but where the older layout does not have all names (Keras has changed some since), in order, as Keras does.
    """
    if ordered and any(name not in layers or NUMBERED.fullmatch(name) for name in places):
        return dict(zip(places, layers, strict=False))
    return {name: name for name in places}


def _check(places: dict, layers: dict, pairs: dict[str, str]) -> None:
    """Every layer has its numbers and no convolution is left over; a head, which has none, may be."""
    for place, variables in places.items():
        layer = pairs.get(place)
        if layer not in layers:
            raise ValueError(f"it has no layer '{place}'")
        found, needed = ([tuple(part.shape) for part in parts] for parts in (layers[layer], variables))
        if found != needed:
            raise ValueError(f"its layer '{layer}' has the shapes {found}, the network's '{place}' {needed}")
    for layer, parts in layers.items():
        if layer not in pairs.values() and any(part.ndim > 2 for part in parts):
            raise ValueError(f"the network has no layer '{layer}'")


def _expect_rgb(network: keras.Model) -> None:
    """Turn the first convolution round to take RGB: these weights were trained on blue, green, red."""
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    kernel, *bias = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *bias])
