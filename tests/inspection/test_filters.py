import numpy as np
import pytest
import saved_networks
from published import shorten

from catscans_lib import figures
from catscans_lib.inspection import filters
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks import build


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
