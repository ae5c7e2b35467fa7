"""ImageNet and STI-10 by WordNet id: folders and tars."""

import shutil

import fixtures
import pytest

from catscans_lib import datasets
from catscans_lib.errors import InputError
from catscans_lib.images import store

TAR = "imagenet/n01440764.tar"


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_imagenet(tmp_path / "native")
    return tmp_path / "native"


def stored(data_dir, n_processes=1):
    listing = datasets.read("imagenet", data_dir)
    store.write(data_dir / "x.h5", listing, dataset="imagenet", size_px=16, n_processes=n_processes)
    return store.open_store(data_dir / "x.h5")


def test_folders_are_read_with_and_without_train_and_names_tell_the_split(data_dir):
    flat = datasets.read("imagenet", data_dir).images
    assert flat["split"].value_counts().to_dict() == {"train": 9, "val": 3}
    assert (flat["group"] == flat["image_id"]).all()
    (data_dir / "imagenet").rename(data_dir / "train")
    (data_dir / "imagenet/val").mkdir(parents=True)
    (data_dir / "train").rename(data_dir / "imagenet/train")
    (data_dir / "imagenet/train/cats").mkdir()
    listing = datasets.read("imagenet", data_dir)
    assert list(listing.images["image_id"]) == list(flat["image_id"])
    assert listing.images["path"][0] == "imagenet/train/n01440764/ILSVRC2012_val_00000000.JPEG"
    assert "n\\d{8}" in fixtures.problems(listing)["imagenet/train/cats"]


@pytest.mark.parametrize("n_processes", [1, 2])
def test_tars_give_the_same_store_as_folders(data_dir, n_processes):
    unpacked = stored(data_dir)
    fixtures.pack_imagenet(data_dir)
    packed = stored(data_dir, n_processes)
    assert packed.fingerprint == unpacked.fingerprint
    assert (packed.images == unpacked.images).all()
    assert packed.table["path"][0].startswith(f"{TAR}:n01440764/ILSVRC2012_val_00000000.JPEG:")
    assert sorted(path.name for path in data_dir.iterdir()) == ["imagenet", "x.h5"]  # nothing was unpacked


def test_other_files_and_damaged_images_in_a_tar_are_reported_and_the_rest_is_kept(data_dir):
    path = data_dir / "imagenet/n01440764/n01440764_1.JPEG"
    path.write_bytes(path.read_bytes()[:300])
    (data_dir / "imagenet/n01440764/notes.doc").write_text("x")
    fixtures.pack_imagenet(data_dir)
    listing = datasets.read("imagenet", data_dir)
    said = fixtures.problems(listing)
    assert "not an image file" in said[f"{TAR}:n01440764/notes.doc"]
    problems = store.write(data_dir / "x.h5", listing, dataset="imagenet", size_px=16)
    assert len(problems) == 1 and "n01440764/n01440764_1.JPEG" in problems["path"][0]
    assert len(store.open_store(data_dir / "x.h5").images) == 11


def test_a_truncated_or_compressed_tar_is_refused(data_dir):
    fixtures.pack_imagenet(data_dir)
    data = (data_dir / TAR).read_bytes()
    for broken in (data[: len(data) // 2], data[:100], b"no tar" * 500):
        (data_dir / TAR).write_bytes(broken)
        with pytest.raises(InputError, match=f"Cannot read '.*{TAR}'.*It must be an uncompressed tar"):
            datasets.read("imagenet", data_dir)


def test_sti10_takes_its_synsets_from_folders_and_tars_ignores_others_and_names_missing_ones(tmp_path):
    fixtures.write_sti10(tmp_path)
    wanted = list(datasets.read("sti10", tmp_path).images["image_id"])
    fixtures.pack(tmp_path / "sti10/n07840804", tmp_path / "sti10/n07840804.tar")
    fixtures.save(tmp_path / "sti10/n00000001/n00000001_1.JPEG", 1)
    listing = datasets.read("sti10", tmp_path)
    assert list(listing.images["image_id"]) == wanted
    assert listing.problems.empty
    shutil.rmtree(tmp_path / "sti10/n03530642")
    listing = datasets.read("sti10", tmp_path)
    assert fixtures.problems(listing)["sti10/n03530642"] == "no such folder or tar, the synset of honeycomb"
    assert len(listing.images) == 18
