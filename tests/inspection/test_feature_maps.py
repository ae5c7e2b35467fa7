import shutil

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import saved_networks
from published import assert_same_weights, shorten

from catscans_lib import figures, paths
from catscans_lib.errors import InputError
from catscans_lib.experiment import Transfer, transfer
from catscans_lib.inspection import feature_maps
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks import build


def test_a_nested_model_as_first_layer_gives_its_output(monkeypatch):
    shorten(monkeypatch)
    network = build.backbone("convnext_tiny", 32)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("uint8")
    by_hand = network.get_layer("convnext_tiny_stem")(network.get_layer("preprocess")(image))
    np.testing.assert_allclose(feature_maps.activations(network, image), by_hand, atol=1e-5)


def test_an_unknown_layer_or_one_without_maps_is_answered_with_the_layers_with_maps():
    network = build.backbone("small_resnet", 16)
    image = np.zeros((1, 16, 16, 3), "uint8")
    assert feature_maps.activations(network, image, "block3_out").shape == (1, 4, 4, 32)
    for layer in ("conv9", "features"):
        with pytest.raises(InputError, match=f"No layer '{layer}' with feature maps; the network has: .*block2_out"):
            feature_maps.activations(network, image, layer)


def test_images_are_the_named_ones_in_their_order_or_the_first_of_each_class(images):
    assert feature_maps.chosen(images)["image_id"].tolist() == ["i00", "i03"]
    named = feature_maps.chosen(images, ["i20", "i01"])
    assert named["image_id"].tolist() == ["i20", "i01"]
    assert named.index.tolist() == [20, 1]
    with pytest.raises(InputError, match="No image 'x9' in chest, which has 24; some of them: i00, i04, i08"):
        feature_maps.chosen(images, ["i01", "x9"])


def test_networks_are_the_saved_ones_and_random_weights_those_before_the_transfer(images):
    networks = SourceNetworks("demo", "chest", ["dtd", "none"])
    saved = (("dtd", "pretrain", "dtd"), ("dtd", "transfer", "dtd--chest"), ("none", "transfer", "none--chest"))
    for source, step, name in saved:
        model = keras.models.load_model(paths.run_dir("demo", step, name) / "model.keras").get_layer("backbone")
        assert_same_weights((networks.pretrained if step == "pretrain" else networks.fine_tuned)(source), model)
    start = transfer.source_backbone(Transfer(**saved_networks.PARAMETERS, source="none"), 7, None)
    assert not np.array_equal(networks.random(8).get_weights()[0], start.get_weights()[0])
    assert_same_weights(networks.pretrained("none"), start)


def test_sources_with_another_network_than_most_are_named_and_left_out_of_comparisons_of_layers(images):
    run = paths.run_dir("demo", "transfer", "dtd--chest") / "run.json"
    shutil.copytree(run.parent, run.parents[1] / "kimia960--chest")
    assert SourceNetworks("demo", "chest", ["dtd", "none", "kimia960"]).left_out() == ""
    run.write_text(run.read_text().replace("small_resnet", "squeezenet"))
    networks = SourceNetworks("demo", "chest", ["dtd", "none", "kimia960"])
    assert networks.alike == ["none", "kimia960"]
    assert networks.left_out() == (
        "Left out of comparisons of layers and weights: dtd; their networks are not the small residual network of the others."
    )
    shutil.copytree(paths.run_dir("demo", "pretrain", "dtd"), paths.run_dir("demo", "pretrain", "kimia960"))
    assert list(feature_maps.of_sources(networks, images.images[:1], None, 2)) == networks.alike


def test_linear_probes_leave_no_fine_tuned_network_and_a_missing_transfer_is_named(images):
    assert SourceNetworks("demo", "chest", ["dtd", "none"]).are_fine_tuned
    (paths.run_dir("demo", "transfer", "dtd--chest") / "model.keras").unlink()
    assert not SourceNetworks("demo", "chest", ["dtd", "none"]).are_fine_tuned
    assert SourceNetworks("demo", "chest", ["none"]).are_fine_tuned
    with pytest.raises(InputError, match="transfer/imagenet--chest is not done in profile demo. Make it: "):
        SourceNetworks("demo", "chest", ["dtd", "imagenet"])


def test_the_channels_that_vary_most_come_first_and_are_the_same_for_every_image(images):
    networks = SourceNetworks("demo", "chest", ["dtd", "none"])
    maps = feature_maps.of_sources(networks, images.images[:2], "conv1", 3)
    assert {source: here.shape for source, here in maps.items()} == {"dtd": (2, 16, 16, 3), "none": (2, 16, 16, 3)}
    every = feature_maps.activations(networks.pretrained("dtd"), images.images[:2], "conv1")
    spread = [np.std(every[0, :, :, n]) + np.std(every[1, :, :, n]) for n in range(16)]
    order = sorted(range(16), key=lambda n: -spread[n])
    np.testing.assert_array_equal(maps["dtd"], every[..., order[:3]])


def test_a_grid_shows_maps_in_its_cells():
    image, maps = np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4, 2))
    maps[0, 0, 0] = 1.0
    titles = {"dtd": "Textures", "none": "random weights"}
    figure = figures.feature_map_grid(image, {"dtd": maps, "none": maps}, titles=titles)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    dark, bright = (plt.colormaps["cividis"](at, bytes=True)[:3] for at in (0.0, 1.0))
    assert (sheet[52:100, :48] == 0).all()  # second row: the image, then maps of 48 pixels, 4 apart
    assert tuple(sheet[52, 52]) == tuple(sheet[63, 63]) == bright
    assert tuple(sheet[64, 52]) == tuple(sheet[52, 104]) == dark
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["Textures", "random weights", "image", "map 1", "map 2"]


def test_a_grad_cam_grid_marks_right_and_wrong_answers_and_overlays_positive_heat_only():
    images = np.full((2, 8, 8, 3), 100, np.uint8)
    heat = np.array([[[1.0, -1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    answers = pd.DataFrame(
        {"source": "dtd", "label": ["a", "b"], "predicted": ["a", "a"], "score": [0.9, 0.8], "right": [True, False]}
    )
    figure = figures.grad_cam_grid(images, answers, {"dtd": heat}, answers, titles={"dtd": "Textures"})
    ax = figure.axes[0]
    texts = {text.get_text(): text.get_color() for text in ax.texts}
    assert texts["✓ a 0.90"] == figures.COLOURS[0]
    assert texts["✗ a 0.80"] == figures.COLOURS[1]
    sheet = np.asarray(ax.images[0].get_array())
    row = round(48 * 1.3)
    assert sheet[row, 0].tolist() != [100, 100, 100]
    assert sheet[row + 47, 47].tolist() == sheet[row, 52].tolist() == [100, 100, 100]
