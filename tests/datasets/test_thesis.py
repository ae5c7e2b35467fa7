"""The datasets of the thesis study in the forms in which they are downloaded."""

import fixtures
import pandas as pd
import pytest

from catscans_lib import datasets
from catscans_lib.errors import InputError


def test_cats_and_dogs_are_read_from_microsofts_and_from_kaggles_form(tmp_path):
    fixtures.write_catdog(tmp_path)
    (tmp_path / "PetImages/Cat/Thumbs.db").write_bytes(b"x")
    listing = datasets.read("catdog", tmp_path)
    assert listing.images["label"].value_counts().to_dict() == {"cat": 3, "dog": 3}
    assert "not an image file" in fixtures.problems(listing)["PetImages/Cat/Thumbs.db"]
    for path in listing.images["path"]:
        _, label, name = path.split("/")
        target = tmp_path / "kaggle/dogs-vs-cats/train" / f"{label.lower()}.{name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).rename(target)
    fixtures.save(tmp_path / "kaggle/dogs-vs-cats/train/bird.0.jpg", 1)
    listing = datasets.read("catdog", tmp_path / "kaggle")
    assert list(listing.images["image_id"]) == ["cat.0", "cat.1", "cat.2", "dog.0", "dog.1", "dog.2"]
    assert "not named cat.<number>" in fixtures.problems(listing)["dogs-vs-cats/train/bird.0.jpg"]


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
    assert (listing.problems["problem"] == "no label; left out").sum() == 3


def test_blood_cells_of_the_two_large_parts_are_read_and_a_missing_part_is_reported(tmp_path):
    fixtures.write_bloodcell(tmp_path)
    images = datasets.read("bloodcell", tmp_path).images
    assert images["split"].value_counts().to_dict() == {"train": 8, "test": 8}
    (tmp_path / "dataset2-master/images/TEST").rename(tmp_path / "TEST")
    assert fixtures.problems(datasets.read("bloodcell", tmp_path)) == {"dataset2-master/images/TEST": "no such folder"}
