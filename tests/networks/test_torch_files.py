"""State dicts of PyTorch are read as arrays without PyTorch; a file that asks for anything else is refused, and runs nothing."""

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from torch_saver import MAGIC, PROTOCOL, SYSTEM, Pickler, Storage, Tensor, fake_torch, save, save_arrays

from catscans_lib.errors import InputError
from catscans_lib.networks import torch_files, weight_files


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    fake_torch(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *given):
        self.called = function, given

    def __reduce__(self):
        return self.called


def numbers(n=6):
    return np.arange(n, dtype="float32")


def test_arrays_come_back_whatever_the_order_of_their_axes_in_memory(path):
    arrays = {
        "_stem.weight": np.arange(24, dtype="float32").reshape(2, 3, 2, 2),
        "_blocks.0._bn1.weight": numbers(2),
        "_blocks.0._bn1.num_batches_tracked": np.array(7, "int64"),
    }
    save_arrays(path, arrays)
    found = torch_files.read(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_tensors_may_share_a_storage_and_begin_inside_it(path):
    shared = Storage("0", numbers(8))
    save(path, OrderedDict(a=Tensor(shared, 2, (2, 2), (1, 2)), b=Tensor(shared, 0, (8,), (1,))), [shared])
    found = torch_files.read(path)
    np.testing.assert_array_equal(found["a"], [[2, 4], [3, 5]])
    np.testing.assert_array_equal(found["b"], numbers(8))


def test_layers_have_the_names_order_and_axes_of_keras():
    kernel, depthwise = np.zeros((5, 3, 2, 1)), np.zeros((5, 1, 4, 2))
    state = {f"_bn0.{part}": np.array([n]) for n, part in enumerate(("running_var", "running_mean", "bias", "weight"))}
    state |= {
        "_blocks.3._conv.weight": kernel,
        "b.weight": depthwise,
        "fc.weight": np.zeros((7, 5)),
        "fc.bias": np.zeros(7),
    }
    found = torch_files.layers(state | {"_bn0.num_batches_tracked": np.array(0)})
    assert [int(array[0]) for array in found["bn0"]] == [3, 2, 1, 0]
    shapes = {name: [array.shape for array in arrays] for name, arrays in found.items() if name != "bn0"}
    assert shapes == {"blocks_3_conv": [(2, 1, 3, 5)], "b": [(4, 2, 5, 1)], "fc": [(5, 7), (7,)]}
    with pytest.raises(InputError, match="has 'in_proj_weight' of a layer; known: weight, bias, running_mean"):
        torch_files.layers({"attention.in_proj_weight": kernel})


@pytest.mark.parametrize("place", ["state", "value", "deep", "system", "key"])
@pytest.mark.parametrize("call", [(os.system, "mkdir {}"), (os.mkdir, "{}"), (eval, "__import__('os').mkdir('{}')")])
def test_a_file_that_calls_a_function_is_refused_and_the_function_is_never_called(path, tmp_path, place, call):
    evil, storage = Calls(call[0], call[1].format(tmp_path / "trace")), Storage("0", numbers())
    state, system = OrderedDict(a=Tensor(storage, 0, (6,), (1,))), SYSTEM
    if place == "state":
        state = evil
    elif place == "value":
        state["b"] = evil
    elif place == "deep":
        state["a"] = Tensor(storage, 0, (6, [evil]), (1,))
    elif place == "system":
        system = SYSTEM | {"x": evil}
    else:
        storage.key = evil
    save(path, state, [storage], (MAGIC, PROTOCOL, system))
    with pytest.raises(
        InputError, match=r"'weights.pth' is not read .* asks for '\w+\.(system|mkdir|eval)', .* refused"
    ):
        weight_files.read(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("opcode", [b"cos\nsystem\n", b"\x80\x04\x8c\x02os\x8c\x06system\x93", b"(ios\nsystem\n"])
@pytest.mark.parametrize("rest", [b"(S'mkdir {}'\ntR.", b"."])
def test_every_way_to_name_a_function_is_refused(path, tmp_path, opcode, rest):
    path.write_bytes(opcode + rest.replace(b"{}", str(tmp_path / "trace").encode()))
    with pytest.raises(InputError, match="asks for 'os.system'"):
        torch_files.read(path)
    assert not (tmp_path / "trace").exists()


def test_what_a_state_dict_needs_cannot_be_changed_by_a_file(path):
    """The opcode BUILD sets attributes of the last object."""
    before = torch_files._tensor.__code__, dict(vars(OrderedDict))
    for name in (b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"):
        path.write_bytes(name + b"(N(dS'items'\nI1\nstb.")
        with pytest.raises(InputError, match="is not read as a state dict of PyTorch"):
            torch_files.read(path)
    path.write_bytes(b"ctorch._utils\n_rebuild_tensor_v2\n(N(dS'__code__'\nI1\nstb.")
    with pytest.raises(InputError, match="is not read as a state dict of PyTorch"):
        torch_files.read(path)
    assert (torch_files._tensor.__code__, dict(vars(OrderedDict))) == before


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    save_arrays(path, {"a.weight": numbers(), "b.weight": numbers(3)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"'weights.pth' is not read as a state dict of PyTorch: .+\."):
            torch_files.read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="goes on after its last storage"):
        torch_files.read(path)


@pytest.mark.parametrize(
    ("given", "n", "message"),
    [
        ((0, (6,), (1,)), 7, "storage 0 should have 7 numbers; it has 6, and 24 bytes follow"),
        ((0, (6,), (1,)), 2**62, f"storage 0 should have {2**62} numbers"),
        ((0, (7,), (1,)), 6, r"shape \(7,\) exceeds its storage of 6 numbers"),
        ((1, (6,), (1,)), 6, "exceeds its storage"),
        ((0, (2, 3), (4, 1)), 6, "exceeds its storage"),
        ((0, (10**9,), (0,)), 6, "exceeds its storage"),
        ((5, (6,), (-1,)), 6, "exceeds its storage"),
        ((-1, (6,), (1,)), 6, "exceeds its storage"),
        ((0, (6,), (1, 1)), 6, "no valid shape"),
        ((0, ("6",), (1,)), 6, "no valid shape"),
        ((0.0, (6,), (1,)), 6, "no valid shape"),
    ],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(path, given, n, message):
    storage = Storage("0", numbers(), n)
    save(path, OrderedDict(a=Tensor(storage, *given)), [storage])
    with pytest.raises(InputError, match=message):
        torch_files.read(path)


def test_other_files_are_refused_with_what_to_do(path):
    storage = Storage("0", numbers())
    tensor = Tensor(storage, 0, (6,), (1,))
    save(path, OrderedDict(model=OrderedDict(a=tensor)), [storage])
    with pytest.raises(InputError, match=r"other objects than tensors by name; save model.state_dict\(\)"):
        torch_files.read(path)
    save(path, OrderedDict(a=tensor), [storage, Storage("1", numbers())])
    with pytest.raises(InputError, match="list of storages is not that of its tensors"):
        torch_files.read(path)
    save(path, OrderedDict(a=tensor, b=Tensor(Storage("0", numbers(), 5), 0, (5,), (1,))), [storage])
    with pytest.raises(InputError, match="storage 0 has two types or sizes|should have 5 numbers"):
        torch_files.read(path)
    save(path, OrderedDict(a=tensor), [storage], (MAGIC + 1, PROTOCOL, SYSTEM))
    with pytest.raises(InputError, match="first pickles are not those of such a file"):
        torch_files.read(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="is not read as a state dict of PyTorch: File is not a zip file"):
        torch_files.read(path)
    path.write_bytes(pickle.dumps({"a": [1.0]}))
    with pytest.raises(InputError, match="is not read as a state dict of PyTorch"):
        torch_files.read(path)


def save_archive(path, state, storages, order=b"little"):
    """Save as PyTorch does since version 1.6."""
    pickled = io.BytesIO()
    Pickler(pickled, protocol=2, is_new=True).dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", pickled.getvalue())
        archive.writestr("weights/byteorder", order)
        for storage in storages:
            archive.writestr(f"weights/data/{storage.key}", storage.numbers.tobytes())


def test_an_archive_gives_the_same_arrays_and_runs_nothing(path, tmp_path):
    shared = Storage("0", numbers(8))
    state = OrderedDict(a=Tensor(shared, 2, (2, 2), (1, 2)), b=Tensor(shared, 0, (8,), (1,)))
    save_archive(path, state, [shared])
    found = torch_files.read(path)
    np.testing.assert_array_equal(found["a"], [[2, 4], [3, 5]])
    np.testing.assert_array_equal(found["b"], numbers(8))
    save_archive(path, state, [shared], order=b"big")
    with pytest.raises(InputError, match="numbers are not little-endian"):
        torch_files.read(path)
    save_archive(path, state, [Storage("0", numbers(7))])
    with pytest.raises(InputError, match="storage 0 should have 8 numbers; it has 28 bytes"):
        torch_files.read(path)
    save_archive(path, OrderedDict(a=Calls(os.mkdir, str(tmp_path / "trace"))), [])
    with pytest.raises(InputError, match=r"asks for '\w+\.mkdir', .* refused"):
        torch_files.read(path)
    assert not (tmp_path / "trace").exists()


def test_safetensors_are_read_and_faulty_ones_refused(tmp_path):
    path, content = tmp_path / "weights.safetensors", np.arange(10, dtype="<f4").tobytes()
    about = {
        "conv.weight": {"dtype": "F32", "shape": [2, 3, 1, 1], "data_offsets": [16, 40]},
        "__metadata__": {"format": "pt"},
    }

    def written(about, n=None):
        header = json.dumps(about).encode()
        path.write_bytes((n or len(header)).to_bytes(8, "little") + header + content)
        return path

    kernel = weight_files.read(written(about)).layers["conv"][0]
    np.testing.assert_array_equal(kernel, np.arange(4, 10).reshape(2, 3, 1, 1).transpose(2, 3, 1, 0))
    for faulty, n, message in (
        ({"a": about["conv.weight"] | {"data_offsets": [16, 44]}}, None, "'a' lies outside the file"),
        ({"a": about["conv.weight"] | {"shape": [7]}}, None, "cannot reshape"),
        ({"a": about["conv.weight"] | {"dtype": "F8"}}, None, "F8"),
        (about, 10**9, "header would have 1000000000 bytes"),
    ):
        with pytest.raises(InputError, match=f"is not read as a state dict of PyTorch: .*{message}"):
            weight_files.read(written(faulty, n))
