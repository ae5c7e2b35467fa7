"""The block that says what was read and what was left out."""

import pandas as pd
import pytest

from catscans_lib.errors import InputError
from catscans_lib.images import inventory

IMAGES = pd.DataFrame(
    {"path": ["a/1.png", "a/2.png", "b/3.tif", "b/4.png"], "label": ["a", "a", "b", "b"], "group": ["p", "p", "p", "q"]}
)
PROBLEMS = pd.DataFrame(
    [
        ("a/5.png", "cannot be decoded: 3 bytes missing"),
        ("a/6.png", "cannot be decoded: 17 bytes missing"),
        ("b/x.doc", "not an image file; left out"),
        ("b/3.tif", "only the first of 12 pages is read"),
        ("", "Classes 'B' and 'b' are read as 'b'."),
    ],
    columns=["path", "problem"],
)
NEAR = pd.DataFrame(
    [("a/1.png", "a/2.png", 2, ""), ("a/1.png", "b/4.png", 1, "label, group")],
    columns=["one", "other", "bits", "across"],
)


def test_losses_are_counted_by_reason_with_an_example_and_apart_from_notes():
    found = inventory.inventory(IMAGES, PROBLEMS, group="patient", near=NEAR)
    assert (found["n_read"], found["classes"]) == (4, {"a": 2, "b": 2})
    assert (found["n_groups"], found["largest_group"]) == (2, 3)
    assert found["left_out"] == [
        {"reason": "cannot be decoded: 3 bytes missing", "n": 2, "example": "a/5.png"},
        {"reason": "not an image file", "n": 1, "example": "b/x.doc"},
    ]
    assert found["read_in_part"] == [{"reason": "only the first of 12 pages is read", "n": 1, "example": "b/3.tif"}]
    assert found["notes"] == ["Classes 'B' and 'b' are read as 'b'."]
    assert found["near_duplicates"] == {"n_pairs": 2, "n_across_classes": 1, "example": "a/1.png and b/4.png"}
    assert inventory.as_text(found).splitlines() == [
        "Read: 4 images in 2 classes (a 2, b 2).",
        "Groups (patient): 2; the largest has 3 images.",
        "Left out: 3.",
        "  2 x cannot be decoded: 3 bytes missing. Example: a/5.png",
        "  1 x not an image file. Example: b/x.doc",
        "Read in part: 1.",
        "  1 x only the first of 12 pages is read. Example: b/3.tif",
        "Near duplicates: 2 pairs, 1 of them with two labels. Example: a/1.png and b/4.png",
        "Note: Classes 'B' and 'b' are read as 'b'.",
    ]


def test_notes_are_no_losses():
    found = inventory.inventory(IMAGES, PROBLEMS.iloc[4:], near=NEAR.iloc[:0])
    inventory.refuse_losses(found)
    text = inventory.as_text(found)
    assert "Left out: nothing.\nRead in part: nothing.\nNear duplicates: 0 pairs\n" in text
    assert "Groups: none. Images of one patient may land" in text


@pytest.mark.parametrize(("rows", "n"), [(slice(0, 3), 3), (slice(3, 4), 1)])
def test_strict_refuses_what_is_left_out_or_read_in_part(rows, n):
    with pytest.raises(InputError, match=f"--strict: {n} losses. First: "):
        inventory.refuse_losses(inventory.inventory(IMAGES, PROBLEMS.iloc[rows]))
