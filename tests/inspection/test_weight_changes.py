import pytest
import saved_networks

from catscans_lib import figures
from catscans_lib.inspection import weight_changes
from catscans_lib.inspection.networks import SourceNetworks


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
    table = weight_changes.relative(networks).set_index("layer")
    assert table.loc["block2_conv1", "change"] == pytest.approx(0.5, rel=1e-5)
    assert table["change"].drop("block2_conv1").tolist() == [0.0] * (len(table) - 1)
    kernels = [part for part in before.get_layer("backbone").layers if part.weights and "conv2d" in str(type(part))]
    assert table.index.tolist() == [part.name for part in kernels]
    assert table.loc["block2_conv1", "n_weights"] == 3 * 3 * 16 * 16
    ax = figures.change_heatmap(table.reset_index(), titles={"dtd": "Textures"})
    assert [text.get_text() for text in ax.texts] == ["0.0", "0.50", *["0.0"] * (len(table) - 2)]
