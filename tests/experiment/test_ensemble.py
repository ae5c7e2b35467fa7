"""`catscans predict`: the networks that a transfer kept of all folds predict a user's images."""

import json
import os
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import saved_networks
from click.testing import CliRunner
from PIL import Image

from catscans_lib import paths
from catscans_lib.cli.main import main
from catscans_lib.experiment.ensemble import Ensemble
from catscans_lib.images import pixels
from catscans_lib.networks import build
from catscans_lib.training import loop

FROM = ["--from", "transfer/dtd--chest"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A project with a transfer that kept two networks, a folder of images, and the networks."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        saved_networks.make(folder)
        run = paths.run_dir("demo", "transfer", "dtd--chest")
        (run / "networks").mkdir()
        networks = [saved_networks.network(seed) for seed in (5, 6)]
        for number, network in enumerate(networks, start=1):
            network.save(run / "networks" / f"seed0-fold{number}.keras")
        place = saved_networks.record("ingest", "chest")
        facts = {"status": "completed", "parameters": {"resize": "crop"}, "value_range": [0.0, 4095.0]}
        (place / "run.json").write_text(json.dumps(facts))
    images = folder / "new"
    (images / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b/a.png", "b/wide.png"):
        size = (20, 40) if "wide" in name else (30, 30)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype("uint8")).save(images / name)
    Image.fromarray(rng.integers(0, 2000, (30, 30)).astype("uint16")).save(images / "deep.png")
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (images / "list.csv").write_text("a")
    (images / ".DS_Store").write_text("")
    return folder, images, networks


@pytest.fixture
def called(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(kept[0]))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["predict", *map(str, words)])


def test_probabilities_are_the_mean_of_the_networks_on_images_read_as_those_of_the_target(called, kept, tmp_path):
    _, images, networks = kept
    done = called(images, *FROM, "--csv", "out.csv", "--grad-cam", "heat")
    assert done.exit_code == 0, done.output
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found["image_id"]) == ["a.png", "b/a.png", "b/wide.png", "deep.png"]
    squares = [
        pixels.square(pixels.read((images / name).read_bytes()), saved_networks.SIZE, "crop")
        for name in found["image_id"]
    ]
    deep = np.clip(squares[3] / 4095, 0, 1) * 255  # the range of the target's images, not of these
    squares[3] = np.repeat(deep.round()[..., None], 3, axis=2)
    batch = np.stack(squares).astype("float32")
    expected = np.mean([loop.probabilities(np.asarray(network(batch))) for network in networks], axis=0)
    np.testing.assert_allclose(found[["score_NORMAL", "score_PNEUMONIA"]], expected, atol=1e-4)
    assert list(found["most_probable"]) == list(np.array(saved_networks.CLASSES)[expected.argmax(axis=1)])
    assert "Wrote out.csv: mean of 2 networks of transfer/dtd--chest, profile demo." in done.output
    assert (
        "Read: 4 images.\nLeft out: 2.\n" in done.output and "broken.jpg" in done.output and "list.csv" in done.output
    )
    pictures = {path.relative_to(tmp_path / "heat").as_posix() for path in (tmp_path / "heat").rglob("*.png")}
    assert pictures == {f"{image_id}.png" for image_id in found["image_id"]}
    assert called(images, *FROM, "--strict").exit_code == 2


def test_a_transfer_without_networks_names_the_setting_and_the_command_that_keep_them(called, kept):
    said = called(kept[1], "--from", "none--chest").output
    assert "transfer/none--chest of profile demo kept no networks of mode fine_tune." in said
    assert "sweep transfer/none--chest --profile demo --set transfer.keep_networks=true --as networks" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "transfer/dtd--moles"], "profile demo 'dtd--moles'; known: dtd--chest, none--chest"),
        ([*FROM, "--profile", "mine"], "Unknown finished transfer of profile mine"),
    ],
)  # fmt: skip
def test_an_unknown_run_is_refused_with_the_known_ones(called, kept, words, message):
    done = called(kept[1], *words)
    assert done.exit_code == 2 and message in done.output


def test_a_folder_without_images_and_a_damaged_network_are_named(called, kept, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert "No image found in 'empty'" in called("empty", *FROM).output
    file = kept[0] / "results/demo/transfer/dtd--chest/networks/seed0-fold2.keras"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        done = called(kept[1], *FROM)
    finally:
        file.write_bytes(whole)
    assert done.exit_code == 2 and "'seed0-fold2.keras' is not a weights file of Keras" in done.output
    assert not (tmp_path / "predictions.csv").exists()


def test_links_pipes_and_names_that_cannot_be_written_cost_no_other_image(called, kept, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(kept[1] / "b", folder / "b")
    (folder / "self").symlink_to(folder / "self")
    (folder / "b/up").symlink_to("..")
    (folder / "gone.png").symlink_to("/nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (bad := folder / os.fsdecode(b"bad\xff")).mkdir()
    shutil.copy(folder / "b/a.png", bad / "a.png")
    done = called(folder, *FROM)
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv("predictions.csv")["image_id"]) == ["b/a.png", "b/wide.png"]
    for why in ("1 x folder name is not UTF-8; rename it", "a link to nothing", "not an ordinary file"):
        assert why in done.output


def test_findings_keep_their_own_probabilities_which_need_not_sum_to_one(tmp_path):
    backbone = build.backbone("small_resnet", saved_networks.SIZE)
    outputs = keras.layers.Dense(3, activation="sigmoid", name="head")(backbone.output)
    model = saved_networks.randomised(keras.Model(backbone.input, outputs), seed=1)
    model.save(tmp_path / "network.keras")
    images = np.random.default_rng(0).integers(0, 256, (4, saved_networks.SIZE, saved_networks.SIZE, 3)).astype("uint8")
    found = Ensemble([tmp_path / "network.keras"], ("a", "b", "c"), saved_networks.SIZE, "squash", None).predict(images)
    np.testing.assert_allclose(found, np.asarray(model(images.astype("float32"))), atol=1e-5)
