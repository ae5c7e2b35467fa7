"""Writes files as PyTorch's `torch.save` did before version 1.6, without PyTorch."""

import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np

from catscans_lib.networks import torch_files

MAGIC, PROTOCOL, SYSTEM = torch_files.MAGIC, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
KINDS = {"<f4": "FloatStorage", "<i8": "LongStorage"}


def fake_torch(monkeypatch):
    """Let pickles refer to the names of PyTorch that a state dict uses."""
    modules = {name: ModuleType(name) for name in ("torch", "torch._utils")}
    for kind in KINDS.values():
        setattr(modules["torch"], kind, type(kind, (), {"__module__": "torch"}))
    exec("def _rebuild_tensor_v2(*_): raise RuntimeError", vars(modules["torch._utils"]))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


class Storage:
    def __init__(self, key, numbers, n=None):
        self.key, self.numbers, self.n = key, numbers, len(numbers) if n is None else n


class Tensor:
    def __init__(self, storage, offset, shape, steps):
        self.given = storage, offset, shape, steps, False, OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.given


class Pickler(pickle.Pickler):
    def __init__(self, file, protocol, is_new=False):
        super().__init__(file, protocol)
        self.is_new = is_new

    def persistent_id(self, one):
        if isinstance(one, Storage):
            kind = getattr(sys.modules["torch"], KINDS[one.numbers.dtype.str])
            return ("storage", kind, one.key, "cpu", one.n, *([] if self.is_new else [None]))
        return None


def save(path, state, storages, start=(MAGIC, PROTOCOL, SYSTEM)):
    with path.open("wb") as file:
        for part in (*start, state, [storage.key for storage in storages]):
            Pickler(file, protocol=2).dump(part)
        for storage in storages:
            file.write(len(storage.numbers).to_bytes(8, "little") + storage.numbers.tobytes())


def save_arrays(path, arrays):
    """Save arrays by name, each in a storage; those of several dimensions as PyTorch keeps channels last."""
    state, storages = OrderedDict(), []
    for name, array in arrays.items():
        held = np.asfortranarray(array)
        storages.append(Storage(str(len(storages)), held.ravel(order="K")))
        steps = tuple(step // held.itemsize for step in held.strides)
        state[name] = Tensor(storages[-1], 0, held.shape, steps)
    save(path, state, storages)
