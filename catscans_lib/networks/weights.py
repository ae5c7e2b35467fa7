"""Fills a network with published or saved weights and checks that every array fits its layer."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import keras
import numpy as np

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.networks import registry, transformers
from catscans_lib.networks.weight_files import Stored, read

NUMBER = re.compile(r"(?:_(\d+))?$")


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield all layers that are not models, including those of nested models."""
    for layer in model.layers:
        yield from leaves(layer) if isinstance(layer, keras.Model) else [layer]


def load_weights(network: keras.Model, name: str, weights: str, folder: Path | None) -> str:
    """Fill a backbone with published or saved weights, in place; return their origin with a SHA-256.

    `weights` is "keras" (`keras.applications` downloads its ImageNet weights), "keras_hub" (keras-hub downloads DINOv2's), the
    network's name (the weights of an installed package, `registry.PACKAGES`), or in `folder` a file, see `weight_files`, or the
    folder of a preset of keras-hub. Where published weights expect BGR, the first
    convolution is reversed. InputError if the file is missing, contains code or another network, or the download fails.
    """
    registry.check_weights(name, weights)
    if weights in registry.PACKAGES:
        path = registry.PACKAGES[weights].path()
        fill_from_file(network, name, path)
        return f"{registry.PACKAGES[weights].name}, {path.name} sha256:{registry.PACKAGES[weights].sha256}"
    path = Path(folder or "", weights)
    if weights in ("keras", "keras_hub") or path.is_dir():
        preset = name if weights == "keras_hub" else str(path)
        stored = _published(name) if weights == "keras" else transformers.of_keras_hub(preset)
        _fill(network, name, stored, f"Weights '{weights}'")
        arrays = chain.from_iterable(stored.layers.values())
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).data for array in arrays))
        origin = f"keras.applications {name} imagenet" if weights == "keras" else f"keras-hub {Path(preset).name}"
        return f"{origin}, numbers sha256:{digest.hexdigest()}"
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.iterdir()))
        raise InputError(f"No weights file '{weights}' in WEIGHTS; it has: {there}.")
    fill_from_file(network, name, path)
    return f"{weights} sha256:{paths.sha256(path)}"


def fill_from_file(network: keras.Model, name: str, path: Path) -> None:
    """Fill a backbone with the weights of a file, in place; InputError if they do not fit."""
    _fill(network, name, read(path), f"Weights file '{path.name}'")


def _published(name: str) -> Stored:
    function = registry.find(name).application
    own = Path(os.environ["KERAS_HOME"])
    with suppress(OSError):  # Keras's settings are our own, but downloaded weights are shared with other projects
        (own.parent / "models").mkdir(parents=True, exist_ok=True)
        (own / "models").symlink_to("../models")
    try:
        make = getattr(keras.applications, function)
        model = make(include_top=False, weights="imagenet", input_shape=(224, 224, 3), pooling="avg")
    except Exception as error:  # Keras raises a bare Exception if a download fails
        advice = (
            f"Without a connection, fetch that file elsewhere and put it in {own.parent / 'models'}; Keras checks it."
        )
        raise InputError(f"Keras could not load the ImageNet weights of '{name}': {error}. {advice}") from error
    return Stored({layer.name: layer.get_weights() for layer in model.layers if layer.weights}, ordered=True, own=False)


def _fill(network: keras.Model, name: str, stored: Stored, source: str) -> None:
    info = registry.find(name)
    try:
        pairs = _fitting(network, stored)
    except ValueError as error:
        raise InputError(f"{source} is not for {info.title}: {error}.{_other_network(stored)}") from error
    for variable, array in pairs:
        variable.assign(array)
    if info.preprocessing.bgr and not stored.own:  # reverse the input channels, so that the network expects RGB
        first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
        kernel, *bias = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], *bias])


def _fitting(network: keras.Model, stored: Stored) -> list[tuple[keras.Variable, np.ndarray]]:
    """Return the weights of a network, each with its array.

    ValueError if a layer lacks its arrays, or a convolution of the file is left over (a head may be).
    """
    parts = network.layers if stored.ordered else leaves(network)
    places = {layer.name: layer for layer in parts if layer.weights}
    found = _without_normalisation(stored.layers)
    if "positions" in places and "positions" in found:
        found["positions"] = [transformers.fitted_positions(found["positions"][0], network)]
    pairs = _pairs(places, found, stored.ordered)
    for place, layer in places.items():
        if place not in pairs:
            raise ValueError(f"it has no layer '{place}'")
        held, needed = ([tuple(part.shape) for part in parts] for parts in (found[pairs[place]], layer.weights))
        if held != needed:
            raise ValueError(f"its layer '{pairs[place]}' has the shapes {held}, the network's '{place}' {needed}")
    for name, arrays in found.items():
        if name not in pairs.values() and any(array.ndim > 2 for array in arrays):
            raise ValueError(f"the network has no layer '{name}'")
    return [pair for place, layer in places.items() for pair in zip(layer.weights, found[pairs[place]], strict=True)]


def _other_network(stored: Stored) -> str:
    """Return a sentence with the first layers of a file, and the network whose state dict it is, if any."""
    from catscans_lib.networks import build

    first = f" The file begins with the layers {', '.join(list(stored.layers)[:3])}."
    for name in registry.STATE_DICTS if not stored.ordered else ():
        with suppress(ValueError):
            _fitting(build.backbone(name, registry.find(name).smallest_px), stored)
            return f"{first} It fits backbone: {name}"
    return first


def _without_normalisation(found: dict) -> dict:
    """Leave out EfficientNet's own normalisation, which our first layer does: ImageNet's mean and SD."""
    own = {name: arrays for name, arrays in found.items() if NUMBER.sub("", name) == "normalization"}
    for name, (mean, variance, *_) in own.items():
        if not (np.allclose(mean, registry.MEAN, atol=1e-3) and np.allclose(variance, registry.SD, atol=1e-3)):
            said = f"its layer '{name}' normalises with mean {mean.round(3)} and variance {variance.round(3)}"
            raise ValueError(f"{said}, the network with {registry.MEAN} and {registry.SD}")
    return {name: arrays for name, arrays in found.items() if name not in own}


def _pairs(places: dict[str, keras.layers.Layer], found: dict, ordered: bool) -> dict[str, str]:
    """Map each layer of the network to one of the file: by name, else in order, as Keras has renamed layers since."""
    if ordered and (places.keys() - found.keys() or renumbered(places, places.values())):
        return dict(zip(places, found, strict=False))
    counted = renumbered(found, places.values())
    names = {counted.get(name, name): name for name in found}
    return {place: names[place] for place in places if place in names}


def renumbered(names: Iterable[str], parts: Iterable[keras.Operation]) -> dict[str, str]:
    """Return new names, counted from 0, for those that Keras generated for a class of `parts`: conv2d_94 becomes conv2d."""
    classes = {type(part).__name__.lower() for part in parts}
    given = [name for name in names if NUMBER.sub("", name).replace("_", "") in classes]
    counts: Counter[str] = Counter()
    new = {}
    for name in sorted(given, key=lambda name: int(NUMBER.search(name)[1] or 0)):
        kind = NUMBER.sub("", name)
        new[name] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
    return new
