"""Duplicates, near duplicates, and groups across splits are found."""

import io

import numpy as np
import pandas as pd
from fixtures import picture
from PIL import Image, ImageEnhance

from catscans_lib.images import checks

TABLE = pd.DataFrame(
    [
        ("1", "cat", "g", "train", "a.jpg", "s", "RGB", "8 x 8"),
        ("2", "dog", "h", "train", "b.jpg", "t", "L", "8 x 8"),
        ("3", "cat", "g", "test", "c.jpg", "s", "RGB", "8 x 8"),
        ("4", "cat", "i", "test", "", "u", "RGB", "9 x 8"),
        ("5", "dog", "i", "test", "", "u", "RGB", "8 x 8"),
    ],
    columns=["image_id", "label", "group", "split", "path", "sha256", "mode", "size"],
)


def test_duplicates_by_hand():
    assert checks.duplicates(TABLE).values.tolist() == [["s", "a.jpg | c.jpg", "split"], ["u", "4 | 5", "label"]]
    assert checks.duplicates(TABLE.head(2)).empty
    assert list(checks.duplicates(TABLE.head(2)).columns) == ["sha256", "paths", "across"]


def test_counts_and_groups_across_splits_by_hand():
    assert checks.summary(TABLE).values.tolist() == [
        ["cat", "test", 2], ["cat", "train", 1], ["dog", "test", 1], ["dog", "train", 1]
    ]  # fmt: skip
    assert checks.split_groups(TABLE).values.tolist() == [["g", "test, train", 2]]
    assert checks.split_groups(TABLE.head(2)).empty
    assert checks.split_groups(TABLE.assign(split="")).empty


def changed(image):
    """The image as it is, recompressed, darker, and shrunk to half and back."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=60)
    half = image.resize((image.width // 2, image.height // 2)).resize(image.size)
    return [image, Image.open(jpeg), ImageEnhance.Brightness(image).enhance(0.8), half]


def store_of(images):
    table = pd.DataFrame({"image_id": [f"{k:02d}" for k in range(len(images))], "label": "a", "split": "", "path": ""})
    table = table.assign(group=table["image_id"], sha256=table["image_id"])
    return np.stack([np.asarray(image) for image in images]), table


def test_recompressed_darkened_and_shrunk_copies_are_found_and_nothing_else():
    images, table = store_of([copy for seed in range(8) for copy in changed(picture(seed, (96, 96)))])
    near = checks.near_duplicates(images, table)
    assert (near["one"].astype(int) // 4).tolist() == (near["other"].astype(int) // 4).tolist()
    assert set(near["one"].astype(int) // 4) == set(range(8))
    assert len(near) >= 8 * 3  # of four images the first with each of the others
    assert near["bits"].max() <= 3


def test_byte_identical_images_are_no_near_duplicates():
    images, table = store_of([picture(0, (32, 32))] * 2)
    assert len(checks.near_duplicates(images, table)) == 1
    assert checks.near_duplicates(images, table.assign(sha256="s")).empty
