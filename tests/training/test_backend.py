"""The number format follows the device; training in float16 keeps its loss scale."""

import os
from types import SimpleNamespace

import jax
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from catscans_lib.networks import build
from catscans_lib.training import backend, loop
from catscans_lib.training.checkpoints import Checkpoint
from catscans_lib.training.settings import Training

SETTINGS = Training(
    epochs=3, batch_size=8, learning_rate=1e-3, optimiser="adam", schedule="constant", dropout=0.2, class_weights="none",
    augmentation=None, validation_share=0.25,
)  # fmt: skip


@pytest.fixture(autouse=True)
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def gpu(monkeypatch):
    """Make TensorFlow report a GPU with these details."""

    def of(**details):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)

    return of


@pytest.fixture
def on_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((9, 0), "mixed_bfloat16"),  # H100
        ((8, 0), "mixed_bfloat16"),  # A100
        ((7, 5), "mixed_float16"),  # T4
        ((7, 0), "mixed_float16"),  # V100
        ((6, 1), "float32"),  # GTX 1080: no matrix units
    ],
)
def test_on_a_gpu_the_number_format_is_that_of_its_matrix_units(gpu, capability, precision):
    gpu(device_name="some GPU", compute_capability=capability)
    assert backend.set_precision("auto") == precision
    assert keras.config.dtype_policy().name == precision


def test_a_gpu_of_unknown_capability_computes_in_float32(gpu):
    gpu(device_name="another maker's")
    assert backend.set_precision("auto") == "float32"


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        (SimpleNamespace(compute_capability="9.0"), "mixed_bfloat16"),
        (SimpleNamespace(compute_capability="7.5"), "mixed_float16"),
        (SimpleNamespace(), "float32"),  # another maker's
    ],
)
def test_the_number_format_follows_the_gpu_that_jax_reports(on_jax, monkeypatch, device, precision):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert backend.has_gpu()
    assert backend.set_precision("auto") == precision


def test_the_flag_for_deterministic_operations_is_set_once_on_jax(on_jax, monkeypatch):
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


def test_a_named_format_is_used_on_any_device(gpu):
    gpu(compute_capability=(7, 0))
    assert backend.set_precision("float32") == "float32"


def test_training_in_float16_learns_and_resumes_with_its_loss_scale(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    keras.utils.set_random_seed(0)
    model = loop.compiled(build.build(build.backbone("small_resnet", 16), 2, 0.2))
    start = model.get_weights()
    images = np.random.default_rng(0).integers(0, 128, (32, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(32) % 2
    images[labels == 1] += 120

    def fitted(name, epochs, seed=0):
        settings, state = SETTINGS.model_copy(update={"epochs": epochs}), Checkpoint.of(tmp_path, "r").state(name)
        model.set_weights(start)
        return loop.fit(
            model, images, labels, np.arange(24), np.arange(24, 32), settings, n_classes=2, seed=seed, state=state
        )

    curve = fitted("whole", 3)
    losses = curve.query("split == 'train' and metric == 'loss'")["value"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert float(model.optimizer.dynamic_scale) > 0
    fitted("part", 1)
    fitted("another", 1, seed=1)  # leaves its optimiser and loss scale behind
    pd.testing.assert_frame_equal(fitted("part", 3), curve)
