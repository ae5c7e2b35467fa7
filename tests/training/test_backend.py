import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import keras
import pytest
import tensorflow as tf

from catscans_lib import training
from catscans_lib.errors import InputError
from catscans_lib.training import backend


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((8, 0), "mixed_bfloat16"),  # A100
        ((7, 5), "mixed_float16"),  # T4
        ((6, 1), "float32"),  # GTX 1080: no matrix units
        (None, "float32"),  # another maker's
    ],
)
@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_on_a_gpu_the_number_format_is_that_of_its_matrix_units(monkeypatch, name, capability, precision):
    monkeypatch.setattr(keras.backend, "backend", lambda: name)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"compute_capability": capability})
    device = SimpleNamespace(compute_capability="{}.{}".format(*capability)) if capability else SimpleNamespace()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert backend.has_gpu()
    assert backend.set_precision("auto") == keras.config.dtype_policy().name == precision
    assert backend.set_precision("float32") == "float32"


def test_the_flag_for_deterministic_operations_is_set_once_on_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    backend.set_deterministic(False)
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=true"
    for _ in range(2):
        backend.set_deterministic(True)
        assert os.environ["XLA_FLAGS"].split() == ["--xla_cpu_multi_thread_eigen=true", backend.DETERMINISTIC]


@pytest.mark.parametrize(
    ("cpuinfo", "precision"),
    [
        ("GenuineIntel avx512_bf16 avx512_fp16 amx_bf16", "mixed_bfloat16"),  # Sapphire Rapids
        ("GenuineIntel avx512_bf16 avx512_fp16", "float32"),  # the same in a virtual machine that hides AMX
        ("GenuineIntel avx512_bf16", "mixed_bfloat16"),  # Cooper Lake
        ("AuthenticAMD avx512_bf16", "mixed_bfloat16"),  # Zen 4
        ("GenuineIntel avx512f", "float32"),
    ],
)
def test_without_a_gpu_the_number_format_follows_the_processor(monkeypatch, cpuinfo, precision):
    monkeypatch.setattr(backend, "has_gpu", lambda: False)
    monkeypatch.setattr(backend, "Path", lambda _: SimpleNamespace(is_file=lambda: True, read_text=lambda: cpuinfo))
    assert backend.set_precision("auto", "resnet50") == precision
    assert {backend.set_precision("auto", name) for name in ("efficientnet_lite0", "mobilenet_v2")} == {"float32"}


def test_settings_of_keras_in_the_users_home_do_not_count(tmp_path):
    (tmp_path / ".keras").mkdir()
    foreign = '{"image_data_format": "channels_first", "backend": "torch", "floatx": "bfloat16", "epsilon": 0.5}'
    (tmp_path / ".keras/keras.json").write_text(foreign)
    code = (
        "from catscans_lib.training import backend; backend.check(); import keras; "
        "print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon())"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tensorflow", "channels_last", "float32", "1e-07"]


@pytest.mark.parametrize(("name", "value"), [("image_data_format", "channels_first"), ("floatx", "float16")])
def test_keras_with_other_settings_is_refused_before_anything_is_computed(monkeypatch, name, value):
    monkeypatch.setattr(keras.config, name, lambda: value)
    with pytest.raises(InputError, match="Keras was imported with the settings .*import catscans_lib before keras"):
        backend.set_threads()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KERAS_BACKEND", "torch", "Unknown backend of Keras in KERAS_BACKEND 'torch'; known: jax, tensorflow"),
        ("KERAS_BACKEND", "jax", "KERAS_BACKEND is 'jax', which is not installed"),
    ],
)
def test_settings_of_keras_that_cannot_be_met_are_refused(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "jax" else "found")
    with pytest.raises(InputError, match=message):
        training.keras_settings()


def test_start_messages_of_a_library_are_hidden_unless_its_import_fails(capfd):
    with training.silent_import():
        os.write(2, b"operations are on\n")
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"
    with pytest.raises(ImportError), training.silent_import():
        os.write(2, b"no such instruction\n")
        raise ImportError
    assert capfd.readouterr().err == "no such instruction\n"
