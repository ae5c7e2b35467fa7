"""Cards, and readers of class folders and tables: what is listed, and what is reported and left out."""

import re

import fixtures
import pandas as pd
import pytest
from PIL import Image

from catscans_lib import datasets
from catscans_lib.datasets.layouts import group_by_pattern
from catscans_lib.errors import InputError
from catscans_lib.images.listing import IMAGE_SUFFIXES

INPUT = "ISIC2018/ISIC2018_Task3_Training_Input"
TRUTH = "ISIC2018/ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
LESIONS = "ISIC2018/ISIC2018_Task3_Training_LesionGroupings.csv"


def edit_csv(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


# ILSVRC 2012, STL-10, DTD, ISIC 2018 task 3 and KimiaPath960 as published; subsets of PCam as in the study
N_IMAGES = {"imagenet": 1_281_167, "stl10": 13_000, "dtd": 5_640, "isic2018": 10_015, "chest": 5_856}
N_IMAGES |= {"imagenet1k": N_IMAGES["imagenet"], "pcam_middle": 100_000, "pcam_small": 10_000, "kimia960": 960}


def test_datasets_are_known_in_the_order_of_the_study_then_of_the_thesis_and_an_unknown_one_is_refused():
    study = "imagenet stl10 sti10 dtd isic2018 chest pcam_middle pcam_small kimia960"
    others = "catdog natural diabetic_retinopathy isic2017 bloodcell malaria breast_ultrasound brain_mri brain_tumours covid_ct"
    parts = "path chest derma oct pneumonia retina breast blood tissue organa organc organs"
    medmnist = [f"{part}mnist" for part in parts.split()]
    assert datasets.known() == (*study.split(), *others.split(), "covid_xray", "imagenet64", "imagenet1k", *medmnist)
    with pytest.raises(InputError, match="Unknown dataset 'isic'; known: bloodcell, bloodmnist, brain_mri"):
        datasets.get("isic")


@pytest.mark.parametrize("name", datasets.known())
def test_every_card_is_complete(name):
    card = datasets.get(name)
    assert card.name == name
    assert all([card.title, card.modality, card.licence, card.citation, card.n_images > 0])
    assert card.n_images == N_IMAGES.get(name, card.n_images)
    assert card.url.startswith("https://")
    assert len(set(card.classes)) == len(card.classes) != 1
    for file in card.downloads:
        assert file.url.startswith("http") and re.fullmatch(r"[^/\\\0.][^/\\\0]*", file.file_name)
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum or f"md5:{0:032}")


def test_a_missing_or_empty_data_folder_is_named_with_what_is_expected(tmp_path):
    with pytest.raises(InputError, match=r"No data folder '.*nowhere'. Set DATA=folder to .* that holds 'dtd/im"):
        datasets.read("dtd", tmp_path / "nowhere")
    (tmp_path / "isic").mkdir()
    with pytest.raises(InputError, match=r"No folder 'stl10_binary' or 'stl10' .* which holds isic\. Set DATA=folder"):
        datasets.read("stl10", tmp_path)


def test_an_empty_class_folder_is_reported_and_no_image_at_all_is_an_error(native_data):
    (native_data / "dtd/images/empty").mkdir()
    listing = datasets.read("dtd", native_data)
    assert fixtures.problems(listing) == {"dtd/images/empty": "class folder without images"}
    assert listing.classes == ("banded", "dotted", "woven")
    for path in listing.images["path"]:
        (native_data / path).unlink()
    with pytest.raises(InputError, match=r"No image found in .* class folder without images"):
        datasets.read("dtd", native_data)


def test_other_files_are_reported_but_hidden_and_text_files_are_ignored(native_data):
    folder = native_data / "dtd/images/banded"
    for name in (".DS_Store", "LICENSE.txt", "movie.mp4", b"\xff.jpg".decode(errors="surrogateescape")):
        (folder / name).write_bytes(b"x")
    Image.new("RGB", (4, 4)).save(folder / "banded_0000.png")
    listing = datasets.read("dtd", native_data)
    assert fixtures.problems(listing) == {
        "dtd/images/banded/movie.mp4": f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}",
        r"dtd/images/banded/'\udcff.jpg'": "name is not UTF-8; rename it; left out",
        "dtd/images/banded/banded_0000.png": "same name as another image in its folder; left out",
    }
    listing.problems.to_csv().encode()
    assert len(listing.images) == 12


@pytest.mark.parametrize(
    "name, expected",
    [
        ("person134_bacteria_643", "person134"),
        ("person447_virus_921_1", "person447"),
        ("IM-0755-0001", "IM-0755"),
        ("IM-0660-0001-0001", "IM-0660"),
        ("NORMAL2-IM-1096-0001", "NORMAL2-IM-1096"),
        ("NORMAL2-IM-1096-0001-0002", "NORMAL2-IM-1096"),
        ("scan", None),
        ("person_bacteria_1", None),
    ],
)
def test_the_patient_comes_from_the_file_name(name, expected):
    assert group_by_pattern(datasets.get("chest").reading["group_pattern"])(name) == expected


def test_chest_groups_by_patient_across_splits_and_leaves_out_images_without_one_and_unknown_classes(native_data):
    groups = datasets.read("chest", native_data).images.groupby("group")
    assert groups.size().tolist() == [2] * 6
    assert (groups["split"].nunique() > 1).any()
    Image.new("L", (4, 4)).save(native_data / "chest_xray/test/NORMAL/IM-0001-0001.jpeg")
    Image.new("L", (4, 4)).save(native_data / "chest_xray/train/NORMAL/scan.jpeg")
    fixtures.save(native_data / "chest_xray/train/COVID/IM-0001-0001.jpeg", 1)
    (native_data / "chest_xray/train/PNEUMONIA/empty").mkdir()
    (native_data / "chest_xray/train/empty").mkdir()
    listing = datasets.read("chest", native_data)
    assert "no group in the file name" in fixtures.problems(listing)["chest_xray/train/NORMAL/scan.jpeg"]
    path = "chest_xray/train/COVID/IM-0001-0001.jpeg"
    assert fixtures.problems(listing)[path] == "in no folder of a class; known: NORMAL, PNEUMONIA; left out"
    assert fixtures.problems(listing)["chest_xray/train/empty"] == "class folder without images"
    assert listing.classes == ("NORMAL", "PNEUMONIA") and len(listing.images) == 13
    images = listing.images
    ids = images.loc[images["image_id"].str.endswith("IM-0001-0001"), "image_id"]
    assert list(ids) == ["test/NORMAL/IM-0001-0001", "train/NORMAL/IM-0001-0001"]


def test_isic_takes_class_and_lesion_from_the_tables_also_of_ham10000_without_the_outer_folder(native_data):
    images = datasets.read("isic2018", native_data).images
    assert images.loc[0, ["image_id", "label", "group"]].tolist() == ["ISIC_0010000", "MEL", "HAM_0000001"]
    assert images["group"][1] == images["group"][0] != images["group"][2]
    lesions = pd.read_csv(native_data / LESIONS).rename(columns={"image": "image_id"})
    lesions.to_csv(native_data / "ISIC2018/HAM10000_metadata.csv", index=False)
    (native_data / LESIONS).unlink()
    assert datasets.read("isic2018", native_data / "ISIC2018").images["group"].equals(images["group"])


def test_isic_reports_and_leaves_out_what_has_no_file_no_single_class_or_no_lesion(native_data):
    def change(table):
        table.loc[0, "MEL"] = 0.0
        table.loc[1, "NV"] = 1.0
        second_row = table.iloc[[2]].assign(MEL=0.0, DF=1.0)
        return pd.concat([table, second_row, table.iloc[[3]]])  # a repeated equal row is harmless

    edit_csv(native_data / TRUTH, change)
    edit_csv(native_data / LESIONS, lambda table: table.drop(index=4))
    (native_data / INPUT / "ISIC_0010101.jpg").unlink()
    Image.new("RGB", (4, 4)).save(native_data / INPUT / "ISIC_9999999.jpg")
    listing = datasets.read("isic2018", native_data)
    assert fixtures.problems(listing) == {
        f"{INPUT}/ISIC_0010000.jpg": "0 classes () instead of one; left out",
        f"{INPUT}/ISIC_0010001.jpg": "2 classes (MEL, NV) instead of one; left out",
        f"{INPUT}/ISIC_0010002.jpg": "listed twice with different values; left out",
        f"{INPUT}/ISIC_0010100.jpg": "no lesion_id, so it cannot be kept in one fold; left out",
        f"{INPUT}/ISIC_0010101.jpg": "in the table, but there is no such file; left out",
    }
    assert len(listing.images) == 28 - 5


def test_isic_names_a_class_that_has_no_image(native_data):
    edit_csv(native_data / TRUTH, lambda table: table[table["DF"] == 0])
    listing = datasets.read("isic2018", native_data)
    assert "class DF has no image" in set(listing.problems["problem"])
    assert listing.classes == ("MEL", "NV", "BCC", "AKIEC", "BKL", "VASC")


@pytest.mark.parametrize("other", ["Test", "Validation"])
def test_isic_never_takes_the_truth_of_another_set_of_images(other, native_data):
    expected = datasets.read("isic2018", native_data).images
    wrong = native_data / TRUTH.replace("Training", other)
    wrong.parent.mkdir()
    pd.read_csv(native_data / TRUTH).rename(columns={"MEL": "NV", "NV": "MEL"}).to_csv(wrong, index=False)
    pd.testing.assert_frame_equal(datasets.read("isic2018", native_data).images, expected)
    (native_data / TRUTH).unlink()
    with pytest.raises(InputError, match=r"No ISIC2018_Task3_Training_GroundTruth.csv in .*Download it"):
        datasets.read("isic2018", native_data)


def test_isic_names_missing_columns_unreadable_and_missing_tables(native_data):
    kept = (native_data / TRUTH).read_bytes()
    edit_csv(native_data / TRUTH, lambda table: table.drop(columns=["DF", "NV"]))
    with pytest.raises(InputError, match="lacks NV, DF; it has image, MEL, BCC"):
        datasets.read("isic2018", native_data)
    (native_data / TRUTH).write_bytes(b"")
    with pytest.raises(InputError, match="Cannot read"):
        datasets.read("isic2018", native_data)
    (native_data / TRUTH).write_bytes(kept)
    for csv, named in ((LESIONS, "HAM10000_metadata.csv"), (TRUTH, "Training_GroundTruth.csv")):
        (native_data / csv).unlink()
        with pytest.raises(InputError, match=rf"No .*{named} in .*Download it"):
            datasets.read("isic2018", native_data)
