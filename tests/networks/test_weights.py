"""Networks with published or saved weights compute what Keras's own networks compute with them.

"Published" weights are random ones in files as Keras publishes them; the download is replaced by them.
"""

import shutil
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from published import assert_same_weights, keras_network, publish, randomised, shorten, write_older

from catscans_lib.errors import InputError
from catscans_lib.networks import build, registry, weights

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"
FILE = "squeezenet_imagenet_notop.h5"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/weights with the SqueezeNet file")


def pictures(size):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")


def downloaded_from(monkeypatch, path):
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))


COMPARED = [
    "resnet50",  # centred, blue first
    "mobilenet_v2",  # -1..1
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("xception", "densenet121")),  # -1..1, standardised
    "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny",  # in Keras's network itself
]  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_a_network_computes_what_keras_computes_with_the_same_weights(name, tmp_path, monkeypatch):
    shorten(monkeypatch)
    size = max(registry.find(name).smallest_px, 48)
    theirs = randomised(keras_network(name, size))
    downloaded_from(monkeypatch, publish(theirs, tmp_path, name))
    if name == "efficientnet_b0":  # Keras adds a layer where it takes its own weights
        theirs = keras_network(name, size, weights="imagenet")
    module = sys.modules[getattr(keras.applications, registry.find(name).application).__module__]
    expected = np.asarray(theirs(module.preprocess_input(pictures(size))))

    network = build.backbone(name, size)
    assert weights.load_weights(network, name, f"{name}_notop.h5", tmp_path).startswith(f"{name}_notop.h5 sha256:")
    np.testing.assert_allclose(network(pictures(size)), expected, rtol=0, atol=1e-4 * abs(expected).max())
    assert expected.std() > 1e-3 * abs(expected).max()
    loaded = network.get_weights()
    network.set_weights([np.zeros_like(array) for array in loaded])
    weights.load_weights(network, name, f"{name}.weights.h5", tmp_path)
    for one, two in zip(network.get_weights(), loaded, strict=True):
        np.testing.assert_array_equal(one, two)
    shutil.rmtree(tmp_path)  # up to 100 MB a file


@pytest.mark.parametrize("name", ["efficientnet_v2_b0", "efficientnet_v2_s"])
def test_efficientnet_v2_gets_the_same_preprocessing_as_in_keras(name, monkeypatch):
    shorten(monkeypatch)
    theirs, ours = keras_network(name, 32), build.backbone(name, 32)
    expected = keras.Model(theirs.input, theirs.get_layer("stem_conv").input)(pictures(32))
    found = keras.Model(ours.input, ours.get_layer("stem_conv").input)(pictures(32))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.fixture(scope="module")
def mobilenet():
    """A published network, and our backbone with its weights."""
    theirs = randomised(keras_network("mobilenet", 32))
    ours = build.backbone("mobilenet", 32)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def fresh(name="mobilenet"):
    return build.backbone(name, 32)


def test_downloaded_weights_are_named_by_a_hash_of_their_values(mobilenet, tmp_path, monkeypatch):
    downloaded_from(monkeypatch, publish(mobilenet[0], tmp_path, "mobilenet"))
    network = fresh()
    came_from = weights.load_weights(network, "mobilenet", "keras", None)
    assert_same_weights(network, mobilenet[1])
    start, _, digest = came_from.rpartition(":")
    assert start == "keras.applications mobilenet imagenet, numbers sha256"
    assert len(digest) == 64


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "URL fetch failure on https://keras.io/mobilenet_no_top.h5: None -- Name or service not known",
            r"'mobilenet': .*keras.io/mobilenet_no_top.h5: .* fetch that file elsewhere and put it in .*/models;",
        ),
        ("the disk is full", "could not load the ImageNet weights of 'mobilenet': the disk is full."),
    ],
)
def test_a_failed_download_names_the_file_and_its_place(monkeypatch, fault, message):
    def fail(*_, **__):
        raise Exception(fault)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    with pytest.raises(InputError, match=message):
        weights.load_weights(fresh(), "mobilenet", "keras", None)
    with pytest.raises(InputError, match="no ImageNet weights for 'small_resnet'. Put a file in WEIGHTS"):
        weights.load_weights(fresh("small_resnet"), "small_resnet", "keras", None)


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_a_model_gives_its_backbone_without_the_head_and_one_of_this_library_already_expects_rgb(
    mobilenet, tmp_path, file
):
    theirs, ours = mobilenet
    head = [keras.layers.Dropout(0.1), keras.layers.Dense(16), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    own = build.build(build.backbone("squeezenet", 32), 3, dropout=0.1)
    for name, model, expected in (
        ("mobilenet", keras.Sequential([keras.Input((32, 32, 3)), theirs, *head]), ours),
        ("squeezenet", own, own.get_layer("backbone")),
    ):
        (model.save if file == "model.keras" else model.save_weights)(tmp_path / file)
        network = fresh(name)
        weights.load_weights(network, name, file, tmp_path)
        assert_same_weights(network, expected)


def test_layer_names_do_not_depend_on_networks_built_before():
    names = [[layer.name for layer in fresh("mobilenet_v3_small").layers] for _ in range(2)]
    assert names[0] == names[1]
    assert {"activation", "activation_1", "activation_17"} < {*names[0]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"conv1_bn": []}, r"its layer 'conv_dw_1' has the shapes .*, the network's 'conv1_bn' \[\(32,\), \(32,\), "),
        ({"conv1": [np.ones((7, 7, 3, 32))]}, r"its layer 'conv1' has .*\(7, 7, 3, 32\).*'conv1' .*\(3, 3, 3, 32\)"),
        ({"more": [np.ones((1, 1, 2, 2))]}, "the network has no layer 'more'"),
        ({"normalization": [np.zeros(3), np.ones(3)]}, r"'normalization' normalises with mean \[0. 0. 0.\] and"),
    ],
    ids=["missing", "other shape", "left over", "other normalisation"],
)
def test_the_first_layer_that_does_not_fit_is_named_and_nothing_changes(mobilenet, tmp_path, changed, message):
    layers = {layer.name: layer.get_weights() for layer in mobilenet[0].layers}
    write_older(tmp_path / "changed.h5", layers | changed)
    network = fresh()
    before = network.get_weights()
    with pytest.raises(InputError, match=f"Weights file 'changed.h5' is not for MobileNet: .*({message})"):
        weights.load_weights(network, "mobilenet", "changed.h5", tmp_path)
    np.testing.assert_array_equal(network.get_weights()[0], before[0])


def test_another_network_is_refused_in_every_layout(mobilenet, tmp_path):
    publish(mobilenet[0], tmp_path, "other")
    mobilenet[0].save(tmp_path / "other.keras")
    network = fresh("squeezenet")
    for file in ("other_notop.h5", "other.weights.h5", "other.keras"):
        with pytest.raises(InputError, match=f"'{file}' is not for SqueezeNet 1.1: its layer 'conv1' has the shapes"):
            weights.load_weights(network, "squeezenet", file, tmp_path)


@needs_weights
def test_all_weights_of_squeezenet_are_loaded_and_reversed_to_expect_rgb():
    network = build.backbone("squeezenet", 64)
    came_from = weights.load_weights(network, "squeezenet", FILE, WEIGHTS)
    assert came_from == f"{FILE} sha256:17154246284f555591549ac2c83e127abfbf4307dc4b0060fdaa2931d0fa38da"
    with h5py.File(WEIGHTS / FILE) as file:
        kernel = file["conv1"][file["conv1"].attrs["weight_names"][0]][()]
        last = file["fire9/expand3x3"][file["fire9/expand3x3"].attrs["weight_names"][0]][()]
    np.testing.assert_array_equal(network.get_layer("conv1").get_weights()[0], kernel[:, :, ::-1])
    np.testing.assert_array_equal(network.get_layer("fire9_expand3x3").get_weights()[0], last)


def test_a_missing_file_lists_the_existing_ones(tmp_path):
    for name in ("a.h5", "b.keras"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"No weights file 'x.h5' in WEIGHTS; it has: a.h5, b.keras"):
        weights.load_weights(fresh("squeezenet"), "squeezenet", "x.h5", tmp_path)
