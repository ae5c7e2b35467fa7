"""Reads a state dict of PyTorch as named arrays, without PyTorch: `.pth` and `.safetensors`.

Before PyTorch 1.6, a `.pth` was a row of pickles, followed by the numbers of every storage; now it is a zip archive of them. A
pickle can call any function, so the unpickler refuses all names but those of tensors, storages and OrderedDict.
"""

import io
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from catscans_lib.errors import InputError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {
    "HalfStorage": "<f2", "FloatStorage": "<f4", "DoubleStorage": "<f8", "IntStorage": "<i4", "LongStorage": "<i8",
}  # fmt: skip
SAFE_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}
PARTS = ("weight", "bias", "running_mean", "running_var")  # of a layer, in the order of Keras
DENSE = {"norm1": "0_bn", "conv1": "1_conv", "norm2": "1_bn", "conv2": "2_conv", "norm": "bn", "conv": "conv"}
SQUEEZE, LAST = ("se_conv_reduce", "se_conv_expand"), ("conv_pwl", "bn3")  # of a block of an EfficientNet
ENDS = {
    "features.conv0": "conv1_conv", "features.norm0": "conv1_bn", "features.norm5": "bn",
    "features.0.0": "conv_stem", "features.0.1": "bn1", "features.8.0": "conv_head", "features.8.1": "bn2",
}  # fmt: skip
NOT_READ = (
    pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError, zipfile.BadZipFile,
)  # fmt: skip


class Storage(NamedTuple):
    """A row of numbers: its name in the file, a key of `DTYPES`, and the number of numbers."""

    key: str
    kind: str
    n: int


class Tensor(NamedTuple):
    """Which numbers of a storage form an array: the place of the first, shape, and steps (in numbers) along the axes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in DTYPES:
            return name
        raise InputError(f"it asks for '{module}.{name}', which is no part of a state dict and could run code; refused")

    def persistent_load(self, pid: Any) -> Storage:
        match pid:
            case ("storage", str(kind), str(key), str(), int(n), *rest) if (
                kind in DTYPES and n >= 0 and rest in ([], [None])
            ):
                return Storage(key, kind, n)
        raise ValueError(f"it refers to {pid!r}, which is no storage")


def _tensor(storage: Any, offset: Any, shape: Any, steps: Any, *_: Any) -> Tensor:
    numbers = (offset, *shape, *steps)
    if not isinstance(storage, Storage) or len(shape) != len(steps) or any(type(one) is not int for one in numbers):
        raise ValueError("a tensor has no storage, or no valid shape")
    n = np.prod(shape, dtype=object)
    last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if min(numbers) < 0 or n > storage.n or (n and last >= storage.n):
        raise ValueError(f"a tensor of shape {shape} exceeds its storage of {storage.n} numbers")
    return Tensor(storage, offset, tuple(shape), tuple(steps))


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a state dict by name; InputError if the file has another format or is damaged."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                return _read_safetensors(file)
            return _read_archive(file) if file.peek(2).startswith(b"PK") else _read(file)
    except NOT_READ as error:
        why = f"is not read as a state dict of PyTorch: {error or type(error).__name__}"
        raise InputError(f"Weights file '{path.name}' {why}.") from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, protocol, system, state, keys = (_Unpickler(file).load() for _ in range(5))
    if (magic, protocol) != (MAGIC, PROTOCOL) or not system["little_endian"]:
        raise ValueError("its first pickles are not those of such a file")
    storages = _storages(state)
    if sorted(storages) != sorted(keys):
        raise ValueError("its list of storages is not that of its tensors")
    numbers = {key: _numbers(file, storages[key]) for key in keys}
    if file.read(1):
        raise ValueError("it goes on after its last storage")
    return {str(name): _array(tensor, numbers) for name, tensor in OrderedDict.items(state)}


def _read_archive(file: BinaryIO) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if pickled is None:
            raise ValueError("its archive has no data.pkl")
        folder, names = pickled.removesuffix("data.pkl"), set(archive.namelist())
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        state = _Unpickler(io.BytesIO(archive.read(pickled))).load()
        numbers = {}
        for storage in _storages(state).values():
            place, dtype = f"{folder}data/{storage.key}", np.dtype(DTYPES[storage.kind])
            n = archive.getinfo(place).file_size
            if n != storage.n * dtype.itemsize:
                raise ValueError(f"storage {storage.key} should have {storage.n} numbers; it has {n} bytes")
            numbers[storage.key] = np.frombuffer(archive.read(place), dtype)
    return {str(name): _array(tensor, numbers) for name, tensor in OrderedDict.items(state)}


def _storages(state: Any) -> dict[str, Storage]:
    if type(state) is not OrderedDict or not all(isinstance(one, Tensor) for one in OrderedDict.values(state)):
        raise ValueError("it has other objects than tensors by name; save model.state_dict()")
    return {tensor.storage.key: tensor.storage for tensor in OrderedDict.values(state)}


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    """Read a JSON of names, types, shapes and places, and the numbers after it."""
    n, size = int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size
    if not 2 <= n <= size - 8:
        raise ValueError(f"its header would have {n} bytes; the file has {size}")
    header, content = json.loads(file.read(n)), file.read()
    found = {}
    for name, about in header.items():
        if name != "__metadata__":
            dtype, (start, end) = np.dtype(SAFE_DTYPES[about["dtype"]]), about["data_offsets"]
            if not 0 <= start <= end <= len(content):
                raise ValueError(f"'{name}' lies outside the file")
            found[name] = np.frombuffer(content[start:end], dtype).reshape(about["shape"])
    return found


def _numbers(file: BinaryIO, storage: Storage) -> np.ndarray:
    dtype, n = np.dtype(DTYPES[storage.kind]), int.from_bytes(file.read(8), "little")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if n != storage.n or left < n * dtype.itemsize:
        raise ValueError(f"storage {storage.key} should have {storage.n} numbers; it has {n}, and {left} bytes follow")
    return np.frombuffer(file.read(n * dtype.itemsize), dtype)


def _array(tensor: Tensor, numbers: dict[str, np.ndarray]) -> np.ndarray:
    held = numbers[tensor.storage.key]
    if held.dtype != DTYPES[tensor.storage.kind] or len(held) != tensor.storage.n:
        raise ValueError(f"storage {tensor.storage.key} has two types or sizes")
    steps = [step * held.itemsize for step in tensor.steps]
    return np.lib.stride_tricks.as_strided(held[tensor.offset :], tensor.shape, steps).copy()


def layers(state: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Return the arrays of every layer as Keras orders and shapes them; `_blocks.0._bn1.weight` is of layer `blocks_0_bn1`."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state.items():
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            is_depthwise = array.shape[1:2] == (1,)  # such a kernel has one input
            axes = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
            found.setdefault(_renamed(layer), {})[part] = array.transpose(axes) if array.ndim == 4 else array.T
    if unknown := {part for parts in found.values() for part in parts} - set(PARTS):
        raise InputError(f"The state dict has '{min(unknown)}' of a layer; known: {', '.join(PARTS)}.")
    return {layer: [parts[part] for part in PARTS if part in parts] for layer, parts in found.items()}


def _renamed(layer: str) -> str:
    """Return the name that a layer has here; of torchvision's DenseNet as in Keras, of its EfficientNet as in timm."""
    if match := re.fullmatch(r"features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)\.?(\d)", layer):
        return f"conv{int(match[1]) + 1}_block{match[2]}_{DENSE[match[3] + match[4]]}"
    if match := re.fullmatch(r"features\.transition(\d)\.(norm|conv)", layer):
        return f"pool{int(match[1]) + 1}_{DENSE[match[2]]}"
    if match := re.fullmatch(r"features\.([1-7])\.(\d)\.block\.(\d)\.(0|1|fc1|fc2)", layer):
        is_direct, wide, deep = match[1] == "1", ("conv_pw", "bn1"), ("conv_dw", "bn2")
        parts = [("conv_dw", "bn1"), SQUEEZE, ("conv_pw", "bn2")] if is_direct else [wide, deep, SQUEEZE, LAST]
        return f"blocks_{int(match[1]) - 1}_{match[2]}_{parts[int(match[3])][match[4] in ('1', 'fc2')]}"
    return ENDS.get(layer, layer).replace("._", "_").replace(".", "_").lstrip("_")
