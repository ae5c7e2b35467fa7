import numpy as np
import pytest
import saved_networks
from published import shorten

from catscans_lib import figures
from catscans_lib.inspection import filters
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks import build


def test_flat_filters_are_of_low_frequency_stripes_of_high_and_opposed_colours_are_not_grey():
    flat = np.ones((3, 3, 3))
    stripes = np.ones((3, 3, 3)) * np.array([1.0, -2.0, 1.0])[:, None, None]
    red_green = np.ones((3, 3, 3)) * [1.0, -1.0, 0.0]
    table = filters.numbers({"dtd": np.stack([flat, stripes, red_green, 0 * flat], axis=3)})
    assert table["norm"].tolist() == pytest.approx([np.sqrt(27), np.sqrt(54), np.sqrt(18), 0])
    assert table["low_frequency"].tolist() == pytest.approx([1, 0, 1, np.nan], nan_ok=True)
    assert table["grey"].tolist() == pytest.approx([1, 1, 0, np.nan], nan_ok=True, abs=1e-12)
    assert table["filter"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("side", "share"), [(3, 1 / 9), (7, 9 / 49), (11, 21 / 121)])
def test_noise_has_the_expected_shares(side, share):
    # below 0.25 cycles per pixel lie, of 7 x 7 frequencies, the 3 x 3 lowest; of 11 x 11, 5 x 5 without its corners
    assert filters.of_noise(side, side)["low_frequency"] == pytest.approx(share)
    noise = np.random.default_rng(0).normal(size=(side, side, 3, 4000))
    means = filters.numbers({"none": noise})[["low_frequency", "grey"]].mean()
    assert means.to_dict() == pytest.approx(filters.of_noise(side, side), abs=0.01)


def test_the_first_filters_are_those_of_the_first_convolution_also_in_a_nested_model(monkeypatch):
    shorten(monkeypatch)
    network = build.backbone("convnext_tiny", 32)
    stem = network.get_layer("convnext_tiny_stem").layers[-2]
    assert filters.first(network).shape == (4, 4, 3, 96)
    np.testing.assert_array_equal(filters.first(network), stem.get_weights()[0])


@pytest.mark.usefixtures("images")
def test_the_change_of_a_layer_is_relative_to_its_weights_before():
    networks = SourceNetworks("demo", "chest", ["dtd"])
    before = saved_networks.network(1)
    after = saved_networks.network(1)
    convolution = after.get_layer("backbone").get_layer("block2_conv1")
    convolution.set_weights([1.5 * convolution.get_weights()[0]])
    norm = after.get_layer("backbone").get_layer("conv1_bn")
    norm.set_weights([2 * array for array in norm.get_weights()])
    after.save(networks.model_path("dtd"))
    table = filters.changes(networks).set_index("layer")
    assert table.loc["block2_conv1", "change"] == pytest.approx(0.5, rel=1e-5)
    assert table["change"].drop("block2_conv1").tolist() == [0.0] * (len(table) - 1)
    kernels = [part for part in before.get_layer("backbone").layers if part.weights and "conv2d" in str(type(part))]
    assert table.index.tolist() == [part.name for part in kernels]
    assert table.loc["block2_conv1", "n_weights"] == 3 * 3 * 16 * 16
    ax = figures.change_heatmap(table.reset_index(), titles={"dtd": "Textures"})
    assert [text.get_text() for text in ax.texts] == ["0.0", "0.50", *["0.0"] * (len(table) - 2)]
