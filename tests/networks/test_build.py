import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from published import assert_same_weights, shorten

from catscans_lib.errors import InputError
from catscans_lib.inspection import feature_maps
from catscans_lib.networks import build, features, registry
from catscans_lib.training import loop
from catscans_lib.training.batches import Batches

TRAINED = {"small_resnet": 2, "efficientnet_b0": 3, "small_vit": 3}  # and the number of classes
REOPEN = """
import sys
sys.modules["catscans_lib"] = None  # importing it fails
import keras, numpy
images = numpy.load("images.npy")
for name in sys.argv[1:]:
    outputs = keras.models.load_model(f"{name}.keras")(images)
    numpy.testing.assert_allclose(outputs, numpy.load(f"{name}.npy"), atol=1e-6)
"""


def images(n=2, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("float32")


@pytest.mark.parametrize(("n_classes", "units"), [(2, 1), (7, 7)])
def test_a_classifier_returns_probabilities_with_one_sigmoid_unit_for_two_classes(n_classes, units):
    backbone = build.backbone("small_resnet", 32)
    with pytest.raises(InputError, match="needs at least 2 classes; got 1"):
        build.build(backbone, 1, dropout=0.0)
    model = build.build(backbone, n_classes, dropout=0.2)
    outputs = model.predict(images(), verbose=0)
    assert outputs.shape == (2, units)
    assert ((outputs > 0) & (outputs < 1)).all()
    if n_classes > 2:
        np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_features", "n_weights"), [("small_resnet", 64, 78_384), ("squeezenet", 512, 722_496)]
)
def test_our_own_backbones_have_the_documented_sizes(name, n_features, n_weights):
    network = build.backbone(name, 64)
    assert network.output_shape == (None, n_features)
    assert network.count_params() == n_weights


def test_the_features_of_random_weights_are_neither_vanishing_nor_huge():
    for name in ("small_resnet", "squeezenet"):
        keras.utils.set_random_seed(0)
        features = build.backbone(name, 64)(images(4, 64))
        assert 0.05 < np.sqrt(np.mean(np.square(features))) < 5, name


def test_a_saved_backbone_gets_another_image_size_and_a_new_head_and_keeps_nothing_else(tmp_path):
    old = build.build(build.backbone("small_resnet", 32), 7, dropout=0.2)
    old.save(tmp_path / "model.keras")
    backbone = build.saved_backbone(tmp_path / "model.keras", "small_resnet", 48)
    assert backbone.input_shape == (None, 48, 48, 3)
    assert_same_weights(backbone, old.get_layer("backbone"))
    left = [weakref.ref(part) for part in (old, old.get_layer("head"), old.get_layer("backbone"))]
    del old
    gc.collect()
    assert [part() for part in left] == [None] * 3
    new = build.build(backbone, 2, dropout=0.2)
    assert [layer.name for layer in new.layers] == ["image", "backbone", "dropout", "head"]
    assert new.get_layer("head").kernel.shape == (64, 1)


BY_HAND = {
    "squeezenet": lambda image: image - [123.68, 116.779, 103.939],
    "efficientnet_b0": lambda image: (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_training_features_and_feature_maps_use_the_same_preprocessing(name, monkeypatch):
    shorten(monkeypatch)
    stored = images(3, 32).astype("uint8")
    by_hand = BY_HAND[name](stored.astype("float64"))
    network = build.backbone(name, 32)
    preprocessed = network.get_layer("preprocess").output
    same = {"rtol": 1e-5, "atol": 1e-4}

    batch, _ = Batches(stored, np.zeros(3, int), np.arange(3), 3)[0]
    np.testing.assert_allclose(keras.Model(network.input, preprocessed)(batch), by_hand, **same)

    extracted = features.extract(network, stored, np.arange(3))
    rest = keras.Model(preprocessed, network.output)(by_hand.astype("float32"))
    np.testing.assert_allclose(extracted, rest, rtol=1e-4, atol=1e-5 * abs(extracted).max())

    np.testing.assert_allclose(feature_maps.activations(network, stored[:1], "preprocess"), by_hand[:1], **same)
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    maps = feature_maps.activations(network, stored[:1])
    patch = by_hand[0, 6:9, 8:11, :, None]  # under a kernel of 3 with stride 2, at row 3 and column 4
    expected = first.activation((patch * first.get_weights()[0]).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(maps[0, 3, 4], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["squeezenet", "mobilenet"])
def test_in_mixed_precision_the_image_is_still_preprocessed_in_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build.build(build.backbone(name, 32), 3, dropout=0.0).get_layer("backbone")
    keras.config.set_dtype_policy("float32")
    how = registry.find(name).preprocessing
    found = keras.Model(network.input, network.get_layer("preprocess").output)(images())
    np.testing.assert_allclose(found, images() * how.scale + how.offset, rtol=1e-5, atol=1e-4)
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    assert (first.compute_dtype, first.input.dtype) == ("bfloat16", "float32")


def test_after_a_training_step_a_saved_model_opens_and_predicts_the_same_without_this_library(tmp_path, monkeypatch):
    shorten(monkeypatch)
    np.save(tmp_path / "images.npy", images(4))
    for name, n_classes in TRAINED.items():
        model = loop.compiled(build.build(build.backbone(name, 32), n_classes, dropout=0.1))
        model.run_eagerly = True  # tracing the graph takes longer
        before = model.get_weights()
        model.train_on_batch(images(4), np.arange(4.0) % 2)
        moved = [not np.array_equal(one, two) for one, two in zip(model.get_weights(), before, strict=True)]
        assert np.mean(moved) > 0.9, name
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", model(images(4)))
        assert_same_weights(build.saved_backbone(tmp_path / f"{name}.keras", name, 32), model.get_layer("backbone"))
    command = [sys.executable, "-I", "-c", REOPEN, *TRAINED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
