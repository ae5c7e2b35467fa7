"""Features are computed once for the same weights and images, and anew for any other."""

import keras
import numpy as np
import pandas as pd
import pytest

from catscans_lib.images import store
from catscans_lib.networks import build, features


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


def test_features_are_kept_and_not_computed_again(images, tmp_path, monkeypatch):
    rows = np.array([4, 1, 5])
    first = features.cached(network(0), images, rows, tmp_path / "features")
    np.testing.assert_array_equal(first, features.extract(network(0), images.images, rows))
    assert first.shape == (3, 64) and first.dtype == np.float32
    monkeypatch.setattr(features, "extract", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(features.cached(network(0), images, rows, tmp_path / "features"), first)


def test_other_weights_other_rows_and_other_images_are_other_features(images, tmp_path):
    from dataclasses import replace

    rows = np.array([4, 1, 5])
    folder = tmp_path / "features"
    made = [
        features.cached(network(0), images, rows, folder),
        features.cached(network(1), images, rows, folder),
        features.cached(network(0), images, rows[::-1], folder),
        features.cached(network(0), replace(images, images=images.images[::-1], fingerprint="other"), rows, folder),
    ]
    assert len(list(folder.glob("chest_*.npy"))) == 4 and not list(folder.glob("*.part"))
    assert not any(np.array_equal(made[0], other) for other in made[1:])


def test_without_a_folder_nothing_is_kept(images, tmp_path):
    features.cached(network(0), images, np.arange(6), None)
    assert not (tmp_path / "features").exists()
