import os
from types import SimpleNamespace

import jax
import keras
import pytest
import tensorflow as tf

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


@pytest.mark.parametrize(("flags", "precision"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_without_a_gpu_the_number_format_follows_the_processor(monkeypatch, flags, precision):
    monkeypatch.setattr(backend, "has_gpu", lambda: False)
    monkeypatch.setattr(backend, "_cpu_has_bfloat16", lambda: flags)
    assert backend.set_precision("auto") == precision
