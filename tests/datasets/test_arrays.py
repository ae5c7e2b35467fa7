"""The datasets that come as arrays: STL-10, STI-10's arrays, PCam; and KimiaPath960, whose classes are in file names."""

import gzip
import io

import fixtures
import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from catscans_lib import datasets
from catscans_lib.datasets.pcam import png
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


def problems(listing):
    return dict(zip(listing.problems["path"], listing.problems["problem"], strict=True))


def test_stl10_images_stand_upright_in_rgb(data_dir):
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
    assert problems(listing) == {
        "stl10_binary/train_X.bin:00000003": "label 0, known are 1 to 10; left out",
        "stl10_binary/test_X.bin": "no such file, so the test images are missing",
    }


@pytest.mark.parametrize(
    ("file", "length", "message"),
    [
        ("train_X.bin", 27648 * 3 + 5, "no multiple of an image's 27,648: it was cut off"),
        ("train_X.bin", 27648 * 3, "holds 3 images and 'train_y.bin' 20 labels"),
        ("class_names.txt", 9, "names airplane; STL-10 has airplane, bird"),
    ],
)
def test_stl10_files_that_do_not_belong_together_are_refused(data_dir, file, length, message):
    fixtures.write_stl10(data_dir)
    path = data_dir / "stl10_binary" / file
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=message):
        datasets.read("stl10", data_dir)


def test_sti10_arrays_are_turned_from_bgr_to_rgb(data_dir):
    images = fixtures.noise(0, 20, 48)
    (data_dir / "sti10").mkdir(parents=True)
    np.save(data_dir / "sti10/all_imgs.npy", images[..., ::-1])
    np.save(data_dir / "sti10/all_labels.npy", np.repeat(np.arange(10), 2))
    opened = stored("sti10", data_dir, 48)
    assert (opened.images == images).all()
    assert opened.table["label"].tolist()[::2] == list(datasets.get("sti10").classes)


def test_sti10_labels_may_be_wnids_and_unknown_ones_are_reported(data_dir):
    (data_dir / "sti10").mkdir(parents=True)
    np.save(data_dir / "sti10/all_imgs.npy", fixtures.noise(0, 3, 16))
    np.save(data_dir / "sti10/all_labels.npy", np.array(["n07840804", "egg", "n00000001"]))
    listing = datasets.read("sti10", data_dir)
    assert listing.images["label"].tolist() == ["egg", "egg"]
    assert "label" in problems(listing)["sti10/all_imgs.npy:00000002"]


def test_pickled_arrays_are_never_opened(data_dir):
    (data_dir / "sti10").mkdir(parents=True)
    np.save(data_dir / "sti10/all_imgs.npy", fixtures.noise(0, 1, 16))
    np.save(data_dir / "sti10/all_labels.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="never unpickled"):
        datasets.read("sti10", data_dir)


def test_missing_synsets_are_named(data_dir):
    fixtures.write_sti10(data_dir)
    for path in (data_dir / "sti10/n03530642").iterdir():
        path.unlink()
    (data_dir / "sti10/n03530642").rmdir()
    listing = datasets.read("sti10", data_dir)
    assert problems(listing)["sti10/n03530642"] == "no such folder or tar, the synset of honeycomb"
    assert len(listing.images) == 18


def test_the_two_parts_of_pcam_are_of_the_studys_shares_by_class_and_share_no_patch(data_dir):
    fixtures.write_pcam(data_dir, n=330)  # 495 of each class
    middle, small = (datasets.read(name, data_dir).images for name in ("pcam_middle", "pcam_small"))
    for part, share in ((middle, 100_000 / 327_680), (small, 10_000 / 327_680)):
        assert part["label"].value_counts().to_numpy() == pytest.approx(495 * share, abs=1)
    assert not set(middle["image_id"]) & set(small["image_id"])
    again = datasets.read("pcam_middle", data_dir).images
    pd.testing.assert_frame_equal(middle, again)
    assert set(middle["split"]) == {"train", "valid", "test"}
    assert middle["group"].str.fullmatch(r"camelyon16_\w+_\d{3}").all()


def test_pcam_patches_are_those_of_the_file(data_dir):
    fixtures.write_pcam(data_dir, n=1100, size=16)  # more than one block
    opened = stored("pcam_middle", data_dir, 16)
    patches = {split: fixtures.noise(10 + seed, 1100, 16) for seed, split in enumerate(("train", "valid", "test"))}
    for row, image_id in enumerate(opened.table["image_id"]):
        split, index = image_id.split("_")
        assert (opened.images[row] == patches[split][int(index)]).all()
        assert opened.table["label"][row] == ("normal", "tumour")[int(index) % 2]


def test_pcam_without_slides_or_a_split_says_so(data_dir):
    fixtures.write_pcam(data_dir, n=66, size=16)
    (data_dir / f"{TRAIN}_meta.csv").unlink()
    (data_dir / "pcam/camelyonpatch_level_2_split_test_x.h5").unlink()
    found = problems(datasets.read("pcam_middle", data_dir))
    assert "patches of one slide may lie in two folds" in found[f"{TRAIN}_meta.csv"]
    assert "no such file, so the test patches are missing" in found["pcam/camelyonpatch_level_2_split_test_x.h5"]


@pytest.mark.parametrize("chunks", [None, (10, 16, 16, 3)])
def test_pcam_is_read_from_the_packed_files_as_from_the_unpacked(data_dir, chunks):
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


def test_packed_patches_that_end_too_soon_are_named_and_leave_no_store(data_dir):
    fixtures.write_pcam(data_dir, n=330, size=16)
    path = data_dir / f"{TRAIN}_x.h5"
    packed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    path.unlink()
    with pytest.raises(InputError, match="Cannot read '.*train_x.h5.gz'.*Download it again"):
        stored("pcam_middle", data_dir, 16)
    assert not list(data_dir.parent.glob("*.h5*"))


def test_pcam_files_that_are_broken_or_do_not_belong_together_are_refused(data_dir):
    fixtures.write_pcam(data_dir, n=66, size=16)
    with h5py.File(data_dir / f"{TRAIN}_y.h5", "w") as file:
        file["y"] = np.zeros(65, np.uint8)
    with pytest.raises(InputError, match=r"train_x.h5' holds 66 patches and .*train_y.h5' 65 labels"):
        datasets.read("pcam_small", data_dir)
    (data_dir / f"{TRAIN}_x.h5").write_bytes(b"no h5")
    with pytest.raises(InputError, match="Cannot read '.*train_x.h5'"):
        datasets.read("pcam_small", data_dir)


def test_pcam_is_also_read_from_the_pngs_the_study_made(data_dir):
    images = write_pngs(data_dir, 40)
    opened = stored("pcam_middle", data_dir, 16)
    assert len(opened.images) == 12  # 20 * 100,000 / 327,680 of each class
    for row, image_id in enumerate(opened.table["image_id"]):
        assert (opened.images[row] == images[int(image_id)]).all()


def test_patches_turned_into_pngs_and_back_are_the_same_files(data_dir):
    fixtures.write_pcam(data_dir, n=1100, size=16)  # more than one block
    folder = data_dir / "pcam"
    before = stored("pcam_middle", data_dir, 16)
    kept = {path.name: path.read_bytes() for path in folder.glob("*_meta.csv")}
    arrays = {path.name: h5py.File(path)[path.stem[-1]][:] for path in folder.glob("*.h5")}
    assert png.to_png(folder) == 3300
    assert (folder / "png/1101_label=1.png").is_file()
    for path in [*folder.glob("*.h5"), *folder.glob("*_meta.csv")]:
        path.unlink()
    as_png = stored("pcam_middle", data_dir, 16)
    columns = ["image_id", "label", "group", "split"]
    pd.testing.assert_frame_equal(as_png.table[columns], before.table[columns])
    assert (as_png.images == before.images).all()
    assert png.to_h5(folder) == 3300
    assert {path.name: h5py.File(path)[path.stem[-1]][:].tolist() for path in folder.glob("*.h5")} == {
        name: array.tolist() for name, array in arrays.items()
    }
    for name, content in kept.items():
        assert pd.read_csv(folder / name)["wsi"].equals(pd.read_csv(io.BytesIO(content))["wsi"])


def test_pngs_without_a_table_become_training_patches_in_the_order_of_their_index(data_dir):
    images = write_pngs(data_dir, 12)
    assert png.to_h5(data_dir / "pcam") == 12
    with h5py.File(data_dir / f"{TRAIN}_x.h5") as file:
        assert (file["x"][:] == images).all()
    with h5py.File(data_dir / f"{TRAIN}_y.h5") as file:
        assert file["y"].shape == (12, 1, 1, 1) and (file["y"][:].ravel() == np.arange(12) % 2).all()
    assert not list((data_dir / "pcam").glob("*_meta.csv"))


def test_all_327680_pngs_have_the_published_splits():
    table = png._assumed(list(range(327_680)))
    assert table.groupby("split").size().to_dict() == {"test": 32_768, "train": 262_144, "valid": 32_768}
    assert table.set_index("index").loc[262_144].tolist() == ["valid", 0, ""]


def test_a_conversion_never_overwrites_and_names_what_does_not_fit(data_dir):
    fixtures.write_pcam(data_dir, n=33, size=16)
    folder = data_dir / "pcam"
    with pytest.raises(InputError, match="train_x.h5' is there already"):
        png.to_h5(folder)
    png.to_png(folder)
    with pytest.raises(InputError, match="png' is there already"):
        png.to_png(folder)
    for path in folder.glob("*.h5"):
        path.unlink()
    (folder / "png/7_label=1.png").unlink()
    with pytest.raises(InputError, match="differ, such as in index 7"):
        png.to_h5(folder)
    (folder / "png.csv").unlink()
    Image.new("RGB", (8, 8)).save(folder / "png/7_label=1.png")
    with pytest.raises(InputError, match=r"7_label=1.png' is \(8, 8, 3\), the patches before it are \(16, 16, 3\)"):
        png.to_h5(folder)
    assert not list(folder.glob("*.h5*"))


def test_a_conversion_that_fails_leaves_no_pngs(data_dir):
    fixtures.write_pcam(data_dir, n=33, size=16)
    (data_dir / "pcam/camelyonpatch_level_2_split_test_y.h5").write_bytes(b"no h5")
    with pytest.raises(InputError, match="Cannot read '.*test_y.h5'"):
        png.to_png(data_dir / "pcam")
    assert not (data_dir / "pcam/png").exists() and not (data_dir / "pcam/png.csv").exists()


def write_pngs(data_dir, n):
    images = fixtures.noise(0, n, 16)
    (data_dir / "pcam/png").mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(data_dir / f"pcam/png/{index}_label={index % 2}.png")
    return images


def test_kimia_classes_are_the_letters_that_names_begin_with(data_dir):
    fixtures.write_kimia960(data_dir)
    fixtures.save(data_dir / "kimia_path_960/Z1.tif", 1)
    listing = datasets.read("kimia960", data_dir)
    assert listing.images["label"].value_counts().to_dict() == dict.fromkeys(datasets.get("kimia960").classes, 2)
    assert "begins with 'Z'" in problems(listing)["kimia_path_960/Z1.tif"]
    assert stored("kimia960", data_dir, 16).images.shape == (40, 16, 16, 3)
