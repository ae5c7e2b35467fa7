import dataclasses
import sys

import keras
import numpy as np
import pytest

from catscans_lib.experiment import Pretrain
from catscans_lib.networks import build, registry

OTHERS = [info for name, info in registry.NETWORKS.items() if name.startswith("radimagenet_")]
APPLICATIONS = [info for info in registry.NETWORKS.values() if info.application and info not in OTHERS]
PIXELS = np.array([[[[0, 128, 255], [10, 100, 200]]]], "float32")


def test_every_network_of_keras_is_known_by_its_name_in_snake_case_and_every_record_is_complete():
    functions = {name for name, value in vars(keras.applications).items() if callable(value) and value.__name__ == name}
    assert {info.application for info in APPLICATIONS} == functions
    for info in APPLICATIONS:
        assert info.name.replace("_", "") == info.application.lower()
    assert {info.name for info in registry.NETWORKS.values() if not info.application} == {
        "small_resnet",
        "squeezenet",
        "efficientnet_lite0",
        "resnet18_torch",
        "resnet50_torch",
        "efficientnet_b0_torch",
        *registry.TRANSFORMERS,
    }
    for info in registry.NETWORKS.values():
        assert "arXiv:" in info.reference or "doi:" in info.reference
        assert all(value for key, value in dataclasses.asdict(info).items() if key != "application")


@pytest.mark.parametrize("info", APPLICATIONS, ids=lambda info: info.name)
def test_our_preprocessing_equals_that_of_keras(info):
    module = sys.modules[getattr(keras.applications, info.application).__module__]
    how = info.preprocessing
    ours = PIXELS * how.scale + how.offset
    theirs = module.preprocess_input(PIXELS.copy())
    if np.array_equal(theirs, PIXELS):  # Keras's network does it: tests/test_weights.py compares
        assert info.name.startswith(("convnext", "efficientnet", "mobilenet_v3"))
    else:
        np.testing.assert_allclose(ours[..., ::-1] if how.bgr else ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("info", APPLICATIONS, ids=lambda info: info.name)
def test_keras_accepts_no_smaller_images(info):
    too_small = (info.smallest_px - 1,) * 2
    with pytest.raises(ValueError, match=f"at least {info.smallest_px}"):
        getattr(keras.applications, info.application)(include_top=False, weights=None, input_shape=(*too_small, 3))


@pytest.mark.parametrize("name", ["small_resnet", "squeezenet", "mobilenet_v2", "xception"])
def test_a_network_accepts_its_smallest_size(name):
    size = registry.find(name).smallest_px
    features = build.backbone(name, size)(np.zeros((1, size, size, 3), "float32"))
    assert np.isfinite(features).all()


def test_networks_and_settings_refuse_an_unknown_name_and_too_small_images():
    for make in (build.backbone, lambda name, size_px: Pretrain(backbone=name, size_px=size_px)):
        with pytest.raises(ValueError, match="Unknown backbone 'vgg'; known: .*resnet50, .*small_resnet, .*vgg16"):
            make("vgg", 64)
        with pytest.raises(ValueError, match="'inception_v3' needs images of at least 75 px; got size_px 64"):
            make("inception_v3", 64)
