"""The number format follows the device, and training in float16 keeps its loss scale."""

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
    """A machine with a GPU of some compute capability, as TensorFlow would tell it."""

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


def test_a_gpu_that_does_not_say_its_capability_computes_in_float32(gpu):
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
def test_jax_is_asked_for_its_gpu_in_the_same_way(on_jax, monkeypatch, device, precision):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert backend.has_gpu()
    assert backend.set_precision("auto") == precision


def test_jax_is_told_once_to_give_the_same_bits(on_jax, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    backend.set_deterministic(False)
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=true"
    for _ in range(2):
        backend.set_deterministic(True)
        assert os.environ["XLA_FLAGS"].split() == ["--xla_cpu_multi_thread_eigen=true", backend.SAME_BITS]


@pytest.mark.parametrize(("flags", "precision"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_without_a_gpu_the_processor_decides(monkeypatch, flags, precision):
    monkeypatch.setattr(backend, "has_gpu", lambda: False)
    monkeypatch.setattr(backend, "_has_bfloat16", lambda: flags)
    assert backend.set_precision("auto") == precision


def test_a_named_format_is_taken_whatever_the_device(gpu):
    gpu(compute_capability=(7, 0))
    assert backend.set_precision("float32") == "float32"


def in_float16(state, epochs, model=None):
    images = np.random.default_rng(0).integers(0, 128, (32, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(32) % 2
    images[labels == 1] += 120
    settings = SETTINGS.model_copy(update={"epochs": epochs})
    curve = loop.fit(
        model or made(), images, labels, np.arange(24), np.arange(24, 32), settings, n_classes=2, seed=0, state=state
    )
    return curve


def made():
    keras.config.set_dtype_policy("mixed_float16")
    keras.utils.set_random_seed(0)
    return loop.compiled(build.build(build.backbone("small_resnet", 16), 2, 0.2))


def test_training_in_float16_learns_and_goes_on_with_its_loss_scale_from_where_it_was_stopped(tmp_path):
    whole, part = (Checkpoint.of(tmp_path / name, "recipe").state("part") for name in ("whole", "part"))
    model = made()
    curve = in_float16(whole, 4, model)
    losses = curve.query("split == 'train' and metric == 'loss'")["value"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert float(model.optimizer.dynamic_scale) > 0
    in_float16(part, 2)
    pd.testing.assert_frame_equal(in_float16(part, 4), curve)
