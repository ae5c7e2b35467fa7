"""State dicts of torchvision and timm compute here what they compute there; another network's are told apart.

EXPECTED was computed once by timm 1.0.31 on PyTorch 2.13.0 (CPU): some pooled features of two images of noise, standardised with
ImageNet's mean and SD, with weights drawn as below. torchvision 0.28.0 gave the same, for EfficientNet with its own names.
"""

import re

import numpy as np
import pytest
from published import keras_network, publish, randomised

from catscans_lib.errors import InputError
from catscans_lib.networks import build, registry, torch_files, weights
from catscans_lib.networks.weight_files import Stored

COLUMNS = [0, 100, 200, 300, 400, 511]
EXPECTED = {  # features COLUMNS of two images, and the factor of the scales
    "resnet18_torch": (0.4, [
        [0.04113, 0.03497, 0.0, 0.27183, 0.15939, 0.19226], [0.03621, 0.03193, 0.0, 0.29638, 0.18223, 0.18475],
    ]),
    "resnet50_torch": (0.4, [
        [0.00233, 0.13104, 0.29191, 0.71501, 0.20947, 0.51283], [0.00234, 0.13069, 0.29192, 0.71681, 0.20974, 0.50332],
    ]),
    "densenet121": (0.8, [
        [0.0, 0.0, 0.09613, 0.0, 0.01175, 0.15843], [0.0, 0.0, 0.09155, 0.0, 0.08428, 0.21622],
    ]),
    "efficientnet_b0_torch": (0.9, [
        [-0.0239, 0.09845, -0.12366, 0.39817, -0.16475, 0.04214], [-0.02337, 0.10065, -0.12632, 0.39725, -0.166, 0.04272],
    ]),
}  # fmt: skip
DENSE = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
ENDS = {"conv1_conv": "features.conv0", "conv1_bn": "features.norm0", "bn": "features.norm5"}


def original(layer):
    """Return the name of a layer of ours in timm's state dict."""
    if match := re.fullmatch(r"conv(\d)_block(\d+)_(.+)", layer):
        return f"features.denseblock{int(match[1]) - 1}.denselayer{match[2]}.{DENSE[match[3]]}"
    if match := re.fullmatch(r"pool(\d)_(bn|conv)", layer):
        return f"features.transition{int(match[1]) - 1}.{match[2].replace('bn', 'norm')}"
    if layer in ENDS:
        return ENDS[layer]
    return re.sub(r"(layer\d|blocks_\d)_(\d+)_", r"\1.\2.", layer).replace("_se_", "_se.").replace(
        "blocks_", "blocks."
    ).replace(".se_", ".se.").replace("downsample_", "downsample.")  # fmt: skip


def drawn(network, gain):
    """Return a state dict of random numbers, which depend on the names alone."""
    state = {}
    for layer in (layer for layer in network.layers if layer.weights):
        name, kernel = original(layer.name), layer.get_weights()[0]
        if kernel.ndim == 4:
            axes = (2, 3, 0, 1) if "Depthwise" in type(layer).__name__ else (3, 2, 0, 1)
            shapes = {"weight": kernel.transpose(axes).shape} | ({"bias": kernel.shape[-1:]} if layer.use_bias else {})
        else:
            shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), kernel.shape)
        for part, shape in shapes.items():
            rng = np.random.default_rng(list(f"{name}.{part}".encode()))
            if len(shape) > 1:
                found = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
            elif part in ("weight", "running_var"):
                found = (gain if part == "weight" else 1) * rng.uniform(0.5, 1.5, shape)
            else:
                found = 0.1 * rng.normal(size=shape)
            state[f"{name}.{part}"] = found.astype("float32")
    return state


def fill(network, name, state):
    weights._fill(network, name, Stored(torch_files.layers(state), ordered=False, own=False), "Weights file 'a.pth'")


def by_torchvision(name):
    """Return the name in torchvision's EfficientNet for one in timm's."""
    ends = {"conv_stem": "0.0", "bn1": "0.1", "conv_head": "8.0", "bn2": "8.1"}
    match = re.fullmatch(r"blocks\.(\d)\.(\d)\.(.+)\.(\w+)", name)
    if not match:
        layer, _, part = name.rpartition(".")
        return f"features.{ends[layer]}.{part}"
    parts = ["conv_pw bn1", "conv_dw bn2", "se.conv_reduce se.conv_expand", "conv_pwl bn3"]
    parts = ["conv_dw bn1", parts[2], "conv_pw bn2"] if match[1] == "0" else parts
    at = next(number for number, pair in enumerate(parts) if match[3] in pair.split())
    which = ("fc1", "fc2") if "se." in match[3] else ("0", "1")
    place = which[parts[at].split().index(match[3])]
    return f"features.{int(match[1]) + 1}.{match[2]}.block.{at}.{place}.{match[4]}"


@pytest.mark.parametrize("name", EXPECTED)
def test_features_are_those_of_the_original(name):
    network, (gain, expected) = build.backbone(name, 52), EXPECTED[name]
    state = drawn(network, gain)
    images = np.random.default_rng(1).integers(0, 256, (2, 52, 52, 3)).astype("float32")
    dicts = [state]
    if name.startswith("efficientnet"):
        dicts.append({by_torchvision(key): array for key, array in state.items()})
    if name == "densenet121":  # older files of torchvision
        dicts.append({re.sub(r"(layer\d+\.\w{4})(\d)", r"\1.\2", key): array for key, array in state.items()})
    for given in dicts:
        network.set_weights([np.zeros_like(array) for array in network.get_weights()])
        fill(network, name, given | {"fc.weight": np.ones((1000, 4), "float32")})
        np.testing.assert_allclose(np.asarray(network(images))[:, COLUMNS], expected, rtol=0, atol=1e-4)


def test_a_state_dict_of_another_network_names_its_first_layers_and_the_network_that_it_fits():
    state = drawn(build.backbone("resnet18_torch", 32), 1.0)
    with pytest.raises(
        InputError, match="is not for DenseNet121: it has no layer 'conv1_conv'. The file begins with the"
    ) as told:
        fill(build.backbone("densenet121", 32), "densenet121", state)
    assert "layers conv1, bn1, layer1_0_conv1. It fits backbone: resnet18_torch" in str(told.value)
    with pytest.raises(InputError, match=r"begins with the layers stem, head\.$"):
        fill(
            build.backbone("resnet18_torch", 32),
            "resnet18_torch",
            {"stem.weight": np.ones(3), "head.weight": np.ones(3)},
        )


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "inception_v3", "inception_resnet_v2")]


@pytest.mark.parametrize("name", ["resnet50", *SLOW])
def test_radimagenet_s_files_get_the_preprocessing_of_its_scripts(name, tmp_path):
    """There, `ImageDataGenerator` calls `imagenet_utils.preprocess_input` (Caffe's) and divides by 255."""
    from keras.applications.imagenet_utils import preprocess_input

    size = max(registry.find(name).smallest_px, 48)
    theirs = randomised(keras_network(name, size))
    publish(theirs, tmp_path, name)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")
    expected = np.asarray(theirs(preprocess_input(images.copy()) / 255))
    network = build.backbone(f"radimagenet_{name}", size)
    weights.load_weights(network, f"radimagenet_{name}", f"{name}_notop.h5", tmp_path)
    np.testing.assert_allclose(network(images), expected, rtol=0, atol=1e-4 * abs(expected).max())
    with pytest.raises(InputError, match=f"Keras offers no ImageNet weights for 'radimagenet_{name}'"):
        registry.check_weights(f"radimagenet_{name}", "keras")
