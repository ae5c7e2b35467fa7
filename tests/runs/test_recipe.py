"""What outdates a run and what does not: each kind of change, made in a copy of the library and the notebooks."""

import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny

from catscans_lib import datasets
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import code_scope, recipe


def test_the_commit_is_empty_outside_git_and_marked_if_files_differ(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert recipe.commit() == ""

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    (tmp_path / "file").write_text("1")
    git("init", "-q")
    git("add", "file")
    git("commit", "-qm", "first")
    head = recipe.commit()
    assert len(head) == 40
    (tmp_path / "file").write_text("2")
    assert recipe.commit() == head + "+changes"
    (tmp_path / "file").write_text("1")
    assert recipe.commit() == head
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/new.ipynb").write_text("{}")  # unknown to git, but a run may read it
    assert recipe.commit() == head + "+changes"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # in a container
    assert recipe.commit() == head + "+changes"


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys():
    assert recipe.fingerprint({"a": 1, "b": 2}) == recipe.fingerprint({"b": 2, "a": 1})
    assert recipe.fingerprint({"a": 1}) != recipe.fingerprint({"a": 2})


INGESTS = {
    "ingest/chest": {"data": "native", "dataset": "chest"},
    "ingest/isic2018": {"data": "native", "dataset": "isic2018"},
    "ingest/natural": {"data": "native", "dataset": "natural"},
    "ingest/mine": {"data": "native", "dataset": "mine"},
    "ingest/demo": {"data": "demo", "dataset": "chest"},
}
RUNS = INGESTS | {step: {} for step in STEPS if step != "ingest"}
TRAINING = {"pretrain", "transfer"}
BY_MEASURES = {"similarity", "transferability", "evidence", "recommend", "sizes"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A project with its own copy of the library, whose code the recipes read."""
    folder = tiny.project(tmp_path_factory.mktemp("copy"))
    shutil.copytree(code_scope.LIBRARY, folder / "catscans_lib", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".snakemake").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        patch.setattr(code_scope, "LIBRARY", folder / "catscans_lib")
        yield folder, fingerprints()
    forget()


def forget():
    for cached in (code_scope._of_file, code_scope._file, code_scope._split, recipe._code_fingerprint):
        cached.cache_clear()


def fingerprints():
    forget()
    return {name: recipe.code_fingerprint(name.split("/")[0], values) for name, values in RUNS.items()}


NONE, ALL = set(), set(RUNS)
CHANGES = {  # file, text, its replacement, what runs again
    "prose of a notebook": ("notebooks/transfer.ipynb", "# Transfer a source to a target", "# Transfer", NONE),
    "a comment in a cell": ("notebooks/transfer.ipynb", "# None below: from the profile", "# None: from it", NONE),
    "a default of a notebook's parameters": ("notebooks/transfer.ipynb", 'source = \\"dtd\\"', 'source = \\"none\\"', NONE),
    "code in a cell": ("notebooks/transfer.ipynb", 'if source == \\"none\\"', 'if source == \\"dtd\\"', {"transfer"}),
    "a docstring": ("catscans_lib/training/loop.py", '"""Train', '"""Fit', NONE),
    "a comment": ("catscans_lib/networks/build.py", "# always float32", "# float32", NONE),
    "the text of an error": ("catscans_lib/networks/build.py", "A classifier needs", "Every classifier needs", NONE),
    "the module of errors": ("catscans_lib/errors.py", "limit: int = 30", "limit: int = 31", NONE),
    "the look of figures": ("catscans_lib/figures/aucs.py", "alpha=0.", "alpha=0.9", NONE),
    "what starts runs": ("catscans_lib/grid/expand.py", "def find(", "def find_it(", NONE),
    "the sweep": ("catscans_lib/sweep/engine.py", "LATENCY_S = 60", "LATENCY_S = 61", NONE),
    "the book": ("catscans_lib/book/templates.py", "DEMO_NOTE = ", "DEMO_NOTE = '' + ", NONE),
    "what writes records": ("catscans_lib/runs/in_notebook.py", '"completed"', '"finished"', NONE),
    "the reader of one dataset": (
        "catscans_lib/datasets/isic.py", "drop_duplicates()", "drop_duplicates(keep=False)", {"ingest/isic2018"}
    ),
    "a reader of other datasets": ("catscans_lib/datasets/stl10.py", "SHAPE = (3, 96, 96)", "SHAPE = (3, 32, 32)", NONE),
    "the reader of own datasets": (
        "catscans_lib/datasets/own.py", "tables.read(place,", "tables.read(place,*", {"ingest/mine", "recommend"}
    ),
    "the demo's drawings": ("catscans_lib/datasets/demo/draw.py", "ndimage.", "ndimage.other.", {"ingest/demo"}),
    "a layout that readers share": (
        "catscans_lib/datasets/folders.py", "len(inner) > 1 and", "len(inner) > 2 and",
        {"ingest/chest", "ingest/natural", "ingest/mine", "recommend"},
    ),
    "a new network": ("catscans_lib/networks/registry.py", "_OWN = (", "_OWN = (NetworkInfo(), ", NONE),
    "decoding": ("catscans_lib/images/decode.py", "CHUNK = 32", "CHUNK = 64", {*INGESTS, "recommend"}),
    "the start of a module": ("catscans_lib/images/pixels.py", "start=6", "start=7", {*INGESTS, "recommend"}),
    "folds": ("catscans_lib/images/folds.py", "N_TRIES = ", "N_TRIES = 1 + ", {*INGESTS, *BY_MEASURES}),
    "the training loop": ("catscans_lib/training/loop.py", "start * 0.5 * (1 + np.cos", "start * 0.6 * (1 + np.cos", TRAINING),
    "a step's settings": (
        "catscans_lib/evaluation/__init__.py", "class Stability(Strict):", "class Stability(Strict):\n    more = 1", {"stability"}
    ),
    "a measure": ("catscans_lib/similarity/measures/label_based.py", "return ", "return 2 * ", BY_MEASURES),
    "a comparison": ("catscans_lib/evaluation/inference.py", "ALPHA = ", "ALPHA = 2 * ", {"evaluate", "external"}),
    "how tables are read": (
        "catscans_lib/results.py", "keep_default_na=False", "keep_default_na=True", ALL - {*INGESTS, "overlaps", "similarity"}
    ),
    "how tables are saved": ("catscans_lib/runs/in_notebook.py", "index=False)", "index=True)", ALL),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_of_code_outdates_exactly_the_runs_whose_results_it_may_change(copy, kind):
    (folder, before), (name, old, new, expected) = copy, CHANGES[kind]
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    try:
        after = fingerprints()
    finally:
        (folder / name).write_text(text)
    assert {run for run in RUNS if after[run] != before[run]} == expected


CARDS = {  # a change of the card of one dataset: whether its images are ingested again
    "places": ({"places": ("natural",)}, True),
    "how it is read": ({"reading": {"group_pattern": "(.*)_.*"}}, True),
    "published numbers": ({"n_per_class": {"cat": 1, "dog": 1}}, True),
    "title": ({"title": "Other"}, False),
    "licence": ({"licence": "CC0"}, False),
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_change_of_a_card_outdates_its_own_images_unless_only_people_read_it(kind, monkeypatch):
    def entries():
        rows = {name: {"data": "native", "dataset": name} for name in ("natural", "chest")}
        return {
            name: recipe._entries(SimpleNamespace(key=f"ingest/{name}", needs=(), parameters=row))
            for name, row in rows.items()
        }

    (changes, is_other), before = CARDS[kind], entries()
    monkeypatch.setitem(datasets.published(), "natural", replace(datasets.get("natural"), **changes))
    monkeypatch.setitem(datasets.published(), "new", replace(datasets.get("natural"), name="new"))
    assert (entries()["natural"] != before["natural"]) == is_other
    assert entries()["chest"] == before["chest"]


def test_the_backend_of_keras_outdates_the_runs_that_compute_with_networks_and_no_others(monkeypatch):
    def codes():
        recipe._code_fingerprint.cache_clear()
        return {key: recipe.code_fingerprint(key.split("/")[0], values) for key, values in RUNS.items()}

    before = codes()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    after = codes()
    assert {key for key in RUNS if after[key] != before[key]} == TRAINING | {"similarity", "feature_maps", "recommend"}
    monkeypatch.undo()
    assert codes() == before
