"""The datasets of the thesis study in the forms in which they are downloaded."""

import fixtures
import pandas as pd
import pytest

from catscans_lib import datasets
from catscans_lib.datasets import Ingest, ingest
from catscans_lib.errors import InputError
from catscans_lib.images import folds, store


def test_cats_and_dogs_are_read_from_microsofts_and_from_kaggles_form(tmp_path):
    fixtures.write_catdog(tmp_path)
    (tmp_path / "PetImages/Cat/notes.pdf").write_bytes(b"x")
    listing = datasets.read("catdog", tmp_path)
    assert listing.images["label"].value_counts().to_dict() == {"Cat": 3, "Dog": 3}
    assert "not an image file" in fixtures.problems(listing)["PetImages/Cat/notes.pdf"]
    for path in listing.images["path"]:
        _, label, name = path.split("/")
        target = tmp_path / "kaggle/dogs-vs-cats/train" / f"{label.lower()}.{name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).rename(target)
    fixtures.save(tmp_path / "kaggle/dogs-vs-cats/train/bird.0.jpg", 1)
    listing = datasets.read("catdog", tmp_path / "kaggle")
    assert list(listing.images["image_id"]) == ["cat.0", "cat.1", "cat.2", "dog.0", "dog.1", "dog.2"]
    assert "its name does not match" in fixtures.problems(listing)["dogs-vs-cats/train/bird.0.jpg"]


def test_both_eyes_of_a_patient_are_one_group(tmp_path):
    fixtures.write_diabetic_retinopathy(tmp_path)
    images = datasets.read("diabetic_retinopathy", tmp_path).images
    assert images.groupby("group").size().tolist() == [2] * 10
    labels = images.set_index("group")["label"]
    assert set(labels["11"]) == {"mild", "none"} and set(labels["14"]) == {"proliferative", "none"}


def test_an_unknown_grade_and_a_missing_retina_are_reported(tmp_path):
    fixtures.write_diabetic_retinopathy(tmp_path)
    path = tmp_path / "diabetic-retinopathy-detection/trainLabels.csv"
    (path.parent / "train/10_left.jpeg").unlink()
    (missing,) = datasets.read("diabetic_retinopathy", tmp_path).problems["path"]
    assert missing == "diabetic-retinopathy-detection/train/10_left.jpeg"
    path.write_text(path.read_text().replace("10_left,0", "10_left,5"))
    with pytest.raises(InputError, match="has the level '5'; known are 0 to 4"):
        datasets.read("diabetic_retinopathy", tmp_path)


def test_isic2017_has_three_classes_and_leaves_its_superpixels_alone(tmp_path):
    fixtures.write_isic2017(tmp_path)
    listing = datasets.read("isic2017", tmp_path)
    assert listing.images["label"].value_counts().to_dict() == dict.fromkeys(datasets.get("isic2017").classes, 3)
    assert not listing.images["path"].str.contains("superpixels").any()
    assert listing.problems.empty
    table = tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv"
    pd.read_csv(table).assign(melanoma=1.0).to_csv(table, index=False)
    listing = datasets.read("isic2017", tmp_path)  # the three keratoses are now both
    assert len(listing.images) == 6 and set(listing.images["label"]) == {"melanoma"}
    assert (
        listing.problems["problem"] == "2 classes (melanoma, seborrheic_keratosis) instead of one; left out"
    ).sum() == 3


def test_blood_cells_of_the_two_large_parts_are_read(tmp_path):
    fixtures.write_bloodcell(tmp_path)
    listing = datasets.read("bloodcell", tmp_path)
    assert listing.images["split"].value_counts().to_dict() == {"train": 8, "test": 8}
    assert not listing.images["path"].str.contains("SIMPLE").any() and len(listing.problems) == 8


def test_blood_cells_are_grouped_by_the_original_photograph(tmp_path):
    fixtures.write_bloodcell(tmp_path)
    table = tmp_path / "dataset2-master/original_pictures.csv"
    pd.read_csv(table).iloc[1:].to_csv(table, index=False)
    listing = datasets.read("bloodcell", tmp_path)
    assert listing.images.groupby("group").size().to_dict() == {"BloodImage_0": 5, "BloodImage_1": 5, "BloodImage_2": 5}
    (said,) = set(fixtures.problems(listing).values()) - {"beside the folders of the splits; left out"}
    assert said == "no original photograph in original_pictures.csv; left out"
    table.write_text("path,group\n/images/TRAIN/x.jpeg,1\n")
    with pytest.raises(InputError, match=r"names none of the 16 images found. Its paths look like 'images/TEST/EOS"):
        datasets.read("bloodcell", tmp_path)


@pytest.mark.parametrize("has_table", [True, False])
def test_blood_cells_without_their_photographs_are_a_source_but_no_target(has_table, tmp_path, monkeypatch):
    fixtures.write_bloodcell(tmp_path)
    if not has_table:
        (tmp_path / "dataset2-master/original_pictures.csv").unlink()
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = Ingest(
        profile="demo",
        dataset="bloodcell",
        data="native",
        size_px=16,
        n_images=None,
        n_folds=3,
        fold_seed=0,
        max_images=None,
    )
    problems = ingest.store_dataset(settings, tmp_path / "x.h5")["problems"]
    opened = store.open_store(tmp_path / "x.h5")
    assert len(opened.images) == 16 and len(problems) == 8 + (not has_table)
    if has_table:
        made = ingest.save_folds(opened.table, settings, tmp_path / "folds.csv")
        assert made.groupby("group")["fold"].nunique().tolist() == [1, 1, 1]
    else:
        with pytest.raises(InputError, match="'bloodcell' cannot be a target.*original_pictures.csv.*as a source only"):
            ingest.save_folds(opened.table, settings, tmp_path / "folds.csv")


def test_real_blood_cells_have_the_photographs_of_their_manifest_and_none_is_in_two_folds(realdata):
    listing = datasets.read("bloodcell", realdata)
    assert (len(listing.images), listing.images["group"].nunique()) == (391, 147) and listing.problems.empty
    made = folds.make(listing.images.assign(sha256=listing.images["image_id"]), n_folds=5, seed=0)
    assert made.groupby("group")["fold"].nunique().max() == 1
