"""Weights files are read as arrays; whatever could run code is refused before anything is built."""

import json
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest
from published import write_older

from catscans_lib.errors import InputError
from catscans_lib.networks import weight_files


class Evil:
    """Creates a folder when unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return type(self.trace).mkdir, (self.trace,)


def network(extra=()):
    return keras.Sequential(
        [keras.Input((8, 8, 3)), *extra, keras.layers.Conv2D(4, 3, name="first"), keras.layers.BatchNormalization(name="bn")]
    )  # fmt: skip


def rewritten(path, **members):
    """Change some members of a `.keras` archive."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (kept | members).items():
            archive.writestr(name, content)


def test_all_layouts_of_keras_give_the_same_arrays(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "whole.h5")
    write_older(tmp_path / "older.h5", {layer.name: layer.get_weights() for layer in model.layers})
    for name in ("model.keras", "model.weights.h5", "whole.h5", "older.h5"):
        stored = weight_files.read(tmp_path / name)
        assert stored.ordered is (name in ("whole.h5", "older.h5"))
        assert list(stored.layers) == ["first", "bn"] if stored.ordered else {*stored.layers} == {"first", "bn"}
        for layer in model.layers:
            for one, two in zip(stored.layers[layer.name], layer.get_weights(), strict=True):
                np.testing.assert_array_equal(one, two)


def test_a_whole_model_of_tf_keras_with_a_suffix_in_capitals_is_read(tmp_path):
    """The package tf_keras writes its own name as the module of every layer."""
    model = network()
    model.save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5", "a") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"keras', '"tf_keras')
        assert '"module": "tf_keras"' in file.attrs["model_config"]
    (tmp_path / "whole.h5").rename(tmp_path / "MODEL.H5")
    stored = weight_files.read(tmp_path / "MODEL.H5")
    np.testing.assert_array_equal(stored.layers["first"][0], model.get_layer("first").get_weights()[0])


def test_a_list_of_names_split_over_attributes_is_joined(tmp_path):
    write_older(tmp_path / "long.h5", {"first": [np.ones(2)], "fire/second": [np.ones(3)]})
    with h5py.File(tmp_path / "long.h5", "a") as file:
        del file.attrs["layer_names"]
        file.attrs.update(layer_names0=np.array(["first"], "S"), layer_names1=np.array(["fire/second"], "S"))
    assert list(weight_files.read(tmp_path / "long.h5").layers) == ["first", "fire_second"]


def test_only_the_backbone_of_a_model_is_read(tmp_path):
    inner = keras.Model(*(lambda x: (x, keras.layers.Dense(2, name="inside")(x)))(keras.Input((3,))), name="backbone")
    model = keras.Sequential([inner, keras.layers.Dense(1, name="head")])
    model.save(tmp_path / "model.keras")
    stored = weight_files.read(tmp_path / "model.keras")
    assert (list(stored.layers), stored.own) == (["inside"], False)


def test_a_lambda_in_an_archive_or_a_whole_model_is_refused(tmp_path):
    model = network(extra=[keras.layers.Lambda(lambda x: x * 2)])
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        with pytest.raises(InputError, match=f"'{name}' has a layer 'Lambda', which runs its own code; refused"):
            weight_files.read(tmp_path / name)


def test_a_class_that_is_not_part_of_keras_is_refused_and_never_imported(tmp_path):
    network().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"].append({"module": "os", "class_name": "system", "config": {}, "registered_name": None})
    rewritten(tmp_path / "model.keras", **{"config.json": json.dumps(config)})
    with pytest.raises(InputError, match="'model.keras' has 'system', which is not part of Keras; refused"):
        weight_files.read(tmp_path / "model.keras")


def test_a_custom_loss_is_ignored(tmp_path):
    @keras.saving.register_keras_serializable("own")
    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(y_true - y_pred)

    model = network()
    model.compile(loss=Loss())
    model.save(tmp_path / "model.keras")
    assert {*weight_files.read(tmp_path / "model.keras").layers} == {"first", "bn"}


@pytest.mark.parametrize("name", ["weights.h5", "weights.keras", "weights.pkl", "inside.keras"])
def test_a_pickle_is_not_opened_under_any_name_nor_inside_an_archive(tmp_path, name):
    evil = pickle.dumps(Evil(tmp_path / "run"))
    if name == "inside.keras":
        network().save(tmp_path / name)
        rewritten(tmp_path / name, **{"model.weights.h5": evil})
    else:
        (tmp_path / name).write_bytes(evil)
    with pytest.raises(InputError, match=f"'{name}'.*could run code"):
        weight_files.read(tmp_path / name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("config", ["[]", "not JSON", "{}"])
def test_an_archive_that_is_not_from_keras_is_refused(tmp_path, config):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(InputError, match="'model.keras' is not a weights file of Keras"):
        weight_files.read(tmp_path / "model.keras")


def test_a_file_that_links_to_another_or_has_no_numeric_arrays_is_refused(tmp_path):
    write_older(tmp_path / "other.h5", {"first": [np.ones(2)]})
    write_older(tmp_path / "link.h5", {"first": []})
    with h5py.File(tmp_path / "link.h5", "a") as file:
        file["first"].attrs["weight_names"] = np.array(["kernel"], "S")
        file["first/kernel"] = h5py.ExternalLink("other.h5", "first/first/part0:0")
    write_older(tmp_path / "text.h5", {"first": [np.array(["a"], "S")]})
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = np.zeros(3)
    for name in ("link.h5", "text.h5", "images.h5"):
        with pytest.raises(InputError, match=f"'{name}' is not a weights file of Keras"):
            weight_files.read(tmp_path / name)
