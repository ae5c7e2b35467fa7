"""ImageNet and STI-10 by WordNet id: folders and tars."""

import shutil

import fixtures
import pytest

from catscans_lib import datasets
from catscans_lib.errors import InputError
from catscans_lib.images import store

TAR = "imagenet/n01440764.tar"


def stored(data_dir, n_processes=1):
    listing = datasets.read("imagenet", data_dir)
    store.write(data_dir / "x.h5", listing, dataset="imagenet", size_px=16, n_processes=n_processes)
    return store.open_store(data_dir / "x.h5")


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


@pytest.mark.parametrize("n_processes", [1, 2])
def test_tars_give_the_same_store_as_folders(tmp_path, n_processes):
    fixtures.write_imagenet(tmp_path)
    unpacked = stored(tmp_path)
    fixtures.pack_imagenet(tmp_path)
    packed = stored(tmp_path, n_processes)
    assert packed.fingerprint == unpacked.fingerprint and (packed.images == unpacked.images).all()
    assert packed.table["path"][0].startswith(f"{TAR}:n01440764/ILSVRC2012_val_00000000.JPEG:")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imagenet", "x.h5"]  # nothing was unpacked


def test_a_truncated_or_compressed_tar_is_refused(tmp_path):
    fixtures.write_imagenet(tmp_path)
    fixtures.pack_imagenet(tmp_path)
    data = (tmp_path / TAR).read_bytes()
    for broken in (data[: len(data) // 2], data[:100], b"no tar" * 500):
        (tmp_path / TAR).write_bytes(broken)
        with pytest.raises(InputError, match=f"Cannot read '.*{TAR}'.*It must be an uncompressed tar"):
            datasets.read("imagenet", tmp_path)


def test_sti10_has_the_words_of_its_synsets_leaves_others_out_and_names_missing_ones(tmp_path):
    fixtures.write_sti10(tmp_path)
    listing = datasets.read("sti10", tmp_path)
    assert listing.problems.empty and listing.classes == datasets.get("sti10").classes
    assert listing.images["label"][0] == "brick" and listing.images["image_id"][0] == "n02897820/n02897820_0"
    wanted = list(listing.images["image_id"])
    fixtures.pack(tmp_path / "sti10/n07840804", tmp_path / "sti10/n07840804.tar")
    assert list(datasets.read("sti10", tmp_path).images["image_id"]) == wanted
    fixtures.save(tmp_path / "sti10/n00000001/n00000001_1.JPEG", 1)
    shutil.rmtree(tmp_path / "sti10/n03530642")
    listing = datasets.read("sti10", tmp_path)
    assert "in no folder of a class" in fixtures.problems(listing)["sti10/n00000001/n00000001_1.JPEG"]
    assert "class honeycomb has no image" in set(listing.problems["problem"])
    assert len(listing.images) == 18
