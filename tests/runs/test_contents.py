"""A digest of the files that a run reads follows their content, not their place."""

import os
import shutil
from types import SimpleNamespace

import fixtures
import pytest

from catscans_lib import datasets, paths
from catscans_lib.datasets import own
from catscans_lib.runs import contents


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder that DATA names, with two datasets, in a project that a sweep has run in."""
    folder = tmp_path / "data"
    fixtures.write_chest(folder)
    fixtures.write_natural(folder)
    (tmp_path / "project/.snakemake").mkdir(parents=True)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path / "project"))
    monkeypatch.setenv("CATSCANS_DATA", str(folder))
    return folder


def digest(step="ingest", **parameters):
    given = {"data": "native", "dataset": "chest"} if step == "ingest" else {}
    return contents.of_run(SimpleNamespace(step=step, parameters=given | parameters))


def image(folder):
    return next((folder / "chest_xray/train").rglob("*.jpeg"))


def elsewhere(data):
    place = data.parent / "another disk/copy"
    shutil.copytree(data, place, copy_function=shutil.copyfile)  # with other times
    os.environ["CATSCANS_DATA"] = str(place)


def link(data):
    (data.parent / "link").symlink_to(data)
    os.environ["CATSCANS_DATA"] = str(data.parent / "link")


CHANGES = {  # what is done, and whether the digest stays
    "a slash behind the folder": (lambda data: os.environ.update(CATSCANS_DATA=f"{data}/"), True),
    "a link to the folder": (link, True),
    "a copy in another place": (elsewhere, True),
    "another time of a file": (lambda data: os.utime(image(data), (0, 0)), True),
    "another dataset": (lambda data: fixtures.write_dtd(data), True),
    "a hidden file": (lambda data: (data / "chest_xray/.DS_Store").touch(), True),
    "a changed image": (lambda data: image(data).write_bytes(image(data).read_bytes() + b"x"), False),
    "a new image": (lambda data: shutil.copy(image(data), image(data).with_name("person9_virus_9.jpeg")), False),
    "an image less": (lambda data: image(data).unlink(), False),
    "a renamed image": (lambda data: image(data).rename(image(data).with_name("person9_virus_9.jpeg")), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_of_a_dataset_follows_its_content(data, change):
    do, stays = CHANGES[change]
    before = digest()
    do(data)
    assert (digest() == before) is stays


def test_files_that_are_not_here_have_no_digest(data, monkeypatch):
    assert digest(data="demo") == {}
    shutil.rmtree(data / "chest_xray")
    assert digest() == {"images": ""}
    monkeypatch.delenv("CATSCANS_DATA")
    assert digest() == digest(dataset="natural") == {"images": ""}
    assert digest("pretrain", weights="w.h5") == {"weights": ""}


def test_weights_are_told_apart_by_content(data, monkeypatch):
    monkeypatch.setenv("CATSCANS_WEIGHTS", str(data))
    (data / "w.h5").write_bytes(b"1")
    first = digest("pretrain", weights="w.h5")
    (data / "w.h5").write_bytes(b"2")
    second = digest("pretrain", weights="w.h5")
    assert first.keys() == second.keys() == {"weights"}
    assert first != second
    assert digest("pretrain", weights="keras") == digest("pretrain", weights=None) == {}


def test_unchanged_files_are_hashed_once(data, monkeypatch):
    before = digest()
    monkeypatch.setattr(paths, "sha256", lambda path: pytest.fail(f"{path} is hashed again"))
    assert digest() == before


@pytest.mark.parametrize("form", ["folder", "table"])
def test_of_an_own_dataset_the_card_names_the_files(data, form):
    place = {"folder": data / "natural_images", "table": data / "table.csv"}[form]
    names = sorted(path.relative_to(data).as_posix() for path in (data / "natural_images").rglob("*.jpg"))
    (data / "table.csv").write_text("path,label\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in names[:-1]))
    card = own.OwnCard(title="Mine", form=form, place=str(place))
    own.add("mine", card, card.read(data), taken=datasets.known())
    before = digest(dataset="mine")
    (data / "natural_images/notes.txt").touch()
    (data / names[-1]).write_bytes(b"not listed in the table")
    assert (digest(dataset="mine") == before) is (form == "table")
    (data / names[0]).write_bytes(b"other")
    assert digest(dataset="mine") != before
