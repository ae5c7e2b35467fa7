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


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("small_resnet", ["conv1_relu", "block2_out", "block3_out", "block4_out"]),
        ("squeezenet", ["conv1", "fire3_concat", "fire5_concat", "fire9_concat"]),
        ("efficientnet_b0", ["block2a_expand_activation", "top_activation"]),
    ],
)
def test_stages_end_where_maps_get_smaller_and_at_the_pooling(name, ends, monkeypatch):
    shorten(monkeypatch)
    network = build.backbone(name, 64)
    found = layer_similarity.stage_ends(network)
    assert found[: len(ends) - 1] == ends[:-1]
    assert found[-1] == ends[-1]
    last = next(layer for layer in network.layers if layer.name == found[-1])
    assert any(isinstance(node.operation, keras.layers.GlobalAveragePooling2D) for node in last._outbound_nodes)


def test_gram_matrices_are_those_of_maps_averaged_over_8_x_8_cells_for_any_batch_size(monkeypatch):
    monkeypatch.setattr(layer_similarity, "BATCH", 3)
    network = build.backbone("small_resnet", 32)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype("uint8")
    found = layer_similarity.grams(network, images, ["block2_out", "block4_out"])
    outputs = [network.get_layer(name).output for name in found]
    large, small = (np.asarray(maps) for maps in keras.Model(network.input, outputs)(images.astype("float32")))
    means = large.reshape(5, 8, 2, 8, 2, 16).mean(axis=(2, 4))
    for maps, name in ((means, "block2_out"), (small, "block4_out")):
        features = maps.reshape(5, -1) - maps.reshape(5, -1).mean(axis=0)
        np.testing.assert_allclose(found[name], gram(features), rtol=1e-4, atol=1e-4)


def test_sides_not_divisible_by_eight_are_cut_into_cells_of_nearly_equal_size():
    maps = np.arange(11.0)[None, :, None, None] * np.ones((1, 11, 3, 1))
    cells = layer_similarity._cells(maps).reshape(8, 3)
    assert cells[:, 0].tolist() == [0, 1, 2.5, 4, 5, 6.5, 8, 9.5]


def test_pairs_of_sources_are_compared_in_one_layer_and_before_and_after_in_every_one():
    grams = {
        source: {layer: gram(random_features(seed + 10 * at, 9, 4)) for at, layer in enumerate(("a", "b"))}
        for seed, source in enumerate(("dtd", "none"))
    }
    table = layer_similarity.between(grams, "b").set_index(["source", "other"])
    value = layer_similarity.linear_cka(grams["dtd"]["b"], grams["none"]["b"])
    assert table["cka"].tolist() == pytest.approx([1, value, value, 1])
    after = {"dtd": grams["none"], "none": grams["none"]}
    kept = layer_similarity.kept(grams, after).set_index(["source", "layer"])
    assert kept.loc[("none", "a"), "cka"] == pytest.approx(1)
    assert kept.loc[("dtd", "b"), "cka"] == pytest.approx(value)
    assert set(kept["n_images"]) == {9}
    titles = {"dtd": "Textures", "none": "random weights"}
    figures.set_style()
    ax = figures.cka_matrix(table.reset_index(), titles=titles)
    assert ax.get_title(loc="left") == "b"
    assert [text.get_text() for text in ax.texts] == ["1.00", f"{value:.2f}", f"{value:.2f}", "1.00"]
    ax = figures.kept_heatmap(kept.reset_index(), titles=titles)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Textures", "random weights"]
    assert [text.get_text() for text in ax.texts][2:] == ["1.00", "1.00"]


def test_images_to_compare_are_drawn_by_the_seed_one_per_group():
    table = pd.DataFrame({"group": list("aabbccdd")}, index=[3, 4, 8, 9, 10, 20, 21, 22])
    rows = layer_similarity.sample(table, 3, seed=0)
    assert sorted(rows) == rows.tolist()
    assert table.loc[rows, "group"].nunique() == len(rows) == 3
    assert layer_similarity.sample(table, 3, seed=0).tolist() == rows.tolist()
    assert len({tuple(layer_similarity.sample(table, 3, seed=seed)) for seed in range(10)}) > 1
    assert len(layer_similarity.sample(table, 200, seed=0)) == 4
