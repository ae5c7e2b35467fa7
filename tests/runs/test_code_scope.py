import ast
import json

import pytest

from catscans_lib import paths
from catscans_lib.runs import code_scope


def reached(names):
    return {str(path.relative_to(code_scope.LIBRARY)) for path in code_scope.reached(f"import {names}")}


def test_the_code_behind_a_notebook_is_what_it_imports_directly_or_through_others():
    files = reached("catscans_lib.experiment.transfer")
    assert {
        "experiment/transfer.py",
        "networks/build.py",
        "training/loop.py",
        "training/kernels.py",
        "training/settings.py",
    } <= files
    assert (
        not {"book/assembly.py", "cli/main.py", "grid/steps.py", "evaluation/stability.py", "figures/__init__.py"}
        & files
    )
    assert "similarity/__init__.py" not in reached("catscans_lib.evaluation.stability")
    assert "networks/build.py" not in reached("catscans_lib.evaluation.stability, catscans_lib.figures")


@pytest.mark.parametrize(
    ("change", "same"), [("# a remark\n", True), ('"""Another text."""\n', True), ("x = 1\n", False)]
)
def test_only_code_that_means_something_else_changes_the_fingerprint(tmp_path, change, same):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text('"""A text."""\nimport os\n')
    two.write_text(f"{change}import os\n")
    assert (code_scope.meaning(one) == code_scope.meaning(two)) is same


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of code, in a project in which nothing is noted yet; its facts are read anew at each `read()`."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    path = tmp_path / "code.py"
    path.write_text("from catscans_lib.images import store\n")
    return path


def read(path):
    code_scope._facts.cache_clear()
    return code_scope._facts(path)


def test_what_a_sweep_has_read_is_not_parsed_again_until_it_changes(file, monkeypatch):
    paths.notes_dir().mkdir()
    first = read(file)
    assert first.imports == ["catscans_lib.images", "catscans_lib.images.store"]
    parse, parsed = ast.parse, []
    monkeypatch.setattr(code_scope.ast, "parse", lambda code: parsed.append(code) or parse(code))
    assert read(file) == first
    assert parsed == []
    file.write_text("from catscans_lib.images import store, folds\n")
    assert read(file).imports == ["catscans_lib.images", "catscans_lib.images.folds", "catscans_lib.images.store"]
    assert len(parsed) == 1


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", "null", json.dumps({"imports": []})])
def test_a_damaged_note_is_read_and_written_anew(file, damage):
    paths.notes_dir().mkdir()
    first = read(file)
    (note,) = paths.notes_dir().glob("code/*")
    whole = note.read_text()
    note.write_text(damage)
    assert read(file) == first
    assert note.read_text() == whole


def test_nothing_is_noted_where_no_sweep_has_been_and_none_is_needed_where_it_cannot_be(file):
    assert read(file).imports == ["catscans_lib.images", "catscans_lib.images.store"]
    assert not paths.notes_dir().exists()
    paths.notes_dir().mkdir()
    (paths.notes_dir() / "code").write_text("in the way")
    assert read(file).imports == ["catscans_lib.images", "catscans_lib.images.store"]
