"""A user's own images in three forms: what is read, what is reported, and messages about invalid cards."""

import fixtures
import numpy as np
import pandas as pd
import pytest
import tiny

from catscans_lib import datasets
from catscans_lib.datasets import layouts, medmnist, own
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.images import store
from catscans_lib.images.listing import IMAGE_SUFFIXES


def write_folder(folder, labels=("mole", "wart"), n=4):
    for i, label in enumerate(labels):
        for k in range(n):
            fixtures.save(folder / label / f"p{k // 2}_{k}.png", 10 * i + k)


def card_of(**values):
    return own.OwnCard(**({"title": "Moles", "form": "folder"} | values))


def add(name, place, data_dir=None, **values):
    card = card_of(place=str(place), **values)
    own.add(name, card, card.read(data_dir or place), taken=datasets.known())


def test_class_folders_are_read_with_and_without_splits_and_groups(tmp_path):
    write_folder(tmp_path / "flat")
    write_folder(tmp_path / "split/Train")
    write_folder(tmp_path / "split/validation", n=2)
    flat = layouts.from_folder(tmp_path / "flat", tmp_path / "flat")
    split = layouts.from_folder(tmp_path / "split", tmp_path / "split")
    assert list(flat.images["image_id"][:2]) == ["mole/p0_0", "mole/p0_1"]
    assert flat.classes == split.classes == ("mole", "wart")
    assert split.images["split"].value_counts().to_dict() == {"train": 8, "val": 4}
    assert split.images["path"].iloc[0] == "Train/mole/p0_0.png"
    fixtures.save(tmp_path / "flat/mole/other.png", 99)
    group = layouts.group_by_pattern(r"(p\d+)_.*")
    grouped = layouts.from_folder(tmp_path / "flat", tmp_path / "flat", group=group)
    assert grouped.images["group"].value_counts().to_dict() == {"p0": 4, "p1": 4}
    assert fixtures.problems(grouped) == {"mole/other.png": "no group in the file name; left out"}
    for pattern, message in (("p(", "not a regular expression"), (r"p\d+", "no part in parentheses")):
        with pytest.raises(InputError, match=message):
            layouts.group_by_pattern(pattern)


def table_of(folder, rows, columns=("path", "label", "group")):
    pd.DataFrame(rows, columns=columns).to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


def test_a_table_gives_path_label_group_and_split_under_any_names(tmp_path):
    write_folder(tmp_path / "images")
    images = [(label, k) for label in ("mole", "wart") for k in range(4)]
    rows = [(f"images/{label}/p{k // 2}_{k}.png", label, f"P{k // 2}", "train") for label, k in images]
    place = table_of(tmp_path, rows, ("file", "diagnosis", "patient", "part"))
    card = card_of(form="table", place=str(place), path_column="file", label_column="diagnosis", group_column="patient")
    images = card.read(tmp_path).images
    assert images["group"].value_counts().to_dict() == {"P0": 4, "P1": 4}
    assert set(images["split"]) == {""}
    images = card.model_copy(update={"split_column": "part", "group_column": None}).read(tmp_path).images
    assert set(images["split"]) == {"train"} and images["group"].equals(images["image_id"])
    place = table_of(tmp_path, [("mole/p0_0", "mole"), ("mole/p0_1", "mole"), ("wart/p0_0", "wart")], ("path", "label"))
    images = card_of(form="table", place=str(place), image_dir="images").read(tmp_path).images
    assert list(images["path"][:2]) == ["images/mole/p0_0.png", "images/mole/p0_1.png"]


def test_unusable_rows_are_reported_and_the_rest_is_kept(tmp_path):
    write_folder(tmp_path)
    rows = [("mole/p0_0.png", "mole", "a"), ("mole/p0_0.png", "mole", "a"), ("wart/p0_0.png", "wart", "b")]
    rows += [("mole/p0_1.png", "mole", "a"), ("mole/p0_1.png", "wart", "a"), ("gone.png", "mole", "c")]
    rows += [("wart/p0_1.png", "", "d"), ("wart/p1_2.png", "wart", " "), ("list.csv", "wart", "d")]
    card = card_of(form="table", place=str(table_of(tmp_path, rows)), group_column="group")
    listing = card.read(tmp_path)
    assert list(listing.images["path"]) == ["mole/p0_0.png", "wart/p0_0.png", "wart/p1_2.png"]
    assert listing.images["group"].iloc[2] == "wart/p1_2"
    assert fixtures.problems(listing) == {
        "mole/p0_1.png": "listed twice with different values; left out",
        "gone.png": "in the table, but there is no such file; left out",
        "wart/p0_1.png": "no label; left out",
        "": "3 images in the same folders are not in the table, such as 'mole/p1_2.png'.",
        "list.csv": f"not an image file; known: {', '.join(IMAGE_SUFFIXES)}; left out",
    }
    with pytest.raises(InputError, match="lacks patient; it has path, label, group. Name its columns: --path-column"):
        card.model_copy(update={"group_column": "patient"}).read(tmp_path)


@pytest.mark.parametrize("shape", [(28, 28), (20, 20, 3)])
def test_medmnist_arrays_are_stored_as_they_are(tmp_path, shape):
    arrays = fixtures.write_npz(tmp_path / "blood.npz", shape)
    listing = medmnist.from_npz(tmp_path / "blood.npz", ("a", "b", "c"))
    store.write(tmp_path / "x.h5", listing, dataset="blood", size_px=shape[0])
    opened = store.open_store(tmp_path / "x.h5")
    assert opened.classes == ("a", "b", "c") and len(opened.images) == 36
    for row, (image_id, label) in enumerate(zip(opened.table["image_id"], opened.table["label"], strict=True)):
        split, index = image_id.split("_")
        expected = arrays[f"{split}_images"][int(index)]
        assert (opened.images[row] == (expected if expected.ndim == 3 else expected[..., None])).all()
        assert "abc".index(label) == arrays[f"{split}_labels"][int(index)]


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        (lambda array: array, lambda codes: codes.astype(float)),
        (lambda array: array, lambda codes: codes.astype(np.uint8)[:, None]),
        (lambda array: array[..., None], lambda codes: np.array(["cyst", "mole", "wart"])[codes.ravel()]),
        (np.asfortranarray, lambda codes: np.array([b"cyst", b"mole", b"wart"])[codes.ravel()]),
        (lambda array: np.asfortranarray(np.repeat(array[..., None], 3, axis=3)), lambda codes: codes),
    ],
)
def test_arrays_in_other_forms_give_the_same_images(tmp_path, change, labels):
    arrays = fixtures.write_npz(tmp_path / "usual.npz", (20, 16))
    changed = {name: change(array) if "images" in name else labels(array) for name, array in arrays.items()}
    np.savez(tmp_path / "other.npz", **changed)
    listing = medmnist.from_npz(tmp_path / "other.npz", ("cyst", "mole", "wart"))
    usual = medmnist.from_npz(tmp_path / "usual.npz", ("cyst", "mole", "wart"))
    assert listing.images.drop(columns="path").equals(usual.images.drop(columns="path")) and listing.problems.empty
    paths = list(listing.images["path"])[2:30:3]
    expected = usual.pixels([path.replace("other", "usual") for path in paths])
    assert all((one == other).all() for one, other in zip(listing.pixels(paths), expected, strict=True))


@pytest.mark.parametrize("several", [True, False])
def test_a_matrix_of_labels_says_what_each_image_has(tmp_path, several):
    arrays = fixtures.write_npz(tmp_path / "usual.npz")
    labels = {name: np.eye(3, dtype=np.uint8)[array.ravel()] for name, array in arrays.items() if "labels" in name}
    labels["train_labels"][:2] = [[1, 1, 0], [0, 0, 0]] if several else labels["train_labels"][:2]
    np.savez(tmp_path / "chest.npz", **(arrays | labels))
    listing = medmnist.from_npz(tmp_path / "chest.npz", ("b", "a", "c"))
    assert listing.multi_label == several and listing.classes == ("b", "a", "c")
    store.write(tmp_path / "x.h5", listing, dataset="chest", size_px=28)
    opened = store.open_store(tmp_path / "x.h5")
    expected = np.concatenate([labels[f"{split}_labels"] for split in ("test", "train", "val")])
    assert (opened.labels == (expected if several else expected.argmax(axis=1))).all()
    if several:
        assert list(opened.table["label"][12:14]) == ["a|b", "No finding"] and opened.findings.dtype == bool


@pytest.mark.parametrize("change", [lambda array: array * np.uint16(16), lambda array: (array / 255).astype(">f4")])
def test_arrays_of_other_numbers_are_scaled_by_their_range(tmp_path, change):
    arrays = fixtures.write_npz(tmp_path / "usual.npz", (20, 20))
    arrays["train_images"][0, :2, 0] = 0, 255  # so that the range is that of 8 bits
    changed = {name: change(array) if "images" in name else array for name, array in arrays.items()}
    changed["val_images"] = np.asfortranarray(changed["val_images"])
    np.savez(tmp_path / "other.npz", **changed)
    store.write(tmp_path / "x.h5", medmnist.from_npz(tmp_path / "other.npz"), dataset="own", size_px=20)
    images = store.open_store(tmp_path / "x.h5").images[..., 0].astype(int)
    assert np.abs(images - np.concatenate([arrays[f"{split}_images"] for split in ("test", "train", "val")])).max() <= 1


def test_an_array_without_any_value_is_reported(tmp_path):
    arrays = fixtures.write_npz(tmp_path / "a.npz", (8, 8))
    images = arrays["train_images"].astype(float)
    images[0] = np.nan
    np.savez(tmp_path / "b.npz", **(arrays | {"train_images": images}))
    problems = store.write(tmp_path / "x.h5", medmnist.from_npz(tmp_path / "b.npz"), dataset="own", size_px=8)
    assert problems.values.tolist() == [
        ["b.npz/train_images:00000000", "could not be read: no pixel has a finite value"]
    ]


def test_images_of_arrays_without_a_label_are_left_out_and_named(tmp_path):
    arrays = fixtures.write_npz(tmp_path / "a.npz")
    labels = arrays["train_labels"].astype(float).ravel()
    labels[3] = np.nan
    np.savez(tmp_path / "b.npz", **(arrays | {"train_labels": labels}))
    listing = medmnist.from_npz(tmp_path / "b.npz")
    assert fixtures.problems(listing) == {"b.npz/train_images:00000003": "no label; left out"}
    assert len(listing.images) == 35 and set(listing.classes) <= {"0", "1", "2"}


def test_some_images_of_the_arrays_are_read_without_the_rest_and_labels_are_ordered_as_numbers(tmp_path):
    arrays = fixtures.write_npz(tmp_path / "blood.npz", n=12, n_classes=12)
    listing = medmnist.from_npz(tmp_path / "blood.npz")
    assert listing.classes == tuple(map(str, range(12)))
    paths = list(listing.images["path"])[3:20:4]
    for path, image in zip(paths, listing.pixels(paths), strict=True):
        name, index = path.removeprefix("blood.npz/").split(":")
        assert (image == arrays[name][int(index)][..., None]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": np.zeros((12, 8, 8, 8), np.uint8)}, r"is uint8 \(12, 8, 8, 8\).*three-dimensional volumes"),
        ({"train_images": np.zeros((12, 8, 8), complex)}, r"is complex128 \(12, 8, 8\); known are numbers"),
        ({"train_labels": np.zeros((11, 2), np.uint8)}, r"is uint8 \(11, 2\) for 12 images"),
        ({"train_labels": np.zeros((12, 14), np.uint8)}, r"has 14 columns.*a name for each \(2 given\)"),
        ({"train_labels": np.full((12, 2), 2, np.uint8)}, "of values 2 to 2"),
        ({"train_labels": np.array([{}] * 12, dtype=object)}, "Cannot read '.*npz'.*allow_pickle=False"),
        ({"train_images": np.array([{}] * 12, dtype=object)}, r"is object \(12,\); known are numbers"),
        ({"train_labels": None}, "lacks train_labels; it has"),
        ({}, "has the label 2, but only 2 class names are given"),
    ],
)
def test_other_arrays_are_refused_and_nothing_is_unpickled(tmp_path, change, message):
    arrays = fixtures.write_npz(tmp_path / "a.npz") | change
    np.savez(tmp_path / "b.npz", **{name: array for name, array in arrays.items() if array is not None})
    (tmp_path / "half.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:600])
    with pytest.raises(InputError, match="Cannot read '.*half.npz'"):
        medmnist.from_npz(tmp_path / "half.npz")
    with pytest.raises(InputError, match=message):
        medmnist.from_npz(tmp_path / "b.npz", ("a", "b"))


def test_an_added_dataset_is_known_by_its_card_and_its_counts(project, tmp_path):
    write_folder(tmp_path / "moles")
    add("moles", tmp_path / "moles", group="patient", group_pattern=r"(p\d+)_.*")
    info = datasets.get("moles")
    assert datasets.known()[-1] == "moles"
    assert (info.title, info.n_images, dict(info.n_per_class)) == ("Moles", 8, {"mole": 4, "wart": 4})
    assert len(datasets.read("moles", tmp_path / "anywhere").images) == 8
    assert datasets.titles()["moles"] == "Moles"
    with pytest.raises(InputError, match="A dataset 'moles' exists"):
        add("moles", tmp_path / "moles")
    write_folder(tmp_path / "one", ("mole",))
    with pytest.raises(InputError, match="has one class, mole; at least two are needed"):
        add("one", tmp_path / "one")
    add("below", "moles", tmp_path)
    assert datasets.get("below").is_below_data_dir and not info.is_below_data_dir
    assert len(datasets.read("below", tmp_path).images) == 8
    with pytest.raises(InputError, match="No folder '.*elsewhere/moles', which the card of 'Moles' names"):
        datasets.read("below", tmp_path / "elsewhere")


def test_parts_of_one_dataset_know_each_other(project, tmp_path):
    write_folder(tmp_path / "moles")
    add("few", tmp_path / "moles", part_of="isic2018")
    assert datasets.parts_of_the_same("few", ["chest", "isic2018"]) == ["isic2018"]
    assert datasets.parts_of_the_same("isic2018", ["few", "chest"]) == ["few"]
    assert datasets.parts_of_the_same("pcam_small", ["chest", "pcam_middle"]) == ["pcam_middle"]


@pytest.mark.parametrize("name", ["Moles", "3d", "my moles", "none", "chest"])
def test_an_invalid_or_known_name_is_refused(project, tmp_path, name):
    write_folder(tmp_path / "moles")
    with pytest.raises(InputError, match=name):
        add(name, tmp_path / "moles")
    assert not own.names()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title: [", "params/datasets/moles.yaml is not readable as YAML"),
        ("form: folder\nplace: x", "'title' is missing"),
        ("title: A\nform: zip\nplace: x", "form got 'zip'"),
        ("title: A\nform: folder\nplace: x\ngroups: y", "unknown key 'groups'; known: "),
    ],
)
def test_an_invalid_card_is_reported_with_its_place(project, content, message):
    (project / "params/datasets").mkdir()
    (project / "params/datasets/moles.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        datasets.get("moles")


def test_an_own_dataset_in_the_demo_is_read_not_generated(project, tmp_path):
    write_folder(tmp_path / "moles")
    add("moles", tmp_path / "moles")
    content = tiny.grid()
    content["datasets"]["moles"] = {"size_px": 24}
    content["transfer"]["targets"]["moles"] = None
    tiny.write_grid(project, content)
    runs = expand.grid("demo")
    assert (runs["ingest/moles"].settings.data, runs["ingest/chest"].settings.data) == ("native", "demo")
    assert own.reading("moles")["form"] == "folder" and "place" not in own.reading("moles")
    assert "transfer/dtd--moles" in runs


def test_outside_a_project_there_are_no_own_datasets(monkeypatch, tmp_path):
    monkeypatch.delenv("CATSCANS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert own.names() == ()
    assert len(datasets.known()) == 34  # 22, and the sets of MedMNIST
