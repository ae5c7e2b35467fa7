import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from published import shorten

from catscans_lib.errors import InputError
from catscans_lib.inspection import feature_maps
from catscans_lib.networks import build, features, registry
from catscans_lib.training import kernels, loop
from catscans_lib.training.batches import Batches
from catscans_lib.training.checkpoints import Checkpoint
from catscans_lib.training.settings import Training

ONE_STEP = Training(
    epochs=1, batch_size=4, learning_rate=1e-3, optimiser="adam", schedule="constant", dropout=0.1,
    class_weights="none", augmentation=None, validation_share=0.0,
)  # fmt: skip
TRAINED = {"mobilenet_v2": 2, "densenet121": 3, "efficientnet_b0": 3}  # and how many classes
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
def test_a_classifier_gives_probabilities_one_sigmoid_unit_for_two_classes(n_classes, units):
    model = build.build(build.backbone("small_resnet", 32), n_classes, dropout=0.2)
    outputs = model.predict(images(), verbose=0)
    assert outputs.shape == (2, units)
    assert ((outputs > 0) & (outputs < 1)).all()
    if n_classes > 2:
        np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_a_classifier_needs_two_classes():
    with pytest.raises(InputError, match="at least 2 classes apart; got 1"):
        build.build(build.backbone("small_resnet", 32), 1, dropout=0.0)


@pytest.mark.parametrize(
    ("name", "n_features", "n_parameters"), [("small_resnet", 64, None), ("squeezenet", 512, 722_496)]
)
def test_a_backbone_pools_its_features(name, n_features, n_parameters):
    network = build.backbone(name, 64)
    assert network.output_shape == (None, n_features)
    assert n_parameters in (None, network.count_params())
    if name == "small_resnet":
        assert 70_000 < network.count_params() < 90_000


def test_the_same_seed_gives_the_same_random_weights():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return build.backbone("small_resnet", 32).get_weights()[0]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_a_saved_model_opens_with_plain_keras_and_predicts_the_same(tmp_path):
    model = build.build(build.backbone("small_resnet", 32), 7, dropout=0.2)
    kernels.fuse_batch_norm(model)  # as training leaves it
    before = model.predict(images(), verbose=0)
    model.save(tmp_path / "model.keras")
    reopened = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(reopened.predict(images(), verbose=0), before)


def test_a_saved_backbone_serves_images_of_another_size(tmp_path):
    model = build.build(build.backbone("small_resnet", 32), 7, dropout=0.2)
    model.save(tmp_path / "model.keras")
    other = build.saved_backbone(tmp_path / "model.keras", "small_resnet", 48)
    assert other.input_shape == (None, 48, 48, 3)
    for one, two in zip(other.get_weights(), model.get_layer("backbone").get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_fused_batch_normalisation_trains_as_the_plain_one_does():
    def trained(fuse):
        keras.utils.set_random_seed(0)
        model = build.build(build.backbone("small_resnet", 32), 2, dropout=0.0)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="binary_crossentropy", jit_compile=False)
        if fuse:
            kernels.fuse_batch_norm(model)
        model.fit(images(8), np.array([0, 1] * 4, "float32"), batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for plain, fused in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=0.02, atol=2e-3)


def test_nothing_of_the_old_head_is_kept_when_a_saved_backbone_gets_a_new_one(tmp_path):
    old = build.build(build.backbone("small_resnet", 32), 7, dropout=0.2)
    old.save(tmp_path / "model.keras")
    left = [weakref.ref(part) for part in (old, old.get_layer("head"), old.get_layer("backbone"))]
    new = build.build(build.saved_backbone(tmp_path / "model.keras", "small_resnet", 32), 2, dropout=0.2)
    del old
    gc.collect()
    assert [part() for part in left] == [None] * 3
    assert [layer.name for layer in new.layers] == ["image", "backbone", "dropout", "head"]
    assert new.get_layer("head").kernel.shape == (64, 1)


def test_a_saved_model_of_another_network_is_refused(tmp_path):
    build.build(build.backbone("small_resnet", 32), 7, dropout=0.2).save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="'model.keras' is not for SqueezeNet 1.1: its layer 'conv1' has 1 arrays"):
        build.saved_backbone(tmp_path / "model.keras", "squeezenet", 32)


BY_HAND = {
    "squeezenet": lambda image: image - [123.68, 116.779, 103.939],
    "mobilenet": lambda image: image / 127.5 - 1,
    "efficientnet_b0": lambda image: (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_training_features_and_feature_maps_see_the_same_numbers(name, monkeypatch):
    shorten(monkeypatch)
    stored = images(3, 32).astype("uint8")
    hand = BY_HAND[name](stored.astype("float64"))
    network = build.backbone(name, 32)
    preprocessed = network.get_layer("preprocess").output
    same = {"rtol": 1e-5, "atol": 1e-4}

    batch, _ = Batches(stored, np.zeros(3, int), np.arange(3), 3)[0]
    np.testing.assert_allclose(keras.Model(network.input, preprocessed)(batch), hand, **same)

    extracted = features.extract(network, stored, np.arange(3))
    rest = keras.Model(preprocessed, network.output)(hand.astype("float32"))
    np.testing.assert_allclose(extracted, rest, rtol=1e-4, atol=1e-5 * abs(extracted).max())

    np.testing.assert_allclose(feature_maps.activations(network, stored[:1], "preprocess"), hand[:1], **same)
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    maps = feature_maps.activations(network, stored[:1])
    patch = hand[0, 6:9, 8:11, :, None]  # under a kernel of 3 with stride 2, at row 3 and column 4
    expected = first.activation((patch * first.get_weights()[0]).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(maps[0, 3, 4], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["squeezenet", "small_resnet", "mobilenet"])
def test_in_mixed_precision_the_image_is_still_preprocessed_in_full(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build.build(build.backbone(name, 32), 3, dropout=0.0).get_layer("backbone")
    finally:
        keras.config.set_dtype_policy("float32")
    how = registry.find(name).preprocessing
    found = keras.Model(network.input, network.get_layer("preprocess").output)(images())
    np.testing.assert_allclose(found, images() * how.scale + how.offset, rtol=1e-5, atol=1e-4)
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    assert (first.compute_dtype, first.input.dtype) == ("bfloat16", "float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Networks after one training step, saved, with what they predict."""
    folder = tmp_path_factory.mktemp("trained")
    labels = np.arange(4) % 2
    np.save(folder / "images.npy", images(4, 64))
    for name, n_classes in TRAINED.items():
        model = loop.compiled(build.build(build.backbone(name, 64), n_classes, dropout=0.1))
        model.run_eagerly = True  # tracing these graphs takes 20 s; test_training.py trains a small one
        before = model.get_weights()
        state = Checkpoint.of(folder / f"{name}_state", "recipe").state("part")
        loop.fit(
            model, images(4, 64).astype("uint8"), labels, np.arange(4), np.arange(0), ONE_STEP,
            n_classes=n_classes, seed=0, state=state,
        )  # fmt: skip
        moved = [not np.array_equal(one, two) for one, two in zip(model.get_weights(), before, strict=True)]
        assert np.mean(moved) > 0.9, name
        model.save(folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", model(images(4, 64)))
    return folder


def test_after_a_training_step_a_saved_model_opens_where_this_library_is_not(trained):
    command = [sys.executable, "-I", "-c", REOPEN, *TRAINED]
    done = subprocess.run(command, cwd=trained, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_after_a_training_step_a_saved_model_gives_its_backbone(trained):
    model = keras.models.load_model(trained / "mobilenet_v2.keras")
    network = build.saved_backbone(trained / "mobilenet_v2.keras", "mobilenet_v2", 64)
    for one, two in zip(network.get_weights(), model.get_layer("backbone").get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
