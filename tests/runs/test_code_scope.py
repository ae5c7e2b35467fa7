import ast
import json

import pytest

from catscans_lib import paths
from catscans_lib.runs import code_scope


def reached(names):
    return {str(path.relative_to(code_scope.LIBRARY)) for path in code_scope.reached(f"import {names}")}


def test_code_reaches_what_it_imports_directly_or_through_other_files():
    files = reached("catscans_lib.experiment.transfer")
    assert {
        "experiment/transfer.py",
        "networks/build.py",
        "training/loop.py",
        "training/kernels.py",
        "training/__init__.py",
    } <= files
    assert (
        not {"book/assembly.py", "cli/main.py", "grid/steps.py", "evaluation/stability.py", "figures/__init__.py"}
        & files
    )
    assert "similarity/__init__.py" not in reached("catscans_lib.evaluation.stability")
    assert "networks/build.py" not in reached("catscans_lib.evaluation.stability, catscans_lib.figures")


@pytest.mark.parametrize(
    ("change", "same"), [("# a comment\n", True), ('"""Another text."""\n', True), ("x = 1\n", False)]
)
def test_comments_and_docstrings_do_not_change_the_fingerprint(tmp_path, change, same):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text('"""A text."""\nimport os\n')
    two.write_text(f"{change}import os\n")
    assert (code_scope.meaning(one) == code_scope.meaning(two)) is same


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of code in a project without a cache."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    path = tmp_path / "code.py"
    path.write_text("from catscans_lib.images import store\n")
    return path


def read(path):
    code_scope._facts.cache_clear()
    return code_scope._facts(path)


def test_a_cached_file_is_not_parsed_again_until_it_changes(file, monkeypatch):
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
def test_a_damaged_cache_entry_is_replaced(file, damage):
    paths.notes_dir().mkdir()
    first = read(file)
    (note,) = paths.notes_dir().glob("code/*")
    whole = note.read_text()
    note.write_text(damage)
    assert (read(file), note.read_text()) == (first, whole)


def test_facts_are_read_also_without_a_cache_folder_or_with_an_unusable_one(file):
    assert read(file).imports == ["catscans_lib.images", "catscans_lib.images.store"]
    assert not paths.notes_dir().exists()
    paths.notes_dir().mkdir()
    (paths.notes_dir() / "code").write_text("in the way")
    assert read(file).imports == ["catscans_lib.images", "catscans_lib.images.store"]


def test_python_3_11_3_12_and_3_13_give_a_file_the_same_fingerprint(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "@cache\ndef f(x: int, *, y=()) -> list:\n    return [f'{x!r:>5}', {}, [], *g(x, y=1), lambda: None]\n"
    )
    assert code_scope.meaning(path) == "952c78803b742b4e06723dcdbad25d1e1f4a4462e3f266d58c04413059da1c29"
