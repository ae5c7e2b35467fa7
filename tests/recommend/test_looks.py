"""Images of the known kinds look like them; noise, pages of text and photographs do not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from catscans_lib import datasets
from catscans_lib.datasets import own
from catscans_lib.recommend import looks, own_images


def pages(rng):
    for _ in range(40):
        page = Image.new("RGB", (224, 300), "white")
        for y in range(10, 290, 12):
            ImageDraw.Draw(page).text((10, y), "".join(rng.choice(list("aeiou tnrsl"), 35)), fill="black")
        yield page


def noise(rng):
    return (Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(40))


def compared(listing, folder):
    return looks.compare(own_images.look(listing, 150, 64, 0, folder), looks.known([]))


@pytest.mark.parametrize("make", [pages, noise])
def test_what_is_no_medical_image_looks_like_nothing_known(make, tmp_path):
    for number, image in enumerate(make(np.random.default_rng(0))):
        (tmp_path / "images" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "images" / "ab"[number % 2] / f"{number}.png")
    found = compared(own.card_at(tmp_path / "images").read(tmp_path), tmp_path)
    assert found["unlike"] == 1 and found["n_targets"] == 10


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("malaria", "Malaria cells"),
        ("breast_ultrasound", "Breast ultrasound (BUSI)"),
        ("covid_ct", "COVID-CT"),
        ("chest", "Chest X-rays"),
    ],
)
def test_images_of_a_known_kind_look_like_it(name, nearest, realdata, tmp_path):
    found = compared(datasets.read(name, realdata), tmp_path)
    assert found["unlike"] < 0.15 and found["nearest"] == nearest


@pytest.mark.parametrize("name", ["imagenet", "catdog", "natural", "dtd"])
def test_photographs_and_textures_look_like_nothing_known(name, realdata, tmp_path):
    assert compared(datasets.read(name, realdata), tmp_path)["unlike"] > 0.7


def test_a_target_does_not_need_itself_to_look_like_its_kind(realdata, tmp_path):
    images = own_images.look(datasets.read("isic2018", realdata), 150, 64, 0, tmp_path)
    others = looks.shipped()
    del others["isic2018"]
    assert looks.compare(images, others)["unlike"] < 0.3
    del others["isic2017"]
    assert looks.compare(images, others)["unlike"] > 0.9


def test_the_border_of_a_look_holds_95_percent_of_its_images():
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 120, (200, 1, 1, 3)) + rng.integers(0, 120, (200, 24, 24, 3))).astype(np.uint8)
    look = looks.of_images(images)
    inside = np.linalg.norm((looks.statistics(images) - look.mean) @ look.factor, axis=1) <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
    assert looks.statistics(images).shape == (200, len(looks.STATISTICS)) and look.size_px == 24
