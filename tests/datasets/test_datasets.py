import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from catscans_lib import datasets
from catscans_lib.datasets.chest import patient
from catscans_lib.errors import InputError

FOLDERS = {
    "imagenet": "imagenet",
    "stl10": "stl10_binary",
    "sti10": "sti10",
    "dtd": "dtd/images",
    "isic2018": "ISIC2018/ISIC2018_Task3_Training_Input",
    "chest": "chest_xray",
    "pcam_middle": "pcam",
    "pcam_small": "pcam",
    "kimia960": "kimia_path_960",
    "catdog": "PetImages",
    "natural": "natural_images",
    "diabetic_retinopathy": "diabetic-retinopathy-detection",
    "isic2017": "ISIC-2017_Training_Data",
    "bloodcell": "dataset2-master/images",
}
READABLE = tuple(FOLDERS)
INPUT = "ISIC2018/ISIC2018_Task3_Training_Input"
TRUTH = "ISIC2018/ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
LESIONS = "ISIC2018/ISIC2018_Task3_Training_LesionGroupings.csv"


def edit_csv(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


def problems_of(listing):
    return dict(zip(listing.problems["path"], listing.problems["problem"], strict=True))


# Cards


def test_nine_datasets_are_known_in_the_order_of_the_study_and_five_of_the_thesis():
    assert datasets.known() == (
        "imagenet",
        "stl10",
        "sti10",
        "dtd",
        "isic2018",
        "chest",
        "pcam_middle",
        "pcam_small",
        "kimia960",
        "catdog",
        "natural",
        "diabetic_retinopathy",
        "isic2017",
        "bloodcell",
    )


@pytest.mark.parametrize("name", datasets.known())
def test_every_card_is_complete(name):
    card = datasets.get(name)
    assert card.name == name
    assert all([card.title, card.modality, card.licence, card.citation, card.n_images > 0])
    assert card.url.startswith("https://")
    assert len(set(card.classes)) == len(card.classes) != 1


def test_cards_state_the_published_numbers_of_images():
    # ILSVRC 2012, STL-10, DTD, ISIC 2018 task 3 and KimiaPath960 as published; subsets of PCam as in the study
    published = {"imagenet": 1_281_167, "stl10": 13_000, "dtd": 5_640, "isic2018": 10_015, "chest": 5_856}
    published |= {"pcam_middle": 100_000, "pcam_small": 10_000, "kimia960": 960}
    assert {name: datasets.get(name).n_images for name in published} == published


def test_an_unknown_dataset_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="Unknown dataset 'isic'; known: bloodcell, catdog, chest"):
        datasets.get("isic")


def test_importing_the_cards_does_not_import_the_demo_world():
    code = "import sys, catscans_lib.datasets; print([m for m in sys.modules if 'demo' in m or 'tensorflow' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What every reader keeps to


@pytest.mark.parametrize("name", READABLE)
def test_a_listing_has_unique_sorted_ids_and_relative_paths(name, native_data):
    listing = datasets.read(name, native_data)
    images = listing.images
    assert list(images.columns) == ["image_id", "path", "label", "group", "split"]
    assert images["image_id"].is_unique and images["image_id"].is_monotonic_increasing
    assert not images["image_id"].str.startswith("/").any()
    assert all((native_data / path.partition(":")[0]).is_file() for path in images["path"])
    assert set(images["label"]) == set(listing.classes)
    assert listing.problems.empty


@pytest.mark.parametrize("name", READABLE)
def test_a_missing_data_folder_says_to_set_data(name, tmp_path):
    with pytest.raises(InputError, match=r"No data folder '.*nowhere'. Set DATA=folder to the folder that holds"):
        datasets.read(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name, wanted", FOLDERS.items())
def test_an_empty_data_folder_says_which_sub_folder_is_expected(name, wanted, tmp_path):
    with pytest.raises(InputError, match=rf"'{wanted}'.* which holds nothing\. Set DATA=folder"):
        datasets.read(name, tmp_path)


@pytest.mark.parametrize("name", ("imagenet", "dtd", "chest"))
def test_class_folders_without_any_image_are_an_error(name, native_data):
    for path in datasets.read(name, native_data).images["path"]:
        (native_data / path).unlink()
    with pytest.raises(InputError, match=r"No image found in .* class folder without images"):
        datasets.read(name, native_data)


def test_one_empty_class_folder_is_reported_and_the_other_classes_are_kept(native_data):
    (native_data / "dtd/images/empty").mkdir()
    listing = datasets.read("dtd", native_data)
    assert problems_of(listing) == {"dtd/images/empty": "class folder without images"}
    assert listing.classes == ("banded", "dotted", "woven")


def test_dtd_has_the_first_official_split_where_its_files_are_there(native_data):
    labels = native_data / "dtd/labels"
    labels.mkdir()
    (labels / "train1.txt").write_text("banded/banded_0000.jpg\nwoven/woven_0001.jpg\n")
    (labels / "test1.txt").write_text("banded/banded_0001.jpg\nbanded/banded_0999.jpg\n")
    (labels / "train2.txt").write_text("banded/banded_0002.jpg\n")
    listing = datasets.read("dtd", native_data)
    splits = listing.images.set_index("image_id")["split"]
    assert splits[splits != ""].to_dict() == {
        "banded/banded_0000": "train", "banded/banded_0001": "test", "woven/woven_0001": "train"
    }  # fmt: skip
    assert problems_of(listing) == {
        "dtd/images/banded/banded_0999.jpg": "in an official split, but there is no such file"
    }


def test_files_that_are_no_images_are_reported_but_hidden_and_text_files_are_not(native_data):
    folder = native_data / "dtd/images/banded"
    for name in (".DS_Store", "LICENSE.txt", "movie.mp4"):
        (folder / name).write_bytes(b"x")
    listing = datasets.read("dtd", native_data)
    assert problems_of(listing) == {
        "dtd/images/banded/movie.mp4": "not an image file; known: .jpg, .jpeg, .png, .tif, .tiff"
    }
    assert len(listing.images) == 12


def test_a_file_name_that_is_not_utf8_is_reported_in_writable_form(native_data):
    (native_data / "dtd/images/banded" / b"\xff.jpg".decode(errors="surrogateescape")).write_bytes(b"x")
    listing = datasets.read("dtd", native_data)
    assert len(listing.problems) == 1 and len(listing.images) == 12
    listing.problems.to_csv().encode()


def test_two_files_with_the_same_stem_keep_the_first(native_data):
    Image.new("RGB", (4, 4)).save(native_data / "dtd/images/banded/banded_0000.png")
    listing = datasets.read("dtd", native_data)
    assert list(listing.problems["path"]) == ["dtd/images/banded/banded_0000.png"]
    assert len(listing.images) == 12


# imagenet


def test_imagenet_reads_wnid_folders_with_and_without_train(native_data):
    flat = datasets.read("imagenet", native_data)
    (native_data / "imagenet").rename(native_data / "train")
    (native_data / "imagenet").mkdir()
    (native_data / "train").rename(native_data / "imagenet/train")
    nested = datasets.read("imagenet", native_data)
    assert list(nested.images["image_id"]) == list(flat.images["image_id"])
    assert nested.images["path"][0] == "imagenet/train/n01440764/ILSVRC2012_val_00000000.JPEG"


def test_imagenet_takes_the_split_from_the_file_name_and_has_no_groups(native_data):
    images = datasets.read("imagenet", native_data).images
    assert images["split"].value_counts().to_dict() == {"train": 9, "val": 3}
    assert (images["group"] == images["image_id"]).all()


def test_imagenet_reports_a_folder_that_is_no_wnid(native_data):
    (native_data / "imagenet/val").mkdir()
    listing = datasets.read("imagenet", native_data)
    assert "n\\d{8}" in problems_of(listing)["imagenet/val"]
    assert len(listing.images) == 12


# chest


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
    assert patient(name) == expected


def test_chest_groups_by_patient_across_splits(native_data):
    images = datasets.read("chest", native_data).images
    assert images["group"].nunique() == 6
    assert images.groupby("group").size().eq(2).all()
    assert (images.groupby("group")["split"].nunique() > 1).any()


def test_the_same_file_name_in_two_splits_stays_two_images(native_data):
    Image.new("L", (4, 4)).save(native_data / "chest_xray/test/NORMAL/IM-0001-0001.jpeg")
    images = datasets.read("chest", native_data).images
    ids = images.loc[images["image_id"].str.endswith("IM-0001-0001"), "image_id"]
    assert list(ids) == ["test/NORMAL/IM-0001-0001", "train/NORMAL/IM-0001-0001"]


def test_chest_leaves_out_images_without_a_patient_and_unknown_classes(native_data):
    Image.new("L", (4, 4)).save(native_data / "chest_xray/train/NORMAL/scan.jpeg")
    (native_data / "chest_xray/train/COVID").mkdir()
    listing = datasets.read("chest", native_data)
    assert "no patient" in problems_of(listing)["chest_xray/train/NORMAL/scan.jpeg"]
    assert "NORMAL|PNEUMONIA" in problems_of(listing)["chest_xray/train/COVID"]
    assert listing.classes == ("NORMAL", "PNEUMONIA") and len(listing.images) == 12


# isic2018


def test_isic_takes_class_and_lesion_from_the_tables(native_data):
    listing = datasets.read("isic2018", native_data)
    assert listing.classes == ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    first, second, third = listing.images.head(3).itertuples()
    assert (first.image_id, first.label, first.group) == ("ISIC_0010000", "MEL", "HAM_0000001")
    assert second.group == first.group != third.group


def test_isic_also_takes_the_lesions_of_ham10000_and_works_without_the_outer_folder(native_data):
    groups = datasets.read("isic2018", native_data).images["group"]
    lesions = pd.read_csv(native_data / LESIONS).rename(columns={"image": "image_id"})
    lesions.to_csv(native_data / "ISIC2018/HAM10000_metadata.csv", index=False)
    (native_data / LESIONS).unlink()
    assert datasets.read("isic2018", native_data / "ISIC2018").images["group"].equals(groups)


def test_isic_reports_a_listed_image_that_is_not_there_and_the_reverse(native_data):
    (native_data / INPUT / "ISIC_0010000.jpg").unlink()
    Image.new("RGB", (4, 4)).save(native_data / INPUT / "ISIC_9999999.jpg")
    listing = datasets.read("isic2018", native_data)
    assert problems_of(listing) == {
        f"{INPUT}/ISIC_0010000.jpg": "in the ground truth, but there is no such file",
        f"{INPUT}/ISIC_9999999.jpg": "not in the ground truth; left out",
    }
    assert len(listing.images) == 27


def test_isic_leaves_out_rows_with_no_or_two_classes(native_data):
    def change(table):
        table.loc[0, "MEL"] = 0.0
        table.loc[1, "NV"] = 1.0
        return table

    edit_csv(native_data / TRUTH, change)
    listing = datasets.read("isic2018", native_data)
    said = problems_of(listing)
    assert "0 classes" in said[f"{INPUT}/ISIC_0010000.jpg"]
    assert "2 classes (MEL, NV)" in said[f"{INPUT}/ISIC_0010001.jpg"]
    assert len(said) == 2 and len(listing.images) == 26


def test_isic_leaves_out_an_image_with_two_different_rows_but_not_one_listed_twice(native_data):
    def change(table):
        other = table.iloc[[0]].assign(MEL=0.0, DF=1.0)
        return pd.concat([table, other, table.iloc[[1]]])

    edit_csv(native_data / TRUTH, change)
    listing = datasets.read("isic2018", native_data)
    assert list(listing.problems["path"]) == [f"{INPUT}/ISIC_0010000.jpg"]
    assert len(listing.images) == 27


def test_isic_leaves_out_an_image_without_a_lesion(native_data):
    edit_csv(native_data / LESIONS, lambda table: table.iloc[1:])
    listing = datasets.read("isic2018", native_data)
    assert "no lesion_id" in problems_of(listing)[f"{INPUT}/ISIC_0010000.jpg"]


def test_isic_names_a_class_that_has_no_image(native_data):
    edit_csv(native_data / TRUTH, lambda table: table[table["DF"] == 0])
    listing = datasets.read("isic2018", native_data)
    assert "class DF has no image" in set(listing.problems["problem"])
    assert listing.classes == ("MEL", "NV", "BCC", "AKIEC", "BKL", "VASC")


@pytest.mark.parametrize("csv, named", [(TRUTH, r"\*GroundTruth.csv"), (LESIONS, r"HAM10000_metadata.csv")])
def test_isic_asks_for_a_missing_table(csv, named, native_data):
    (native_data / csv).unlink()
    with pytest.raises(InputError, match=rf"No .*{named} in .*Download it"):
        datasets.read("isic2018", native_data)


def test_isic_names_missing_columns_and_unreadable_tables(native_data):
    edit_csv(native_data / TRUTH, lambda table: table.drop(columns=["DF", "NV"]))
    with pytest.raises(InputError, match="lacks NV, DF; it has image, MEL, BCC"):
        datasets.read("isic2018", native_data)
    (native_data / TRUTH).write_bytes(b"")
    with pytest.raises(InputError, match="Cannot read"):
        datasets.read("isic2018", native_data)


# Real images


@pytest.mark.parametrize(
    "name, n_images, n_classes, n_groups",
    [("imagenet", 400, 10, 400), ("dtd", 400, 10, 400), ("chest", 600, 2, 330), ("isic2018", 700, 7, 673)],
)
def test_real_samples_have_the_counts_of_their_manifest(name, n_images, n_classes, n_groups, realdata):
    listing = datasets.read(name, realdata)
    assert (len(listing.images), len(listing.classes)) == (n_images, n_classes)
    assert listing.images["group"].nunique() == n_groups
    assert listing.problems.empty
    manifest = pd.read_csv(realdata / "MANIFEST.csv").set_index("path").loc[listing.images["path"]]
    if name in ("chest", "isic2018"):
        assert list(manifest["group"]) == list(listing.images["group"])
    assert list(manifest["class"].str.upper()) == list(listing.images["label"].str.upper())


def test_real_groups_leak_over_splits_as_known(realdata):
    chest = datasets.read("chest", realdata).images
    isic = datasets.read("isic2018", realdata).images
    assert (chest.groupby("group")["split"].nunique() > 1).sum() == 70
    assert (isic.groupby("group").size() == 2).sum() == 27
