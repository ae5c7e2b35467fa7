"""A sweep whose two sources have different networks."""

import keras
import pytest
import tiny

from catscans_lib import paths, results

pytestmark = pytest.mark.slow  # ten runs


def test_a_source_with_a_network_of_its_own_is_pretrained_transferred_measured_and_looked_at(project):
    content = tiny.grid()
    content["datasets"] = {key: {"size_px": 32, "n_images": 180} for key in ("dtd", "chest", "kimia960")}
    content["pretrain"]["sources"] = {"dtd": {"epochs": 1}, "kimia960": {"epochs": 1, "backbone": "squeezenet"}}
    content["transfer"]["defaults"]["epochs"] = 1
    content["transfer"]["long_epochs"] = 2
    content["similarity"]["measures"] = ["logme", "leep", "mmd_rbf"]
    tiny.write_grid(project, content)
    swept = tiny.catscans(project, "sweep", "similarity/chest", "feature_maps/chest")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    for place in (paths.run_dir("demo", "pretrain", "kimia960"), paths.run_dir("demo", "transfer", "kimia960--chest")):
        network = keras.models.load_model(place / "model.keras").get_layer("backbone")
        assert "fire9_concat" in [layer.name for layer in network.layers]
    predictions = results.table("demo", "transfer", "kimia960--chest", "predictions")
    assert set(predictions["mode"]) == {"fine_tune", "linear_probe"}
    values = results.table("demo", "similarity", "chest", "similarity")
    of_own = values[values["source"] == "kimia960"].set_index("measure")
    assert of_own["probe"].fillna("").to_dict() == {"mmd_rbf": "dtd", "logme": "", "leep": ""}
    alike = results.table("demo", "feature_maps", "chest", "cka")
    assert set(alike["source"]) == {"dtd", "none", "other"}
    assert set(results.table("demo", "feature_maps", "chest", "figures/grad_cam")["source"]) == {
        "dtd",
        "none",
        "kimia960",
    }
    said = (paths.run_dir("demo", "feature_maps", "chest") / "feature_maps.ipynb").read_text()
    assert "Left out of comparisons of layers and weights: kimia960" in said
