"""Broken links, loops of links and pipes in a user's folder cost no image, no time and no traceback."""

import os
from types import SimpleNamespace

import fixtures
import pytest

from catscans_lib.datasets import folders, own
from catscans_lib.runs import contents

ODD = {
    "a link to nothing": lambda folder: (folder / "a/x.png").symlink_to("/nowhere.png"),
    "a link to itself": lambda folder: (folder / "a/self").symlink_to(folder / "a/self"),
    "a link to itself beside the classes": lambda folder: (folder / "self.png").symlink_to(folder / "self.png"),
    "links to the folder and above": lambda folder: [
        (folder / place).symlink_to(to) for place, to in (("a/here", "."), ("a/here2", "."), ("a/here3", "."), ("b/up", ".."))
    ],
    "classes that link to each other": lambda folder: [
        (folder / f"{one}/other").symlink_to(folder / other) for one, other in ("ab", "ba")
    ],
    "a pipe with the name of an image": lambda folder: os.mkfifo(folder / "a/pipe.png"),
    "a pipe": lambda folder: os.mkfifo(folder / "a/readme"),
    "a name that is not UTF-8": lambda folder: (folder / "a" / os.fsdecode(b"bad\xff")).mkdir(),
    "a broken link as a folder": lambda folder: (folder / "c").symlink_to("/nowhere"),
}  # fmt: skip


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    folder = tmp_path / "images"
    for number in range(3):
        for label in "ab":
            fixtures.save(folder / f"{label}/{number}.png", number)
    ODD[request.param](folder)
    return folder


def test_all_images_are_found_once(odd):
    listing = own.card_at(odd).read(odd)
    assert sorted(listing.images["path"]) == [f"{label}/{number}.png" for label in "ab" for number in range(3)]
    said = dict(zip(listing.problems["path"], listing.problems["problem"], strict=True))
    assert len(said) <= 6, said  # classes that link to each other: the images of the other one, once
    assert "known: .jpg" not in said.get("a/x.png", "") + said.get("a/pipe.png", "")
    tree = folders.scan(odd, odd, [])
    assert {"a/0.png", "b/2.png"} <= set(tree.all())


def test_the_digest_of_the_images_counts_each_of_them_and_nothing_else(odd, tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setattr(contents, "_images", lambda dataset, data_dir: [("", odd)])
    assert {path.name for _, path in contents._files([("", odd)])} == {"0.png", "1.png", "2.png"}
    run = SimpleNamespace(step="ingest", parameters={"data": "native", "dataset": "mine"})
    assert len(contents.of_run(run)["images"]) == 64
