from itertools import permutations

import keras
import numpy as np
import pandas as pd
import pytest
from published import shorten

from catscans_lib import figures
from catscans_lib.errors import InputError
from catscans_lib.inspection import layer_similarity
from catscans_lib.networks import build


def gram(features):
    return features @ features.T


def by_definition(x, y):
    """The criterion as a mean over all ordered quadruples of different images (Song et al., 2012, equation 4)."""
    fours = list(permutations(range(len(x)), 4))
    return np.mean([x[i, j] * (y[i, j] + y[q, r] - 2 * y[i, q]) for i, j, q, r in fours])


def random_features(seed, n, n_features):
    return np.random.default_rng(seed).normal(size=(n, n_features))


def test_the_criterion_equals_its_definition_over_all_quadruples():
    features = random_features(0, 7, 30)  # more features than images, and of one scale more than of others
    x, y = gram(features * np.linspace(0.1, 3, 30) + 1), gram(random_features(1, 7, 5) ** 2)
    assert layer_similarity.hsic(x, y) == pytest.approx(by_definition(x, y))
    own = by_definition(x, x) * by_definition(y, y)
    assert layer_similarity.linear_cka(x, y) == pytest.approx(by_definition(x, y) / np.sqrt(own))


def test_constant_features_give_nan_and_three_images_are_too_few():
    same = np.ones((10, 10))
    assert np.isnan(layer_similarity.linear_cka(same, gram(random_features(0, 10, 3))))
    with pytest.raises(InputError, match="needs at least 4 images; got 3"):
        layer_similarity.linear_cka(same[:3, :3], same[:3, :3])


@pytest.mark.parametrize("name", ["small_resnet", "squeezenet", "efficientnet_b0"])
def test_the_last_layer_is_read_by_the_pooling(name, monkeypatch):
    shorten(monkeypatch)
    network = build.backbone(name, 64)
    last = network.get_layer(layer_similarity.last_layer(network))
    assert any(isinstance(node.operation, keras.layers.GlobalAveragePooling2D) for node in last._outbound_nodes)


@pytest.mark.parametrize("name", ["block2_out", "block4_out"])
def test_gram_matrices_are_those_of_maps_averaged_over_8_x_8_cells_for_any_batch_size(name, monkeypatch):
    monkeypatch.setattr(layer_similarity, "BATCH", 3)
    network = build.backbone("small_resnet", 32)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype("uint8")
    maps = np.asarray(keras.Model(network.input, network.get_layer(name).output)(images.astype("float32")))
    if name == "block2_out":
        maps = maps.reshape(5, 8, 2, 8, 2, 16).mean(axis=(2, 4))
    expected = gram(maps.reshape(5, -1) - maps.reshape(5, -1).mean(axis=0))
    np.testing.assert_allclose(layer_similarity.gram(network, images, name), expected, rtol=1e-4, atol=1e-4)


def test_sides_not_divisible_by_eight_are_cut_into_cells_of_nearly_equal_size():
    maps = np.arange(11.0)[None, :, None, None] * np.ones((1, 11, 3, 1))
    cells = layer_similarity._cells(maps).reshape(8, 3)
    assert cells[:, 0].tolist() == [0, 1, 2.5, 4, 5, 6.5, 8, 9.5]


def test_pairs_of_sources_are_compared_in_one_layer_and_before_and_after():
    grams = {source: gram(random_features(seed, 9, 4)) for seed, source in enumerate(("dtd", "none"))}
    table = layer_similarity.between(grams, "b").set_index(["source", "other"])
    value = layer_similarity.linear_cka(grams["dtd"], grams["none"])
    assert table["cka"].tolist() == pytest.approx([1, value, value, 1])
    kept = layer_similarity.kept(grams, {"dtd": grams["none"], "none": grams["none"]}).set_index("source")
    assert kept["cka"].to_dict() == pytest.approx({"dtd": value, "none": 1}) and set(kept["n_images"]) == {9}
    figures.set_style()
    ax = figures.cka_matrix(table.reset_index(), titles={"dtd": "Textures", "none": "random weights"})
    assert ax.get_title(loc="left") == "b"
    assert [text.get_text() for text in ax.texts] == ["1.00", f"{value:.2f}", f"{value:.2f}", "1.00"]


def test_images_to_compare_are_drawn_by_the_seed_one_per_group():
    table = pd.DataFrame({"group": list("aabbccdd")}, index=[3, 4, 8, 9, 10, 20, 21, 22])
    rows = layer_similarity.sample(table, 3, seed=0)
    assert sorted(rows) == rows.tolist()
    assert table.loc[rows, "group"].nunique() == len(rows) == 3
    assert layer_similarity.sample(table, 3, seed=0).tolist() == rows.tolist()
    assert len({tuple(layer_similarity.sample(table, 3, seed=seed)) for seed in range(10)}) > 1
    assert len(layer_similarity.sample(table, 200, seed=0)) == 4
