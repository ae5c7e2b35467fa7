"""Datasets of one folder per class: groups in file names, masks, splits, and what the real sample holds."""

from itertools import groupby

import fixtures
import pandas as pd
import pytest

from catscans_lib import datasets
from catscans_lib.datasets import layouts
from catscans_lib.images import folds, store

# Images, groups where file names tell them, and classes of the real sample
KNOWN = {
    "malaria": (478, 140, 2), "breast_ultrasound": (323, 323, 3), "brain_mri": (168, 168, 2), "brain_tumours": (400, 400, 4),
    "covid_ct": (397, 237, 2), "covid_xray": (296, 284, 3), "imagenet64": (520, 520, 40),
}  # fmt: skip


def group_of(name):
    return layouts.group_by_pattern(datasets.get(name).reading["group_pattern"])


@pytest.mark.parametrize("name", KNOWN)
def test_the_real_sample_has_the_images_classes_and_groups_of_its_manifest(name, realdata):
    listing = datasets.read(name, realdata)
    manifest = pd.read_csv(realdata / "MANIFEST_more.csv").set_index("path").loc[listing.images["path"]]
    found = (len(listing.images), listing.images["group"].nunique(), len(listing.classes))
    assert found == KNOWN[name] and listing.problems.empty
    assert list(listing.images["label"]) == list(manifest["class"])
    if manifest["group"].notna().all():  # the same images share a group, whatever its name
        codes = [pd.factorize(groups)[0].tolist() for groups in (listing.images["group"], manifest["group"])]
        assert codes[0] == codes[1]


@pytest.mark.parametrize("name", ["breast_ultrasound", "brain_mri", "brain_tumours"])
def test_copies_in_the_real_sample_are_in_one_fold(name, realdata, tmp_path):
    listing = datasets.read(name, realdata)
    store.write(tmp_path / "x.h5", listing, dataset=name, size_px=96)
    table = store.open_store(tmp_path / "x.h5").table
    assert 0.8 * len(table) < table["group"].nunique() < len(table)
    made = folds.make(table, n_folds=5, seed=0)
    assert made.groupby("group")["fold"].nunique().max() == 1
    assert made.groupby(["label", "fold"]).size().min() > 0


def test_masks_are_no_images_and_are_reported(tmp_path):
    fixtures.write_breast_ultrasound(tmp_path)
    listing = datasets.read("breast_ultrasound", tmp_path)
    assert len(listing.images) == 9 and len(listing.problems) == 9
    assert set(listing.problems["problem"]) == {"mask of another image; left out"}
    assert not listing.images["path"].str.contains("mask").any()


def test_training_and_testing_folders_are_splits_of_one_dataset(tmp_path):
    fixtures.write_brain_tumours(tmp_path)
    images = datasets.read("brain_tumours", tmp_path).images
    assert images["split"].value_counts().to_dict() == {"train": 8, "test": 8}
    assert images["image_id"][0] == "test/glioma/Te-glioma_0"


@pytest.mark.parametrize(
    "name, same",
    [
        ("covid_ct", ["2020.03.01.20029769-p21-73_1%0", "2020.03.01.20029769-p22-4", "2020.03.01.20029769%3"]),
        ("covid_ct", ["91%0", "91%1", "91"]),
        ("covid_xray", ["1-s2.0-S16-main.pdf-001", "1-s2.0-S16-fx1_lrg", "1-s2.0-S16-gr2_lrg-b"]),
        ("covid_xray", ["covid-19-pneumonia-24-day12", "covid-19-pneumonia-24-PA", "covid-19-pneumonia-24"]),
        ("covid_xray", ["00001543_004", "00001543_010"]),
        ("covid_xray", ["lancet-case2a", "lancet-case2b"]),
        ("malaria", ["C47P8thin_IMG_1_cell_1", "C47P8thinOriginalOlympusCX21_IMG_2_cell_3"]),
    ],
)  # fmt: skip
def test_images_of_one_paper_or_patient_share_a_group(name, same):
    assert len(list(groupby(same, group_of(name)))) == 1


@pytest.mark.parametrize(
    "name, apart",
    [
        ("covid_ct", ["9", "91", "2020.03.01"]),
        ("covid_xray", ["covid-19-pneumonia-2", "covid-19-pneumonia-24", "00001543_004", "00015430_004"]),
        ("malaria", ["C4_IMG_cell_1", "C47P8_IMG_cell_1"]),
    ],
)
def test_other_papers_and_patients_have_other_groups(name, apart):
    assert len(set(map(group_of(name), apart))) == len(apart)


def test_a_cell_without_a_patient_is_left_out_and_named(tmp_path):
    fixtures.write_malaria(tmp_path)
    fixtures.save(tmp_path / "cell_images/Uninfected/cell_7.png", 1)
    listing = datasets.read("malaria", tmp_path)
    assert fixtures.problems(listing) == {"cell_images/Uninfected/cell_7.png": "no group in the file name; left out"}
    assert listing.images.groupby("group").size().to_dict() == dict.fromkeys(("C0", "C1", "C2", "C3"), 4)


def test_known_faults_are_whole_sentences():
    caveats = [card.caveat for card in datasets.published().values() if card.caveat]
    assert len(caveats) >= 6 and all(caveat.endswith(".") and len(caveat) > 60 for caveat in caveats)
