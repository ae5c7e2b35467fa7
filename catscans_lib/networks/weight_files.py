"""What a weights file holds, read as named arrays of numbers: nothing in a file is ever run, unpickled or built.

Keras writes two layouts. Version 3 (`.weights.h5`, and the same inside a `.keras` archive) names every layer; the older
one (`.h5`, in which `keras.applications` publishes its weights) also keeps their order.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from catscans_lib.errors import InputError

SUFFIXES = (".keras", ".h5", ".hdf5")  # .weights.h5 is an .h5
CODE = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}  # run what the file says
LAYER = re.compile(r"((?:.+/)?layers/[^/]+)/vars")


@dataclass(frozen=True)
class Stored:
    """The layers of a file that hold numbers.

    `ordered`: they stand in the order of the network, a nested model being one layer (the older layout); else each
    innermost layer is known by its name. `own`: our first layer came before them, so they take RGB.
    """

    layers: dict[str, list[np.ndarray]]
    ordered: bool
    own: bool


def read(path: Path) -> Stored:
    """Read a weights file; of a model with a nested `backbone`, only that.

    Raises
    ------
    InputError
        If it is no weights file of Keras, or its model holds code or classes that are not Keras's.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"Weights file '{path.name}': only {', '.join(SUFFIXES)} are read; others could run code.")
    try:
        if path.suffix == ".keras":
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
        raise InputError(
            f"Weights file '{path.name}' holds no weights as Keras saves them, and nothing else is opened "
            f"(a pickle could run code): {error}"
        ) from error


def _refuse_code(name: str, config: dict) -> None:
    """Refuse a model with code of its own: none of it would run here, but what it made of the numbers is not known."""
    for item in _objects({key: value for key, value in config.items() if key != "compile_config"}):
        kind, module = str(item["class_name"]), str(item.get("module") or "keras")
        if kind in CODE:
            raise InputError(f"Weights file '{name}' holds a layer '{kind}', which runs code of its own; refused.")
        if module.split(".")[0] not in ("keras", "builtins") or ">" in f"{kind}{item.get('registered_name')}":
            raise InputError(f"Weights file '{name}' holds '{kind}', which is not part of Keras; refused.")


def _objects(value: object) -> Iterator[dict]:
    """Every object that a configuration describes, at any depth."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _objects(part)


def _read(file: h5py.File) -> Stored:
    found: dict[str, h5py.Group | h5py.Dataset] = {"": file}
    file.visititems(found.__setitem__)  # follows no link, so nothing outside the file is read
    base = "model_weights/" if "model_weights" in found else ""
    names = _texts(found[base.rstrip("/")], "layer_names")
    return _older(found, base, names) if names else _version_3(found)


def _older(found: dict, base: str, names: list[str]) -> Stored:
    arrays = {
        name.replace("/", "_"): [
            _numbers(found[f"{base}{name}/{weight}"]) for weight in _texts(found[base + name], "weight_names")
        ]
        for name in names
    }
    return Stored({name: held for name, held in arrays.items() if held}, ordered=True, own="preprocess" in arrays)


def _texts(group: h5py.Group, key: str) -> list[str]:
    """A list of names; Keras cuts long ones into attributes `key0`, `key1` ..."""
    parts = [key] if key in group.attrs else []
    while f"{key}{len(parts)}" in group.attrs:
        parts.append(f"{key}{len(parts)}")
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in group.attrs[part]]


def _version_3(found: dict) -> Stored:
    paths = {match[1]: group for path, group in found.items() if (match := LAYER.fullmatch(path))}
    if not paths:
        raise ValueError("no layers in it")
    if not all("name" in group.attrs for group in paths.values()):
        raise ValueError("its layers have no names; open it in the Keras it was made with and save it with a newer one")
    backbone = next((f"{path}/" for path, group in paths.items() if group.attrs["name"] == "backbone"), "")
    layers: dict[str, list[np.ndarray]] = {}
    for path, group in paths.items():
        if path.startswith(backbone):
            name = group.attrs["name"]
            if name in layers:
                raise ValueError(f"two layers are called '{name}'")
            layers[name] = [_numbers(found[f"{path}/vars/{number}"]) for number in range(len(group))]
    return Stored({name: held for name, held in layers.items() if held}, ordered=False, own="preprocess" in layers)


def _numbers(data: h5py.Dataset) -> np.ndarray:
    if data.dtype.kind not in "fiu" or data.is_virtual or data.external:
        raise ValueError(f"'{data.name}' is no plain array of numbers")
    return data[()]
