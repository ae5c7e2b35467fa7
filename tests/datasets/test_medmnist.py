"""MedMNIST's sets: files by size, published splits, and AUCs beside the published ones."""

import fixtures
import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets, paths
from catscans_lib.errors import InputError
from catscans_lib.evidence import own
from catscans_lib.experiment import pretrain, transfer
from catscans_lib.grid import expand
from catscans_lib.images import folds
from catscans_lib.images.store import ImageStore

SETS = [name for name in datasets.published() if name.endswith("mnist")]


def test_the_twelve_sets_have_cards_with_their_published_numbers_of_classes():
    counts = {name: datasets.get(name).count_classes() for name in SETS}
    assert len(SETS) == 12
    assert (counts["pathmnist"], counts["chestmnist"], counts["organamnist"], counts["retinamnist"]) == (9, 14, 11, 5)


def test_the_smallest_file_with_enough_pixels_is_read_and_a_missing_one_is_named(tmp_path):
    fixtures.write_medmnist("breastmnist")(tmp_path)
    fixtures.write_medmnist("breastmnist")(tmp_path, size=64)
    for size, name in ((28, "breastmnist.npz"), (40, "breastmnist_64.npz")):
        assert datasets.read("breastmnist", tmp_path, size).images["path"][0].startswith(f"{name}/test_images")
    with pytest.raises(InputError, match=r"at 128 px needs breastmnist_128\.npz.*breastmnist_64\.npz. Download"):
        datasets.read("breastmnist", tmp_path, 128)
    with pytest.raises(InputError, match=r"needs bloodmnist\.npz.*no file of it. Download .*/files/bloodmnist\.npz"):
        datasets.read("bloodmnist", tmp_path)


def test_findings_of_chestmnist_are_read_from_its_matrix(tmp_path):
    path = tmp_path / "chestmnist.npz"
    arrays = fixtures.write_npz(path, (28, 28), 14, 14)
    for split in ("train", "val", "test"):
        labels = np.eye(14, dtype=np.uint8)
        labels[0, 13], labels[1] = 1, 0  # the second image has no finding
        arrays[f"{split}_labels"] = labels
    np.savez_compressed(path, **arrays)
    listing = datasets.read("chestmnist", tmp_path)
    assert listing.multi_label and len(listing.classes) == 13
    assert {"atelectasis|hernia", "No finding"} <= set(listing.images["label"])


def table(**columns):
    n = len(columns["split"])
    base = {"image_id": [f"{one:02d}" for one in range(n)], "label": ["a", "b"] * (n // 2)}
    base |= {"group": base["image_id"], "sha256": base["image_id"]}
    return pd.DataFrame(base | columns)


def test_published_test_images_are_held_out_and_the_images_of_their_groups_are_not_trained_on():
    made = folds.published(table(split=["train"] * 3 + ["val"] + ["test"] * 2, group=list("xyzuxv")))
    assert dict(zip(made["image_id"], made["fold"], strict=True)) == {"01": 0, "02": 0, "03": 0, "04": 1, "05": 1}
    assert transfer._held_out(made) == [1]
    with pytest.raises(InputError, match=r"No published split.* found: 'train' \(4\). Set folds.split: drawn"):
        folds.published(table(split=["train"] * 4))


def test_a_source_that_a_set_was_made_of_is_refused():
    images = table(split=["train"] * 4)
    source = ImageStore(None, images, ("a", "b"), "isic2018", 28, "")
    with pytest.raises(
        InputError, match="'isic2018' and target 'dermamnist' have the same images under different names"
    ):
        pretrain.usable_rows(source, {"dermamnist": images}, ["dermamnist"])
    assert datasets.separable("isic2018", "isic2017") and not datasets.separable("organamnist", "organcmnist")


def test_our_aucs_stand_beside_the_published_ones():
    ours = pd.DataFrame(
        {"source": ["imagenet1k", "none"], "target": "bloodmnist", "mode": "fine_tune", "auc": [0.99, 0.9]}
    )
    found = own.beside_published(pd.concat([ours, ours.assign(target="chest")]))
    assert found["target"].tolist() == ["bloodmnist"] * 2
    assert found["published"].iloc[0] == pytest.approx(0.9984533762) and np.isnan(found["published"].iloc[1])
    assert found["best"].iloc[0] >= found["published"].iloc[0]


def test_the_profile_has_all_sets_as_targets_on_their_published_split():
    runs = expand.grid("medmnist")
    assert {run.settings.target for run in runs.values() if run.step == "transfer"} == set(SETS)
    assert {runs[f"ingest/{name}"].settings.split for name in SETS} == {"published"}
    assert f" {len(runs)} runs" in (paths.root() / "params/medmnist.yaml").read_text()
