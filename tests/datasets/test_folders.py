"""Folder trees as people have them: read right where the levels are certain, refused with the right folder otherwise."""

import os
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import fixtures
import pytest
from click.testing import CliRunner

from catscans_lib.cli import main
from catscans_lib.datasets import own
from catscans_lib.errors import InputError

FLAT = {f"{label}/{label[0]}{number}.png": ("", label) for label in ("mole", "wart") for number in range(2)}


def tree(folder, paths):
    """Write an image to each path."""
    for number, path in enumerate(paths):
        fixtures.save(folder / path, number)


def read(folder, **card):
    listing = own.card_at(folder, **card).read(folder)
    images = listing.images
    return dict(zip(images["path"], zip(images["split"], images["label"], strict=True), strict=True)), listing.problems


def splits(*names, of=FLAT):
    kinds = ("train", "val", "test")
    return {f"{name}/{path}": (kinds[n], label) for n, name in enumerate(names) for path, (_, label) in of.items()}


def below(folder, of):
    return {f"{folder}/{path}": value for path, value in of.items()}


CERTAIN = {
    "class folders": FLAT,
    "splits in capitals": splits("TRAIN", "Val", "Testing"),
    "splits with a word": splits("Training Set", "validation_data"),
    "one level too deep": below("Data", splits("train", "val")),
    "two levels too deep": below("archive/Data", splits("Training", "valid")),
    "the name of the split twice": {f"train/train/{path}": ("train", label) for path, (_, label) in FLAT.items()},
    "magnifications": {
        f"{label}/{zoom}/{n}.png": ("", label) for label in "ab" for zoom in ("40X", "100X") for n in "12"
    },
    "patients and magnifications": {f"{label}/{label}{n}/40X/x.png": ("", label) for label in "ab" for n in "12"},
    "patients numbered in each class": {f"{label}/patient_{n}/x.png": ("", label) for label in "ab" for n in "12"},
    "splits below the classes": {
        f"{label}/{split}/x.png": (split, label) for label in "ab" for split in ("train", "test")
    },
    "folders of images": {f"{label}/images/{n}.png": ("", label) for label in "ab" for n in "12"},
}


@pytest.mark.parametrize("kind", CERTAIN)
def test_trees_whose_levels_are_certain_are_read(tmp_path, kind):
    tree(tmp_path, CERTAIN[kind])
    (tmp_path / "__MACOSX/mole").mkdir(parents=True)
    (tmp_path / "__MACOSX/mole/._m0.png").write_bytes(b"x")
    for folder, _, files in os.walk(tmp_path):
        if any(name.endswith(".png") for name in files):
            Path(folder, "Thumbs.db").write_bytes(b"x")
    found, problems = read(tmp_path)
    assert found == CERTAIN[kind] and set(problems["path"]) <= {""}


LOST = {  # further images, and what is said of each of them
    "masks beside images": (["mole/m0_mask.png", "mole/m0_mask_1.png", "wart/w1-seg.png"], "mask of another image"),
    "loose images": (["a.png", "b.png"], "in no class folder"),
    "folders in a class folder": (["mole/old/a.png"], "in a folder beside the images of a class"),
    "a copy": (["all/mole/m0.png", "all/wart/w0.png"], "in a copy of the folders beside it"),
    "a folder of masks beside that of the class": (["mole_masks/m0.png"], "in a folder of masks"),
    "masks in a class folder": (["mole/masks/m0.png"], "in a folder of masks"),
}


@pytest.mark.parametrize("kind", LOST)
def test_images_that_belong_to_no_class_are_left_out_and_named(tmp_path, kind):
    more, reason = LOST[kind]
    tree(tmp_path, [*FLAT, *more])
    found, problems = read(tmp_path)
    assert found == FLAT
    assert dict(zip(problems["path"], problems["problem"], strict=True)) == dict.fromkeys(more, f"{reason}; left out")


def test_what_lies_beside_splits_and_masks_of_all_classes_are_left_out(tmp_path):
    tree(tmp_path, [*splits("train", "test"), "extra/a.png", "b.png", "train/c.png"])
    found, problems = read(tmp_path)
    assert found == {path: (path.split("/")[0], label) for path, (_, label) in splits("train", "test").items()}
    assert set(problems["path"]) == {"extra/a.png", "b.png", "train/c.png"}
    tree(tmp_path / "more", [*below("images", FLAT), *below("masks", FLAT)])
    found, problems = read(tmp_path / "more")
    assert found == below("images", FLAT) and set(problems["problem"]) == {"in a folder of masks; left out"}


REFUSED = {  # a tree, the folder that is offered, and a part of the message
    "one level too deep": (below("Data", FLAT), "Data", "has no class folders: images were found below 'Data'"),
    "a split beside other folders": ({**below("train", FLAT), "more/x.png": 0}, "train", "'train' in .* looks like a split"),
    "no folders": (["a.png", "b.png"], None, "2 images lie directly in"),
    "images and masks without classes": (["images/a.png", "masks/a.png"], None, "1 images lie directly in '.*images'"),
    "a class misspelt in a split": (
        {**splits("train"), "test/mole/x.png": 0, "test/warts/x.png": 0}, None, "'wart' only in train and 'warts' only in test"
    ),
}  # fmt: skip


TWO_LEVELS = {  # which of the levels that may name the class does
    "sites above the classes": ([*below("siteA", FLAT), *below("siteB", FLAT)], 2),
    "subtypes below the classes": (["mole/a/x.png", "mole/b/x.png", "wart/c/x.png", "wart/d/x.png"], 1),
    "the tree of BreaKHis": ([f"{kind}/SOB/{sub}/SOB_{n}/40X/S,{n}.png" for n, (kind, sub) in enumerate(
        (("benign", "adenosis"), ("benign", "phyllodes"), ("malignant", "ductal"), ("malignant", "lobular")))], 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", TWO_LEVELS)
def test_where_two_levels_may_name_the_class_the_command_of_the_message_writes_a_table_of_all_images(tmp_path, kind):
    images, level = TWO_LEVELS[kind]
    tree(tmp_path, [*images, f"{images[0].removesuffix('.png')}_mask.png"])
    with pytest.raises(InputError, match="not certain which level names the class") as refused:
        read(tmp_path)
    assert refused.value.instead is None  # any folder would lose images
    command = str(refused.value).splitlines()[1].replace("$1}", f"${level}}}")
    subprocess.run(command, shell=True, check=True)
    listing = own.card_at(tmp_path / "labels.csv").read(tmp_path)
    assert dict(zip(listing.images["path"], listing.images["label"], strict=True)) == {
        path: path.split("/")[level - 1] for path in images
    }


@pytest.mark.parametrize("kind", REFUSED)
def test_trees_that_may_mean_two_things_are_refused_with_a_command_to_paste(tmp_path, kind):
    paths, offered, message = REFUSED[kind]
    tree(tmp_path, paths)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    result = CliRunner().invoke(main.main, ["dataset", "add", "my_data", str(tmp_path), "--title", "My data"])
    assert result.exit_code == 2 and "Traceback" not in result.output
    tried = [line.removeprefix("Try: ") for line in result.output.splitlines() if line.startswith("Try: ")]
    assert len(tried) == (offered is not None)
    for line in tried:
        words = [".venv/bin/catscans", "dataset", "add", "my_data", str(tmp_path / offered), "--title", "My data"]
        assert shlex.split(line) == words


def test_classes_that_a_split_lacks_are_noted(tmp_path):
    tree(tmp_path, [*splits("train", "test"), "train/melanoma/x.png"])
    assert list(read(tmp_path)[1]["problem"]) == ["Without images in test: melanoma."]


def test_one_class_may_be_spelt_in_two_ways_in_case_and_unicode_form(tmp_path):
    composed, apart = unicodedata.normalize("NFC", "näv"), unicodedata.normalize("NFD", "Näv")
    tree(tmp_path, [f"train/{composed}/1.png", f"train/{composed}/2.png", f"test/{apart}/1.png", "train/wart/1.png"])
    fixtures.save(tmp_path / "test/wart/1.png", 9)
    found, problems = read(tmp_path)
    assert {label for _, label in found.values()} == {composed, "wart"} and len(found) == 5
    assert "Read as one class, 'näv'" in problems["problem"].iloc[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only UTF-8 names")
def test_a_class_folder_whose_name_is_not_utf8_is_left_out_and_can_be_reported(tmp_path):
    tree(tmp_path, FLAT)
    bad = tmp_path / os.fsdecode(b"n\xe4v")
    bad.mkdir()
    for name in ("1.png", "2.png"):
        (bad / name).hardlink_to(tmp_path / "mole/m0.png")
    found, problems = read(tmp_path)
    assert found == FLAT and list(problems["problem"]) == ["folder name is not UTF-8; rename it; left out"] * 2
    assert "n\\udce4v/1.png" in problems.to_csv().encode().decode()


@pytest.mark.parametrize(
    "name", ["a b", "a\u200bb", "a\u00a0b", "\u202ea", "😀", "é", "e\u0301", "a,b", 'a"b', "a|b", "\ue000", "-a"]
)
def test_names_may_have_any_printable_or_invisible_letter(tmp_path, name):
    tree(tmp_path, [*FLAT, f"mole/{name}.png", f"x{name}/1.png"])
    found, problems = read(tmp_path)
    label = f"x{name}".replace("|", "¦")  # | separates findings
    assert found == FLAT | {f"mole/{name}.png": ("", "mole"), f"x{name}/1.png": ("", label)} and problems.empty


def test_names_with_control_characters_are_left_out(tmp_path):
    tree(tmp_path, [*FLAT, "mole/a\nb.png"])
    found, problems = read(tmp_path)
    assert found == FLAT and problems["problem"][0] == "name has control characters; rename it; left out"


def test_a_pattern_with_a_slash_takes_the_group_from_the_folders_of_a_class(tmp_path):
    tree(tmp_path, CERTAIN["patients and magnifications"])
    listing = own.card_at(tmp_path, group="patient", group_pattern="([^/]+)/.*").read(tmp_path)
    assert sorted(listing.images["group"]) == ["a1", "a2", "b1", "b2"]
    assert "--group-pattern '([^/]+)/.*'" in read(tmp_path)[1]["problem"][0]


def test_a_link_back_is_not_followed(tmp_path):
    tree(tmp_path, FLAT)
    (tmp_path / "mole/again").symlink_to(tmp_path)
    assert read(tmp_path)[0] == FLAT


def test_real_folders_are_read_from_one_level_above(realdata, tmp_path):
    (tmp_path / "Data").symlink_to(realdata / "brain_tumor_mri")
    images = own.card_at(tmp_path).read(tmp_path).images
    assert (len(images), images["label"].nunique(), set(images["split"])) == (400, 4, {"train", "test"})


def test_breakhis_is_refused_at_the_top_and_read_from_a_class(realdata):
    with pytest.raises(InputError) as refused:
        own.card_at(realdata / "breakhis").read(realdata)
    assert refused.value.instead[1].is_dir() and "breast" in str(refused.value)
