"""Advice for a user's images from features made elsewhere, and without anything but the shipped evidence."""

import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from catscans_lib.errors import InputError
from catscans_lib.recommend import Recommend, report, texts

CLASSES, N = ("benign", "malignant"), 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 24 images, an unreadable file, an image in both classes, and a class of one image."""
    folder, rng = tmp_path_factory.mktemp("moles"), np.random.default_rng(0)
    for label in (*CLASSES, "rare"):
        (folder / label).mkdir()
        for number in range(N if label != "rare" else 1):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{label[0]}{number}.png")
    pages = [Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)) for _ in range(2)]
    pages[0].save(folder / "benign" / "b1.png", "PNG", save_all=True, append_images=pages[1:])
    (folder / "benign" / "broken.png").write_bytes(b"\x89PNG")
    (folder / "malignant" / "again.png").write_bytes((folder / "benign" / "b0.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def files(folder, tmp_path_factory):
    """Features of all images by two programs: one tells the classes apart, the other knows nothing."""
    images, rng = sorted(folder.glob("*/*.png")), np.random.default_rng(1)
    is_benign = np.array([[path.parent.name == "benign"] for path in images])
    found = []
    for name, strength in (("good", 3.0), ("bad", 0.0)):
        path = tmp_path_factory.mktemp("features") / f"{name}.npz"
        numbers = rng.normal(size=(len(images), 8)) + strength * is_benign
        np.savez(path, path=[str(image.relative_to(folder)) for image in images], features=numbers)
        found.append(f"{name}={path}")
    return found


@pytest.fixture(scope="module")
def told(folder, files):
    kinds = ["good=medical", "bad=medical"]
    return report.recommend(Recommend(profile="", place=str(folder), features=files, kinds=kinds))


def test_what_cannot_be_compared_is_left_out_and_told(told):
    images = told["images"]
    assert images["classes"] == {"benign": N - 1, "malignant": N}
    left_out = {row["reason"]: row["n"] for row in images["left_out"]}
    assert sum(left_out.values()) == 4
    assert left_out["the same file lies in two classes, so one of them is wrong"] == 2
    assert left_out["class 'rare' has too few usable images (1 of 2)"] == 1
    assert (images["n_found"], images["n_copies"]) == (2 * N + 3, 1)
    assert [(row["n"], row["example"]) for row in images["read_in_part"]] == [(1, "benign/b1.png")]


def test_the_numbers_of_the_report_agree_with_each_other(told):
    assert not told["alone"] and not told["demo"]
    rows = {row["name"]: row for row in told["advice"]}
    assert set(rows) == {"good", "bad", "none (random weights)"}
    assert rows["good"]["closeness"] > rows["bad"]["closeness"]
    assert sum(row["p_best"] for row in rows.values()) == pytest.approx(1)
    settle, worth = told["settle"], told["worth"]
    assert {settle["first"], settle["second"]} == {"good", "bad"} and 0 <= settle["saved"] < 0.5
    assert settle["difference"] == pytest.approx(rows[settle["first"]]["gain"] - rows[settle["second"]]["gain"])
    assert worth["second"] == "none (random weights)" and worth["low"] < worth["difference"] < worth["high"]
    assert set(told["half"]["order"]) == set(rows) and 20 <= told["half"]["n_images"] <= 27


def test_images_with_several_findings_are_ranked_by_the_measures_that_take_them(tmp_path):
    rng, n = np.random.default_rng(0), 60
    has = rng.random((n, 3)) < [0.5, 0.3, 0.02]
    images = rng.integers(0, 255, (n, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "chest.npz", train_images=images, train_labels=has.astype(np.uint8))
    ids, files = [f"train_{number:06d}" for number in range(n)], []
    for name, strength in (("good", 3.0), ("bad", 0.0)):
        features = rng.normal(size=(n, 8)) + strength * np.repeat(has[:, :2], 4, axis=1)
        np.savez(tmp_path / f"{name}.npz", image_id=ids, features=features)
        files.append(f"{name}={tmp_path / name}.npz")
    given = {"profile": "", "place": str(tmp_path / "chest.npz"), "features": files, "size_px": 16}
    told = report.recommend(Recommend(**given))
    assert (
        told["measures"] == ["linear_probe_auc"] and "Measures of classes that exclude each other" in told["notes"][0]
    )
    assert "logme" in told["notes"][0] and told["images"]["n_found"] == n and told["half"]
    rows = {row["name"]: row for row in told["advice"]}
    assert rows["good"]["closeness"] > rows["bad"]["closeness"]
    assert "Measures of classes that exclude each other" in texts.text(told)


def test_the_report_is_strict_json_text_and_one_page(told):
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    printed, page = texts.text(told), texts.page(told)
    for sentence in ("Start from", "To fine-tune both", "Pretraining:", "images found", "Left out: 4."):
        assert sentence in printed
    assert html.escape(texts.headline(told)) in page and "Left out: 4." in page
    assert page.count("<svg") == 1 and not re.search(r"<(script|img|link)\b|src=", page)  # reads no other file


def test_without_any_network_the_kinds_of_sources_are_ranked(folder, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://keras.io/notop.h5: no connection")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    monkeypatch.setattr("catscans_lib.networks.registry.PACKAGES", {})
    monkeypatch.delenv("CATSCANS_WEIGHTS", raising=False)
    told = report.recommend(Recommend(profile="", place=str(folder), size_px=32))
    assert told["alone"] and told["half"] is None and len(told["problems"]) == 3
    assert "https://keras.io/notop.h5" in told["problems"][0]
    assert "fetch that file elsewhere and put it in " in told["problems"][0]
    assert told["advice"][0]["family"] == "imagenet"
    assert texts.headline(told).endswith("as no network could be loaded.")


def test_one_class_is_refused(folder, tmp_path):
    (tmp_path / "benign").symlink_to(folder / "benign")
    with pytest.raises(InputError, match="needs two classes with 2 usable images; found: benign 25"):
        report.recommend(Recommend(profile="", place=str(tmp_path), models=["keras:vgg16"]))


def test_images_of_a_table_come_from_its_folders(folder, tmp_path):
    for label in CLASSES:
        (tmp_path / f"{label}_images").symlink_to(folder / label)
    (tmp_path / "mine.csv").write_text("path,label\nb1.png,benign\nm1.png,malignant\n")
    folders = [f"{label}_images" for label in CLASSES]
    settings = Recommend(profile="", place=str(tmp_path / "mine.csv"), image_dir=folders)
    assert set(report._listed(settings)[0].images["label"]) == set(CLASSES)


def test_many_small_classes_are_ranked_without_the_warnings_of_a_library(tmp_path, recwarn):
    rng, paths = np.random.default_rng(0), []
    for number in range(80):
        path = tmp_path / "images" / f"class{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
        paths.append(str(path.relative_to(tmp_path / "images")))
    np.savez(tmp_path / "mine.npz", path=paths, features=rng.normal(size=(80, 4)))
    told = report.recommend(
        Recommend(profile="", place=str(tmp_path / "images"), features=[f"mine={tmp_path / 'mine.npz'}"], size_px=8)
    )
    assert len(told["images"]["classes"]) == 40 and told["look"]["unlike"] > 0.5 and not recwarn.list
