"""EfficientNet-Lite0 computes what the original network computes, and its published weights are found and recognised.

The expected features were computed once by the PyPI package efficientnet-lite-pytorch 0.1.0 on PyTorch 2.13.0 (CPU), with the
image size set to that of the images: some of the pooled features of two images of noise, (value - 127) / 128.
"""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from torch_saver import fake_torch, save_arrays

from catscans_lib.errors import InputError
from catscans_lib.networks import build, registry, torch_files, weights

NAME = "efficientnet_lite0"
PACKAGE = registry.PACKAGES[NAME]
needs_package = pytest.mark.skipif(
    not importlib.util.find_spec(PACKAGE.name.replace("-", "_")), reason=f"needs the package {PACKAGE.name}"
)
COLUMNS = [0, 287, 468, 634, 788, 887, 1084, 1277]
EXPECTED = {  # features COLUMNS of two images
    ("published", 64): [
        [0.73625, 0.19768, 2.1157, 0.29875, 0.06719, 1.22541, 1.81608, 0.89174],
        [1.07262, 0.47958, 2.09738, 1.00525, 0.42394, 0.23257, 2.23309, 0.22921],
    ],
    ("published", 50): [
        [0.79098, 0.20818, 1.95424, 2.79314, 1.82387, 0.21702, 0.20699, 1.38212],
        [1.53495, 1.19414, 1.49474, 2.81325, 0.78868, 0.54269, 1.74427, 1.5423],
    ],
    ("drawn", 64): [
        [5.6673, 0.49913, 0.47259, 0.51252, 0.82865, 1.54328, 0.2355, 0.31373],
        [5.57857, 0.80516, 0.76822, 0.2584, 0.17099, 0.91625, 0.40236, 0.2537],
    ],
    ("drawn", 50): [
        [4.40356, 0.36353, 0.74874, 1.0454, 1.02074, 1.16631, 0.27555, 0.74286],
        [3.82128, 0.45535, 0.28906, 0.38109, 0.27891, 0.41732, 0.34479, 0.60735],
    ],
}
# rows of ImageNet's classes, as its list of 1,000 orders them
ROWS = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497, "n03394916": 566, "n03417042": 569,
    "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def images(size):
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype("float32")


def assert_expected(network, which, size):
    features = np.asarray(network(images(size)))
    np.testing.assert_allclose(features[:, COLUMNS], EXPECTED[which, size], rtol=0, atol=1e-4)


def names_and_shapes(network):
    """Return the shapes of the original's state dict, by name and in its order."""
    for layer in network.layers:
        block, _, part = layer.name.removeprefix("blocks_").partition("_")
        name = f"_blocks.{block}._{part}" if layer.name.startswith("blocks_") else f"_{layer.name}"
        if "conv" in name:
            rows, columns, *channels = layer.get_weights()[0].shape
            yield f"{name}.weight", (*(channels if "depthwise" in name else channels[::-1]), rows, columns)
        elif layer.weights:
            for part in ("weight", "bias", "running_mean", "running_var"):
                yield f"{name}.{part}", layer.gamma.shape
    yield from (("_fc.weight", (1000, 1280)), ("_fc.bias", (1000,)))


def drawn(network):
    """Return a state dict of random numbers, as the oracle got it."""
    rng, state = np.random.default_rng(0), {}
    for name, shape in names_and_shapes(network):
        if len(shape) > 1:
            found = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("running_var", "weight")):
            found = rng.uniform(0.5, 1.5, shape)
        else:
            found = 0.1 * rng.normal(size=shape)
        state[name] = found.astype("float32")
    return state


def test_with_random_weights_its_features_are_those_of_the_original(tmp_path, monkeypatch):
    fake_torch(monkeypatch)
    network = build.backbone(NAME, 64)
    assert (network.count_params(), network.output_shape) == (3_413_024, (None, 1280))
    save_arrays(tmp_path / "drawn.pth", drawn(network))
    assert weights.load_weights(network, NAME, "drawn.pth", tmp_path).startswith("drawn.pth sha256:")
    assert_expected(network, "drawn", 64)
    odd = build.backbone(NAME, 50)  # maps of 25, 13 and 7 pixels
    odd.set_weights(network.get_weights())
    assert_expected(odd, "drawn", 50)
    with pytest.raises(InputError, match="'drawn.pth' is not for SqueezeNet 1.1: it has no layer 'conv1'"):
        weights.load_weights(build.backbone("squeezenet", 64), "squeezenet", "drawn.pth", tmp_path)


@needs_package
def test_with_the_published_weights_its_features_are_those_of_the_original():
    for size in (64, 50):
        network = build.backbone(NAME, size)
        came_from = weights.load_weights(network, NAME, NAME, None)
        assert_expected(network, "published", size)
    assert came_from == f"{PACKAGE.name}, efficientnet-lite0-57934424.pth sha256:{PACKAGE.sha256}"


@needs_package
def test_the_published_network_knows_the_classes_of_real_photographs(realdata):
    network = build.backbone(NAME, 224)
    weights.load_weights(network, NAME, NAME, None)
    kernel, bias = torch_files.layers(torch_files.read(PACKAGE.path()))["fc"]
    files = [path for wnid in ROWS for path in sorted((realdata / "imagenet" / wnid).iterdir())[:10]]
    pixels = np.stack([Image.open(path).convert("RGB").resize((224, 224)) for path in files]).astype("float32")
    logits = network.predict(pixels, batch_size=20, verbose=0) @ kernel + bias
    answers = np.argmax(logits[:, list(ROWS.values())], axis=1)
    assert np.mean(answers == np.repeat(np.arange(10), 10)) > 0.9  # the original: 0.985 of all 400


def test_weights_that_are_not_installed_or_not_the_published_ones_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match=f"is missing; install it: .venv/bin/pip install {PACKAGE.name}"):
        PACKAGE.path()
    file = tmp_path / PACKAGE.name.replace("-", "_") / PACKAGE.file
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    importlib.invalidate_caches()
    with pytest.raises(InputError, match=f"{file.name} of {PACKAGE.name} is missing; needed is 579344248a93"):
        PACKAGE.path()
    file.write_bytes(b"other")
    with pytest.raises(InputError, match="has the SHA-256 d9298a10d1b0.*; needed is 5793.* Install the package again"):
        weights.load_weights(keras.Sequential(), NAME, NAME, None)


def test_weights_of_a_package_are_for_their_network_alone():
    registry.check_weights(NAME, NAME)
    registry.check_weights("squeezenet", "own.h5")
    with pytest.raises(InputError, match=f"'{NAME}' are not for backbone 'resnet50'. Set backbone: {NAME}"):
        registry.check_weights("resnet50", NAME)
    with pytest.raises(InputError, match="Keras offers no ImageNet weights for 'efficientnet_lite0'. Put a file"):
        registry.check_weights(NAME, "keras")
    assert [registry.is_file(given) for given in (None, "keras", NAME, "own.h5")] == [False, False, False, True]
