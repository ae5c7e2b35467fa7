"""Identical files and near duplicates of two datasets are found: none twice, none missed, nothing else."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fixtures import picture
from PIL import Image

from catscans_lib import paths
from catscans_lib.datasets import ingest
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.images import duplicates
from catscans_lib.images.store import ImageStore
from catscans_lib.runs import execute, in_notebook


def stored(dataset, *images, size=48, paths=True):
    """A store of (picture, SHA-256) pairs, whose labels are letters."""
    pixels = [np.asarray(image.resize((size, size))) for image, _ in images]
    ids = [f"{dataset}{k}" for k in range(len(images))]
    table = pd.DataFrame({"image_id": ids, "sha256": [sha for _, sha in images], "label": list("abcdefgh"[: len(ids)])})
    table = table.assign(path=table["image_id"] + ".png" if paths else "")
    return ImageStore(np.stack(pixels), table, ("a",), dataset, size, "")


def searched(*stores):
    """The stores by name, and the tables of identical and similar images."""
    known = {store.dataset: store for store in stores}
    images = duplicates.read(list(known), known.get)
    return known, duplicates.identical(images), duplicates.alike(images)


def recompressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


def test_identical_and_similar_images_by_hand():
    one = stored("one", (picture(0), "s"), (picture(1), "t"), (picture(2), "u"), (picture(0), "s"))
    two = stored("two", (picture(3), "v"), (recompressed(picture(1)), "w"), (picture(0), "s"), size=32, paths=False)
    known, identical, alike = searched(one, two)
    assert identical[duplicates.IDENTICAL].values.tolist() == [["one", "two", "s", "one0.png", "two2", "a", "c"]]
    ((dataset, other, bits, *rest),) = alike[duplicates.ALIKE].values.tolist()
    assert (dataset, other, rest) == ("one", "two", ["one1.png", "two1", "b", "b"])
    assert bits <= 3
    assert duplicates.counts(list(known), identical, alike).values.tolist() == [["one", "two", 1, 1]]


def random_images(seed, n=120):
    """Four datasets with few hashes, most of them up to four bits from another, and few files, some of them in two datasets."""
    rng = np.random.default_rng(seed)
    bits = np.uint64(1) << rng.integers(0, 64, (5, 8, 4), dtype=np.uint64)
    flipped = bits * (np.arange(4) < rng.integers(0, 5, (5, 8, 1))).astype(np.uint64)
    hashes = rng.integers(0, 2**63, (5, 1), dtype=np.uint64) ^ np.bitwise_xor.reduce(flipped, axis=2)
    dataset = pd.Categorical(rng.choice(list("abcd"), n), list("dcba"), ordered=True)
    images = pd.DataFrame(
        {"dataset": dataset, "hash": rng.choice(hashes.ravel(), n), "sha256": rng.integers(0, 40, n).astype(str)}
    )
    return images.assign(row=images.groupby("dataset").cumcount(), blank=rng.random(n) < 0.1)


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_those_of_comparing_all_with_all_once_per_hash(seed):
    images = random_images(seed)
    by_place = {(image.dataset, image.row): image for image in images.itertuples()}
    files, looks = set(), set()
    for one in by_place.values():
        for other in by_place.values():
            if "dcba".index(one.dataset) < "dcba".index(other.dataset):
                if one.sha256 == other.sha256:
                    files.add((one.dataset, other.dataset, one.sha256))
                elif not (one.blank or other.blank) and (one.hash ^ other.hash).bit_count() <= 3:
                    looks.add((one.dataset, other.dataset, one.hash, other.hash))
    pairs = duplicates.identical(images)
    at = [(by_place[pair.dataset, pair.row], by_place[pair.other, pair.other_row]) for pair in pairs.itertuples()]
    assert sorted((one.dataset, other.dataset, one.sha256) for one, other in at) == sorted(files)
    assert all(one.sha256 == other.sha256 for one, other in at)
    pairs = duplicates.alike(images)
    at = [(by_place[pair.dataset, pair.row], by_place[pair.other, pair.other_row]) for pair in pairs.itertuples()]
    assert sorted((one.dataset, other.dataset, one.hash, other.hash) for one, other in at) == sorted(looks)
    assert all(one.sha256 != other.sha256 and not one.blank and not other.blank for one, other in at)
    assert list(pairs["bits"]) == [(one.hash ^ other.hash).bit_count() for one, other in at]
    assert len(files) > 20
    assert len(looks) > 20


def test_blank_images_are_counted_and_compared_by_their_files_only():
    white, grey = (Image.new("RGB", (8, 8), colour) for colour in ("white", "grey"))
    one, two = stored("one", (white, "s"), (grey, "t")), stored("two", (white, "s"), (grey, "u"), (picture(0), "v"))
    known, identical, alike = searched(one, two)
    assert list(identical["sha256"]) == ["s"]
    assert alike.empty
    read = duplicates.read(list(known), known.get)
    assert read.groupby("dataset")["blank"].sum().tolist() == [2, 2]
    pixels = np.full((40, 40, 3), 7, np.uint8)
    pixels[39, 39, 2] = 8  # almost blank
    known = {"one": stored("one", (Image.fromarray(pixels), "s"), (Image.new("RGB", (8, 8), (7, 8, 9)), "t"), size=40)}
    assert duplicates.read(["one"], known.get)["blank"].tolist() == [False, True]


def test_one_dataset_alone_gives_empty_tables_with_their_columns():
    known, identical, alike = searched(stored("one", (picture(0), "s"), (picture(0), "s"), (picture(0), "t")))
    assert identical.empty and set(duplicates.IDENTICAL) <= set(identical)
    assert alike.empty and set(duplicates.ALIKE) <= set(alike)
    counts = duplicates.counts(list(known), identical, alike)
    assert counts.empty and list(counts) == ["dataset", "other", "n_identical", "n_alike"]


def test_rows_of_one_hash_are_paired_with_the_first_of_them_only():
    hashes = np.array([7, 0b1111 << 40, 7, 6, 7], np.uint64)
    assert duplicates.close_pairs(hashes).tolist() == [[0, 2], [0, 3], [0, 4]]
    assert len(duplicates.close_pairs(np.zeros(5000, np.uint64))) == 4999


def test_groups_are_linked_through_each_other_and_named_by_their_first_row():
    far = 0xFFFF << 40
    hashes = np.array([far, 0b0, 0b111, 0b111111, far | 1 << 63, (1 << 30) - 1], np.uint64)
    assert duplicates.groups(hashes).tolist() == [0, 1, 1, 1, 0, 5]
    assert duplicates.groups(hashes[:0]).tolist() == []


def test_a_dataset_that_the_profile_lacks_is_named_with_those_it_has():
    run = in_notebook.Run("overlaps", "all", "sample", "sample", None, None, None)
    with pytest.raises(InputError, match="Unknown dataset of profile sample 'stl10'; known: bloodcell, brain_mri, "):
        duplicates.read(["stl10"], run.open_store)


@pytest.mark.usefixtures("native_project")
def test_the_notebook_finds_what_was_put_into_two_datasets(native_data):
    textures = sorted((native_data / "dtd/images/banded").glob("*.jpg"))
    lesions = sorted((native_data / "ISIC2018/ISIC2018_Task3_Training_Input").glob("*.jpg"))
    shutil.copy(textures[0], lesions[5])
    Image.open(textures[1]).save(lesions[9], quality=60)
    grid = expand.grid("sample")
    for settings in (grid[key].settings for key in grid["overlaps/all"].needs):
        ingest.store_dataset(settings, paths.store_path("sample", settings.dataset, settings.size_px))
        done = paths.run_dir("sample", "ingest", settings.dataset)
        done.mkdir(parents=True)
        (done / "run.json").write_text('{"status": "completed"}')
    made = execute.execute(grid["overlaps/all"], "sample")
    ((_, _, _, *names, _, _),) = pd.read_csv(made / "identical.csv").values.tolist()
    assert names == ["dtd/images/banded/" + textures[0].name, f"{lesions[5].relative_to(native_data)}"]
    alike = pd.read_csv(made / "alike.csv")
    assert list(alike["other_path"]) == [f"{lesions[9].relative_to(native_data)}"]
    counts = pd.read_csv(made / "counts.csv").set_index(["dataset", "other"])
    assert counts.loc[("dtd", "isic2018")].tolist() == [1, 1]
    assert counts.to_numpy().sum() == 2
    record = json.loads((made / "run.json").read_text())
    assert (record["n_identical"], record["n_alike"], record["n_blank"]) == (1, 1, 0)
    assert set(record["data"]) == {"dtd", "isic2018", "chest"}
