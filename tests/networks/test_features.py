"""Features of the faster frozen copy equal the backbone's, and the cache never mixes up weights, rows or images."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from saved_networks import randomised

from catscans_lib.images import store
from catscans_lib.networks import build, features
from catscans_lib.training import loop

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends fold nothing")


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": list("abcdef"), "label": list("xyxyxy"), "group": list("abcdef"), "split": ""})
    pixels = rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    store.write_arrays(tmp_path / "x.h5", pixels, table, ("x", "y"), dataset="chest", size_px=16)
    return store.open_store(tmp_path / "x.h5")


def network(seed):
    keras.utils.set_random_seed(seed)
    return build.backbone("small_resnet", 16)


def test_cached_features_belong_to_weights_rows_and_images_and_are_not_computed_again(images, tmp_path, monkeypatch):
    rows, folder = np.array([4, 1, 5]), tmp_path / "features"
    others = replace(images, images=images.images[::-1], fingerprint="other")
    cases = [(0, images, rows), (1, images, rows), (0, images, rows[::-1]), (0, others, rows)]
    made = [features.cached(network(seed), opened, chosen, folder) for seed, opened, chosen in cases]
    np.testing.assert_array_equal(made[0], features.extract(network(0), images.images, rows))
    assert made[0].shape == (3, 64) and made[0].dtype == np.float32
    assert len([*folder.iterdir()]) == len([*folder.glob("chest_*.npy")]) == 4
    assert not any(np.array_equal(made[0], other) for other in made[1:])
    monkeypatch.setattr(features, "extract", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(features.cached(network(0), images, rows, folder), made[0])


def bottlenecks(size):
    """The blocks of a ResNet50: the second begins with two 1x1 convolutions of stride 2."""

    def conv(x, width, size, stride=1):
        return layers.BatchNormalization()(layers.Conv2D(width, size, stride, padding="same")(x))

    image = x = keras.Input((size, size, 3))
    x = layers.ReLU()(conv(x, 8, 3))
    for stride in (1, 2):
        y = layers.Activation("relu")(conv(x, 4, 1, stride))
        y = layers.Activation("relu")(conv(y, 4, 3))
        x = layers.Add()([conv(x, 8, 1, stride), conv(y, 8, 1)])
        x = layers.Activation("relu")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def normalised_twice(size):
    """Batch normalisations that follow no convolution, or a convolution with an activation, cannot be folded."""
    image = keras.Input((size, size, 3))
    x = layers.Conv2D(4, 3, activation="relu")(layers.BatchNormalization()(image))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x)))


def depthwise(size):
    """The blocks of a MobileNet: each filter of a depthwise convolution has two outputs."""
    image = keras.Input((size, size, 3))
    x = layers.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2, use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(8, 1)(x)))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


BACKBONES = {
    "bottlenecks": bottlenecks,
    "depthwise": depthwise,
    "normalised_twice": normalised_twice,
    **{name: lambda size, name=name: build.backbone(name, size) for name in ("small_resnet", "squeezenet", "resnet50")},
}


@pytest.mark.parametrize(
    ("name", "size_px", "precision"),
    [
        ("small_resnet", 32, "float32"), ("small_resnet", 31, "mixed_bfloat16"), ("squeezenet", 64, "mixed_bfloat16"),
        ("bottlenecks", 16, "float32"), ("bottlenecks", 16, "mixed_bfloat16"), ("bottlenecks", 15, "float32"),
        ("normalised_twice", 8, "float32"), ("depthwise", 16, "float32"), ("depthwise", 15, "mixed_bfloat16"),
        pytest.param("resnet50", 64, "float32", marks=pytest.mark.slow),
        pytest.param("resnet50", 70, "mixed_bfloat16", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_features_of_the_faster_copy_equal_those_of_the_backbone(name, size_px, precision):
    tolerance = {"float32": 1e-4, "mixed_bfloat16": 0.03}[precision]
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    backbone = randomised(BACKBONES[name](size_px), 1)
    pixels = np.random.default_rng(0).integers(0, 256, (5, size_px, size_px, 3)).astype("float32")
    expected = backbone.predict_on_batch(pixels).astype("float32")
    for compute in (features.inference(backbone), features.inference(backbone, constants=False)):
        assert compute(pixels).dtype == np.float32
        np.testing.assert_allclose(compute(pixels), expected, atol=tolerance * np.abs(expected).max())
        np.testing.assert_array_equal(compute(pixels), compute(pixels))


@on_tensorflow
@pytest.mark.parametrize("name", ["bottlenecks", "depthwise"])
def test_the_faster_copy_has_no_batch_normalisation(name):
    assert not any(
        isinstance(layer, layers.BatchNormalization) for layer in features._folded(BACKBONES[name](16)).layers
    )


@on_tensorflow
@pytest.mark.parametrize(
    ("size_px", "sides"), [(16, [16, 16, 8, 8, 8, 8, 8, 8, 8]), (15, [15, 15, 15, 15, 15, 8, 8, 8, 8])]
)
def test_the_faster_copy_computes_no_pixel_that_strided_convolutions_skip(size_px, sides):
    """The first convolution, and the 3x3 and both 1x1 ones at the end of the first block; of odd sides, none is left out."""
    convs = [layer for layer in features._folded(bottlenecks(size_px)).layers if isinstance(layer, layers.Conv2D)]
    assert sorted((layer.output.shape[1] for layer in convs), reverse=True) == sides


def test_the_faster_copy_does_not_change_while_the_network_trains():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("float32")
    backbone = network(0)
    model = loop.compiled(build.build(backbone, 2, 0.0))
    compute = features.inference(backbone)
    before = compute(pixels)
    model.train_on_batch(pixels, np.arange(8.0) % 2)
    np.testing.assert_array_equal(compute(pixels), before)
    assert np.abs(features.inference(backbone)(pixels) - before).max() > 1e-3


def test_networks_that_share_a_layer_run_unchanged():
    image, shared = keras.Input((16, 16, 3)), layers.Conv2D(3, 3, padding="same")
    twice = keras.Model(image, layers.GlobalAveragePooling2D()(shared(shared(image))))
    pixels = np.ones((2, 16, 16, 3), "float32")
    np.testing.assert_array_equal(features.inference(twice)(pixels), twice.predict_on_batch(pixels))
