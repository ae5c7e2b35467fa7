"""Which classes of two datasets correspond, and details of images that publishers give."""

import pytest
from PIL import Image

from catscans_lib import datasets
from catscans_lib.datasets import label_maps, own
from catscans_lib.errors import InputError


@pytest.fixture
def cards(monkeypatch):
    """Return a function that gives datasets one and two these classes, and two a map."""

    def given(one, two, labels_as=None, **more):
        labels_as = {} if labels_as is None else {"one": labels_as}
        base = {"modality": "", "licence": "", "url": "", "citation": "", "reader": ""}
        found = {
            "one": datasets.DatasetInfo("one", "One", classes=tuple(one), **base),
            "two": datasets.DatasetInfo("two", "Two", classes=tuple(two), labels_as=labels_as, **base, **more),
        }
        monkeypatch.setattr(datasets, "published", lambda: found)

    return given


def test_without_a_map_classes_of_the_same_name_correspond(cards):
    cards("abc", "bcd")
    assert label_maps.label_map("one", "two") == {"b": ["b"], "c": ["c"]}


def test_a_class_may_correspond_to_several_and_several_to_one():
    assert label_maps.label_map("brain_tumours", "brain_mri")["yes"] == ["glioma", "meningioma", "pituitary"]
    assert label_maps.label_map("brain_mri", "brain_tumours")["glioma"] == ["yes"]


def test_every_map_of_a_published_card_is_valid():
    pairs = [(train, name) for name, card in datasets.published().items() for train in card.labels_as]
    assert ("isic2018", "isic2017") in pairs
    for train, test in pairs:
        assert len(set(map(tuple, label_maps.label_map(train, test).values()))) >= 2


@pytest.mark.parametrize(
    ("labels_as", "message"),
    [
        ({"x": "a", "z": "b"}, r"'z' is no class of 'two'; known: x, y\. Correct labels_as.one in the card of 'two'"),
        ({"x": "a", "y": ["b", "d"]}, "'d' is no class of 'one'; known: a, b, c"),
        ({"x": "a"}, "1 classes correspond, at least two are needed. 'one' has: a, b, c; 'two' has: x, y"),
        ({"x": "a", "y": "a"}, "1 classes correspond"),
        ({"x": ["a", "b"], "y": ["b", "c"]}, "two classes have some but not all counterparts in common"),
        (None, "0 classes correspond.* State labels_as.one in the card of 'two'"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused(cards, labels_as, message):
    cards("abc", "xy", labels_as)
    with pytest.raises(InputError, match=message):
        label_maps.label_map("one", "two")


def test_a_collection_made_of_the_training_images_under_other_names_is_no_other_collection(cards):
    cards("ab", "ab", part_of="one", keeps_ids=False)
    with pytest.raises(InputError, match="images of the same patients under different names"):
        label_maps.check_separable("one", "two")
    cards("ab", "ab", part_of="one")
    label_maps.check_separable("one", "two")


def test_the_age_and_sex_of_isic_2017_are_details_of_its_images(tmp_path):
    folder = tmp_path / "ISIC-2017_Training_Data"
    folder.mkdir()
    for name in ("ISIC_1", "ISIC_2", "ISIC_3"):
        Image.new("RGB", (4, 4)).save(folder / f"{name}.jpg")
    truth = "image_id,melanoma,seborrheic_keratosis\nISIC_1,1.0,0.0\nISIC_2,0.0,0.0\nISIC_3,0.0,1.0\n"
    (tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv").write_text(truth)
    about = tmp_path / "ISIC-2017_Training_Data_metadata.csv"
    about.write_text("image_id,age_approximate,sex\nISIC_2,55,female\nISIC_1,unknown,male\n")
    listing = datasets.read("isic2017", tmp_path)
    rows = listing.images.merge(listing.details, on="path")[["image_id", "sex", "age"]].to_numpy().tolist()
    assert rows == [["ISIC_1", "male", "unknown"], ["ISIC_2", "female", "55"], ["ISIC_3", "", ""]]
    about.unlink()
    assert datasets.read("isic2017", tmp_path).details is None


def test_an_own_table_names_the_columns_that_describe_its_images(tmp_path):
    for name in ("1.png", "2.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    table = tmp_path / "own.csv"
    table.write_text("path,label,scanner\n1.png,a,Siemens\n2.png,b,GE\n")
    card = own.card_at(table, detail_columns=["scanner"])
    assert card.read(tmp_path).details["scanner"].tolist() == ["Siemens", "GE"]
