import keras
import numpy as np
import pytest
from published import shorten

from catscans_lib import feature_maps, models
from catscans_lib.errors import InputError


def test_a_map_is_the_image_convolved_with_the_first_kernel():
    inputs = keras.Input((6, 6, 3))
    convolution = keras.layers.Conv2D(2, 3, use_bias=False, name="first")
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(convolution(inputs)))
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3)).astype("uint8")
    kernel = convolution.get_weights()[0]
    by_hand = (image[0, 2:5, 1:4, :, None] * kernel).sum(axis=(0, 1, 2))
    maps = feature_maps.activations(network, image)
    assert maps.shape == (1, 4, 4, 2)
    np.testing.assert_allclose(maps[0, 2, 1], by_hand, rtol=1e-4)


def test_where_the_first_layer_is_a_model_of_its_own_its_output_is_taken(monkeypatch):
    shorten(monkeypatch)
    network = models.backbone("convnext_tiny", 32)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("uint8")
    by_hand = network.get_layer("convnext_tiny_stem")(network.get_layer("preprocess")(image))
    np.testing.assert_allclose(feature_maps.activations(network, image), by_hand, atol=1e-5)


def test_an_unknown_layer_and_one_without_maps_name_those_there_are():
    network = models.backbone("small_resnet", 16)
    image = np.zeros((1, 16, 16, 3), "uint8")
    assert feature_maps.activations(network, image, "block3_out").shape == (1, 8, 8, 32)
    for layer in ("conv9", "features"):
        with pytest.raises(InputError, match=f"No layer '{layer}' with feature maps; the network has: .*block2_out"):
            feature_maps.activations(network, image, layer)


def test_strengths_are_the_mean_and_the_spread_of_every_map():
    maps = {"dtd": np.stack([np.zeros((2, 2)), np.array([[0.0, 2.0], [2.0, 4.0]])], axis=2)}
    table = feature_maps.strengths(maps)
    assert table.to_dict("list") == {
        "source": ["dtd", "dtd"], "map": [1, 2], "mean": [0.0, 2.0], "sd": [0.0, pytest.approx(np.sqrt(2))],
    }  # fmt: skip
