"""What holds for every dataset: generated, in its published layout, or a user's own."""

import os
import re
import sys
from pathlib import Path

import fixtures
import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets
from catscans_lib.datasets import Ingest, demo, ingest, own
from catscans_lib.images import folds, store
from catscans_lib.runs import contents

SIZE = 24
SPLITS = {"", "train", "val", "valid", "test"}


LAYOUTS = {name: (name, fixtures.WRITERS[name]) for name in datasets.published()}
OWN = {
    "folder": fixtures.write_natural,
    "table": fixtures.write_diabetic_retinopathy,
    "arrays": lambda folder: fixtures.write_npz(folder / "own.npz"),
}
OWN_CARDS = {
    "folder": {"place": "natural_images"},
    "table": {"place": "table.csv", "path_column": "image", "label_column": "level", "group_column": "patient"},
    "arrays": {"place": "own.npz"},
}


def keeps_the_contract(name, data, path):
    """Ingest a dataset twice and check what all others rely on."""
    given = {"profile": "demo", "n_images": 90, "n_folds": 2, "fold_seed": 0, "max_images": 70}
    settings = Ingest(dataset=name, data=data, size_px=SIZE, **given)
    read = ingest.store_dataset(settings, path)
    problems = read["problems"]
    opened = store.open_store(path)
    card, table, images = datasets.get(name), opened.table, opened.images
    assert set(problems["problem"]) <= {"mask of another image; left out", "beside the folders of the splits; left out"}
    assert list(problems.columns) == ["path", "problem"]
    assert images.dtype == np.uint8 and images.shape == (len(table), SIZE, SIZE, 3)
    assert images.min() < 100 < images.max()  # 0 to 255, not 0 to 1
    assert tuple(table.columns) == store.COLUMNS
    assert table["image_id"].is_monotonic_increasing and table["image_id"].is_unique
    assert set(table["label"]) == set(opened.classes) and len(opened.classes) >= 2
    assert not card.classes or list(opened.classes) == [label for label in card.classes if label in opened.classes]
    if data == "native":
        assert not card.n_per_class or set(opened.classes) <= set(card.n_per_class)
        assert (table["path"] != "").all() and not table["path"].str.startswith(("/", "..")).any()
    if card.group is None:
        assert table["group"].is_unique
    assert (table["group"] != "").all() and set(table["split"]) <= SPLITS
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in table["sha256"])
    assert (table["mode"] != "").all() and table["size"].str.fullmatch(r"\d+ x \d+").all()
    made = ingest.save_folds(table, settings, path.with_name("folds.csv"))
    pd.testing.assert_frame_equal(folds.read(path.with_name("folds.csv")), made)
    assert set(made["image_id"]) <= set(table["image_id"]) and set(made["fold"]) == {1, 2}
    assert 0 <= len(made) - min(70, len(table)) < table["group"].value_counts().max()  # whole groups are drawn
    assert made.groupby("group")["fold"].nunique().max() == 1
    ingest.store_dataset(settings, path.with_name("again.h5"))
    again = store.open_store(path.with_name("again.h5"))
    assert again.fingerprint == opened.fingerprint and (again.images == images).all()
    return opened


@pytest.mark.parametrize("name", demo.CLASSES)
def test_demo(name, tmp_path):
    opened = keeps_the_contract(name, "demo", tmp_path / "x.h5")
    assert set(opened.classes) == set(demo.CLASSES[name])
    assert len(opened.images) == 90 and opened.table["sha256"].is_unique


@pytest.mark.parametrize("layout", LAYOUTS)
def test_native_layout(layout, tmp_path, monkeypatch):
    name, write = LAYOUTS[layout]
    write(tmp_path / "data")
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    keeps_the_contract(name, "native", tmp_path / "x.h5")


opened = None  # the files and folders that a test has seen opened


def _note(event, arguments):
    if (
        opened is not None
        and event in ("open", "os.scandir", "os.listdir")
        and isinstance(arguments[0], str | os.PathLike)
    ):
        opened.append(Path(arguments[0]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_card_names_all_files_that_are_read(layout, tmp_path, monkeypatch):
    """A change in these files, and only in these, ingests the dataset again (`runs.contents`)."""
    name, write = LAYOUTS[layout]
    for one in {*fixtures.WRITERS.values()} - {fixtures.WRITERS[name]} | {write}:
        one(tmp_path / "data")
    sys.addaudithook(_note)
    monkeypatch.setattr(sys.modules[__name__], "opened", [])
    listing = datasets.read(name, tmp_path / "data")
    read = {path for path in opened if path.is_file() and path.is_relative_to(tmp_path)}
    files = listing.images["path"].str.replace(r"(\.bin|\.h5|\.npz)[:/].*", r"\1", regex=True).unique()
    named = dict(contents._files(contents._images(name, tmp_path / "data")))
    assert read | {listing.root / file for file in files} <= set(named.values())


@pytest.mark.parametrize("form", OWN)
def test_own_data(form, tmp_path, monkeypatch):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    OWN[form](data_dir)
    if form == "table":
        folder = data_dir / "diabetic-retinopathy-detection"
        rows = (line.split(",") for line in (folder / "trainLabels.csv").read_text().splitlines()[1:])
        lines = [f"{folder.name}/train/{image}.jpeg,grade {level},{image[:2]}" for image, level in rows]
        (data_dir / "table.csv").write_text("\n".join(["image,level,patient", *lines]))
    for folder in ("params/datasets", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setenv("CATSCANS_DATA", str(data_dir))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    group = "patient" if form == "table" else None
    card = own.OwnCard(title="Own", form=form, group=group, **OWN_CARDS[form])
    own.add("mine", card, card.read(data_dir), taken=datasets.known())
    opened = keeps_the_contract("mine", "native", tmp_path / "x.h5")
    assert dict(datasets.get("mine").n_per_class) == opened.table["label"].value_counts().to_dict()
