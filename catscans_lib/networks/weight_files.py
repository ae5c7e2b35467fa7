"""Reads weights files as named arrays; nothing in a file is ever run or built. State dicts of PyTorch: `torch_files`.

Keras has two layouts. Version 3 (`.weights.h5`, also inside a `.keras` archive) names every layer; the legacy layout
(`.h5`, in which `keras.applications` publishes its weights) also keeps their order.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.networks import torch_files

SUFFIXES = (".keras", ".h5", ".hdf5", ".pth", ".pt", ".safetensors")  # .weights.h5 is an .h5
CODE = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}  # run code from the file
PARTS = ("", *(f"/{part}_dense" for part in ("query", "key", "value", "output")))  # of a layer: attention has four
LAYER = re.compile(r"((?:.+/)?layers/[^/]+)/vars")


@dataclass(frozen=True)
class Stored:
    """The layers of a file that have weights, by name.

    `ordered`: in the order of the network, with a nested model as one layer (legacy layout); otherwise innermost layers.
    `own`: saved by this library with its preprocessing layer, so they expect RGB.
    """

    layers: dict[str, list[np.ndarray]]
    ordered: bool
    own: bool


def read(path: Path) -> Stored:
    """Read a weights file, of a model only its `backbone`; InputError if it is no such file, or has code or foreign classes."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"Weights file '{path.name}': only {', '.join(SUFFIXES)} are read; others could run code.")
    if path.suffix in (".pth", ".pt", ".safetensors"):
        return Stored(torch_files.layers(torch_files.read(path)), ordered=False, own=False)
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                _refuse_code(path.name, json.loads(archive.read("config.json")))
                content = io.BytesIO(archive.read("model.weights.h5"))
        else:
            content = path
        with h5py.File(content, "r") as file:
            _refuse_code(path.name, json.loads(file.attrs.get("model_config", "{}")))
            return _read(file)
    except InputError:
        raise
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile) as error:
        why = "is not a weights file of Keras; other files are not opened, as a pickle could run code"
        raise InputError(f"Weights file '{path.name}' {why}: {error}") from error


def _refuse_code(name: str, config: dict) -> None:
    """Refuse a model with its own code: it would not run here, but what it does with the weights is unknown."""
    objects: list[dict] = []
    content = json.dumps({key: value for key, value in config.items() if key != "compile_config"})
    json.loads(content, object_hook=lambda found: objects.append(found) or found)
    for item in (found for found in reversed(objects) if "class_name" in found):  # the outer ones first
        kind, module = str(item["class_name"]), str(item.get("module") or "keras")
        if kind in CODE:
            raise InputError(f"Weights file '{name}' has a layer '{kind}', which runs its own code; refused.")
        is_known = module.split(".")[0] in ("keras", "tf_keras", "builtins")
        if not is_known or ">" in f"{kind}{item.get('registered_name')}":
            raise InputError(f"Weights file '{name}' has '{kind}', which is not part of Keras; refused.")


def _read(file: h5py.File) -> Stored:
    found: dict[str, h5py.Group | h5py.Dataset] = {"": file}
    file.visititems(found.__setitem__)  # follows no links, so reads nothing outside the file
    base = "model_weights/" if "model_weights" in found else ""
    names = _texts(found[base.rstrip("/")], "layer_names")
    layers = {
        name.replace("/", "_"): [
            _numbers(found[f"{base}{name}/{weight}"]) for weight in _texts(found[base + name], "weight_names")
        ]
        for name in names
    } or _version_3(found)
    return Stored(
        {name: held for name, held in layers.items() if held}, ordered=bool(names), own="preprocess" in layers
    )


def _texts(group: h5py.Group, key: str) -> list[str]:
    """Return a list of names; Keras splits a long list into attributes `key0`, `key1` ..."""
    parts = [key] if key in group.attrs else []
    while f"{key}{len(parts)}" in group.attrs:
        parts.append(f"{key}{len(parts)}")
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in group.attrs[part]]


def _version_3(found: dict) -> dict[str, list[np.ndarray]]:
    paths = {match[1]: group for path, group in found.items() if (match := LAYER.fullmatch(path))}
    if not paths:
        raise ValueError("it has no layers")
    if not all("name" in group.attrs for group in paths.values()):
        raise ValueError("its layers have no names; open it with the Keras that made it and save it with a newer one")
    backbone = next((f"{path}/" for path, group in paths.items() if group.attrs["name"] == "backbone"), "")
    layers: dict[str, list[np.ndarray]] = {}
    for path, group in paths.items():
        if path.startswith(backbone):
            name = group.attrs["name"]
            if name in layers:
                raise ValueError(f"two layers are called '{name}'")
            held = [found.get(f"{path}{part}/vars", ()) for part in PARTS]
            layers[name] = [_numbers(part[str(number)]) for part in held for number in range(len(part))]
    return layers


def _numbers(data: h5py.Dataset) -> np.ndarray:
    if data.dtype.kind not in "fiu" or data.is_virtual or data.external:
        raise ValueError(f"'{data.name}' is not a plain array of numbers")
    return data[()]
