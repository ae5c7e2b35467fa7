"""Datasets published as arrays (STL-10, PCam), and KimiaPath960, whose file names tell the class."""

import gzip

import fixtures
import h5py
import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets
from catscans_lib.datasets import pcam
from catscans_lib.errors import InputError
from catscans_lib.images import store

TRAIN = "pcam/camelyonpatch_level_2_split_train"


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "native"


def stored(name, data_dir, size_px=96):
    """The opened store of a dataset."""
    path = data_dir.parent / f"{name}.h5"
    store.write(path, datasets.read(name, data_dir), dataset=name, size_px=size_px)
    return store.open_store(path)


def test_stl10_images_are_upright_and_rgb(data_dir):
    fixtures.write_stl10(data_dir)
    opened = stored("stl10", data_dir)
    assert opened.classes == datasets.get("stl10").classes
    assert opened.table["split"].value_counts().to_dict() == {"test": 20, "train": 20}
    for seed, split in enumerate(("train", "test")):
        rows = opened.table.index[opened.table["split"] == split]
        assert (opened.images[rows] == fixtures.noise(seed, 20)).all()
    assert opened.table["label"].iloc[:2].tolist() == ["airplane", "airplane"]


def test_stl10_labels_out_of_range_are_left_out_and_a_missing_half_is_reported(data_dir):
    fixtures.write_stl10(data_dir)
    codes = np.fromfile(data_dir / "stl10_binary/train_y.bin", np.uint8)
    codes[3] = 0
    codes.tofile(data_dir / "stl10_binary/train_y.bin")
    (data_dir / "stl10_binary/test_X.bin").unlink()
    listing = datasets.read("stl10", data_dir)
    assert len(listing.images) == 19
    assert fixtures.problems(listing) == {
        "stl10_binary/train_X.bin:00000003": "label 0; known are 1 to 10; left out",
        "stl10_binary/test_X.bin": "no such file, so the test images are missing",
    }


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (27648 * 3 + 1000, r"holds 3.03617 images and 'train_y.bin' 20 labels"),
        (27648 * 3, "holds 3 images and 'train_y.bin' 20 labels"),
    ],
)
def test_stl10_files_that_do_not_belong_together_are_refused(data_dir, length, message):
    fixtures.write_stl10(data_dir)
    path = data_dir / "stl10_binary/train_X.bin"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=message):
        datasets.read("stl10", data_dir)


def test_the_two_parts_of_pcam_have_the_shares_of_the_study_and_share_no_slide(data_dir):
    fixtures.write_pcam(data_dir, n=330)  # 495 of each class
    middle, small = (datasets.read(name, data_dir).images for name in ("pcam_middle", "pcam_small"))
    for part, share in ((middle, 100_000 / 327_680), (small, 10_000 / 327_680)):
        assert part["label"].value_counts().to_numpy() == pytest.approx(495 * share, abs=1)
    assert not set(middle["group"]) & set(small["group"])
    assert small["group"].nunique() >= 3
    again = datasets.read("pcam_middle", data_dir).images
    pd.testing.assert_frame_equal(middle, again)
    assert set(middle["split"]) == {"train", "valid", "test"}
    assert middle["group"].str.fullmatch(r"camelyon16_\w+_\d{3}").all()


@pytest.mark.parametrize("seed", range(4))
def test_parts_of_slides_that_differ_in_size_and_class_share_none_and_have_both_classes(data_dir, seed):
    fixtures.write_pcam(data_dir, n=330)
    rng = np.random.default_rng(seed)
    for split in ("train", "valid", "test"):
        slides = np.repeat(np.arange(20), rng.multinomial(330, rng.dirichlet(np.ones(20))))
        share = rng.choice([0, 0.4, 0.9], 20)  # of tumour patches; a normal slide has none
        stem = f"pcam/camelyonpatch_level_2_split_{split}"
        pd.DataFrame({"wsi": [f"{split}_{slide}" for slide in slides]}).to_csv(data_dir / f"{stem}_meta.csv")
        with h5py.File(data_dir / f"{stem}_y.h5", "w") as file:
            file["y"] = (rng.random(330) < share[slides]).astype(np.uint8)
    found = pcam.read_all(data_dir / "pcam", data_dir).images["label"].value_counts()
    middle, small = (datasets.read(name, data_dir).images for name in ("pcam_middle", "pcam_small"))
    assert not set(middle["group"]) & set(small["group"])
    for part, share in ((middle, 100_000 / 327_680), (small, 10_000 / 327_680)):
        assert part["label"].value_counts().to_dict() == (found * share).astype(int).to_dict()


def test_one_slide_cannot_be_divided_between_the_parts(data_dir):
    fixtures.write_pcam(data_dir, n=30)
    for split in ("valid", "test"):
        (data_dir / f"pcam/camelyonpatch_level_2_split_{split}_x.h5").unlink()
    with pytest.raises(InputError, match=r"30 images in 1 group\(s\) cannot be split"):
        datasets.read("pcam_small", data_dir)


def test_pcam_patches_are_those_of_the_file(data_dir):
    fixtures.write_pcam(data_dir, n=1100, size=16)  # more than one block
    opened = stored("pcam_middle", data_dir, 16)
    patches = {split: fixtures.noise(10 + seed, 1100, 16) for seed, split in enumerate(("train", "valid", "test"))}
    for row, image_id in enumerate(opened.table["image_id"]):
        split, index = image_id.split("_")
        assert (opened.images[row] == patches[split][int(index)]).all()
        assert opened.table["label"][row] == ("normal", "tumour")[int(index) % 2]


def test_pcam_without_a_split_or_slides_says_so(data_dir):
    fixtures.write_pcam(data_dir, n=66, size=16)
    (data_dir / "pcam/camelyonpatch_level_2_split_test_x.h5").unlink()
    found = fixtures.problems(datasets.read("pcam_middle", data_dir))
    assert "no such file, so the test patches are missing" in found["pcam/camelyonpatch_level_2_split_test_x.h5"]
    (data_dir / f"{TRAIN}_meta.csv").unlink()
    with pytest.raises(InputError, match="Cannot read '.*train_meta.csv'.*Download it again"):
        datasets.read("pcam_middle", data_dir)


@pytest.mark.parametrize("chunks", [None, (10, 16, 16, 3)])
def test_compressed_pcam_files_give_the_same_store(data_dir, chunks):
    fixtures.write_pcam(data_dir, n=330, size=16)
    with h5py.File(data_dir / f"{TRAIN}_x.h5", "r+") as file:
        images = file["x"][:]
        del file["x"]
        file.create_dataset("x", data=images, chunks=chunks)
    plain = stored("pcam_middle", data_dir, 16)
    for path in (data_dir / "pcam").glob("*.h5"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = stored("pcam_middle", data_dir, 16)
    assert packed.fingerprint == plain.fingerprint
    whole = data_dir / f"{TRAIN}_y.h5.gz"
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(InputError, match="Cannot read '.*train_y.h5.gz'"):
        datasets.read("pcam_middle", data_dir)


def test_pcam_files_that_are_damaged_or_do_not_belong_together_are_refused(data_dir):
    fixtures.write_pcam(data_dir, n=330, size=16)
    path = data_dir / f"{TRAIN}_x.h5"
    packed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    path.unlink()
    with pytest.raises(InputError, match="Cannot read '.*train_x.h5.gz'.*Download it again"):
        stored("pcam_middle", data_dir, 16)
    assert not list(data_dir.parent.glob("*.h5*"))
    path.write_bytes(b"no h5")
    with pytest.raises(InputError, match="Cannot read '.*train_x.h5'"):
        datasets.read("pcam_small", data_dir)
    path.write_bytes(gzip.decompress(packed))
    with h5py.File(data_dir / f"{TRAIN}_y.h5", "w") as file:
        file["y"] = np.zeros(65, np.uint8)
    with pytest.raises(InputError, match=r"train_x.h5' holds 330 patches and .*train_y.h5' 65 labels"):
        datasets.read("pcam_small", data_dir)


def test_kimia_classes_are_the_first_letters_of_file_names(data_dir):
    fixtures.write_kimia960(data_dir)
    fixtures.save(data_dir / "kimia_path_960/Z1.tif", 1)
    listing = datasets.read("kimia960", data_dir)
    assert listing.images["label"].value_counts().to_dict() == dict.fromkeys(datasets.get("kimia960").classes, 2)
    assert "its name does not match ([A-T])" in fixtures.problems(listing)["kimia_path_960/Z1.tif"]
    assert stored("kimia960", data_dir, 16).images.shape == (40, 16, 16, 3)
