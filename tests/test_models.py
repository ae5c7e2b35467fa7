from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from catscans_lib import execution, models
from catscans_lib.errors import InputError

WEIGHTS = Path(__file__).resolve().parents[2] / "shared" / "weights"
FILE = "squeezenet_imagenet_notop.h5"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/weights with the SqueezeNet file")


def images(n=2, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("float32")


@pytest.mark.parametrize(("n_classes", "units"), [(2, 1), (7, 7)])
def test_a_classifier_gives_probabilities_one_sigmoid_unit_for_two_classes(n_classes, units):
    model = models.build(models.backbone("small_resnet", 32), n_classes, dropout=0.2)
    outputs = model.predict(images(), verbose=0)
    assert outputs.shape == (2, units)
    assert ((outputs > 0) & (outputs < 1)).all()
    if n_classes > 2:
        np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_features", "n_parameters"), [("small_resnet", 64, None), ("squeezenet", 512, 722_496)]
)
def test_a_backbone_pools_its_features(name, n_features, n_parameters):
    network = models.backbone(name, 64)
    assert network.output_shape == (None, n_features)
    assert n_parameters in (None, network.count_params())
    if name == "small_resnet":
        assert 70_000 < network.count_params() < 90_000


def test_the_same_seed_gives_the_same_random_weights():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return models.backbone("small_resnet", 32).get_weights()[0]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_a_saved_model_opens_with_plain_keras_and_predicts_the_same(tmp_path):
    model = models.build(models.backbone("small_resnet", 32), 7, dropout=0.2)
    execution.fuse_batch_norm(model)  # as training leaves it
    before = model.predict(images(), verbose=0)
    model.save(tmp_path / "model.keras")
    reopened = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(reopened.predict(images(), verbose=0), before)


def test_a_saved_backbone_serves_images_of_another_size(tmp_path):
    model = models.build(models.backbone("small_resnet", 32), 7, dropout=0.2)
    model.save(tmp_path / "model.keras")
    other = models.saved_backbone(tmp_path / "model.keras", "small_resnet", 48)
    assert other.input_shape == (None, 48, 48, 3)
    for one, two in zip(other.get_weights(), model.get_layer("backbone").get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_fused_batch_normalisation_trains_as_the_plain_one_does():
    def trained(fuse):
        keras.utils.set_random_seed(0)
        model = models.build(models.backbone("small_resnet", 32), 2, dropout=0.0)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="binary_crossentropy", jit_compile=False)
        if fuse:
            execution.fuse_batch_norm(model)
        model.fit(images(8), np.array([0, 1] * 4, "float32"), batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for plain, fused in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=0.02, atol=2e-3)


@needs_weights
def test_the_imagenet_weights_are_all_loaded_and_turned_to_take_rgb():
    network = models.backbone("squeezenet", 64)
    came_from = models.load_weights(network, "squeezenet", FILE, WEIGHTS)
    assert came_from.startswith(f"{FILE} sha256:")
    with h5py.File(WEIGHTS / FILE) as file:
        kernel = file["conv1"][file["conv1"].attrs["weight_names"][0]][()]
        last = file["fire9/expand3x3"][file["fire9/expand3x3"].attrs["weight_names"][0]][()]
    np.testing.assert_array_equal(network.get_layer("conv1").get_weights()[0], kernel[:, :, ::-1])
    np.testing.assert_array_equal(network.get_layer("fire9_expand3x3").get_weights()[0], last)


def test_a_missing_damaged_or_foreign_weights_file_is_refused(tmp_path):
    network = models.backbone("squeezenet", 64)
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(InputError, match=r"No weights file 'x.h5' in WEIGHTS; it has: broken.h5, foreign.h5"):
        models.load_weights(network, "squeezenet", "x.h5", tmp_path)
    for name in ("broken.h5", "foreign.h5"):
        with pytest.raises(InputError, match=f"'{name}' does not hold SqueezeNet 1.1"):
            models.load_weights(network, "squeezenet", name, tmp_path)
    with pytest.raises(InputError, match="no ImageNet weights for 'small_resnet', only for resnet50"):
        models.load_weights(network, "small_resnet", "keras", None)
    with pytest.raises(InputError, match="is for squeezenet; the profile's backbone is 'resnet50'"):
        models.load_weights(network, "resnet50", "x.h5", tmp_path)
