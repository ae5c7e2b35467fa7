"""ImageNet and STI-10 by WordNet id."""

import shutil

import fixtures

from catscans_lib import datasets


def test_imagenet_is_read_with_and_without_train(tmp_path):
    fixtures.write_imagenet(tmp_path)
    flat = datasets.read("imagenet", tmp_path).images
    assert len(flat) == 12 and (flat["group"] == flat["image_id"]).all()
    (tmp_path / "imagenet").rename(tmp_path / "train")
    (tmp_path / "imagenet/val").mkdir(parents=True)
    (tmp_path / "train").rename(tmp_path / "imagenet/train")
    images = datasets.read("imagenet", tmp_path).images
    assert list(images["image_id"]) == list(flat["image_id"])
    assert images["path"][0] == "imagenet/train/n01440764/ILSVRC2012_val_00000000.JPEG"


def test_sti10_has_the_words_of_its_synsets_leaves_others_out_and_names_missing_ones(tmp_path):
    fixtures.write_sti10(tmp_path)
    listing = datasets.read("sti10", tmp_path)
    assert listing.problems.empty and listing.classes == datasets.get("sti10").classes
    assert listing.images["label"][0] == "brick" and listing.images["image_id"][0] == "n02897820/n02897820_0"
    fixtures.save(tmp_path / "sti10/n00000001/n00000001_1.JPEG", 1)
    shutil.rmtree(tmp_path / "sti10/n03530642")
    listing = datasets.read("sti10", tmp_path)
    assert "in no folder of a class" in fixtures.problems(listing)["sti10/n00000001/n00000001_1.JPEG"]
    assert "class honeycomb has no image" in set(listing.problems["problem"])
    assert len(listing.images) == 18
