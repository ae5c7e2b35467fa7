import json

import pytest

from catscans_lib import paths
from catscans_lib.runs import code_scope


def reached(*names):
    found = code_scope.reached([f"catscans_lib.{name}" for name in names])
    return {
        full.removeprefix("catscans_lib.") for full in found if full.count(".") > 1
    }  # not what the package itself does


def test_code_reaches_the_definitions_that_it_names_directly_or_through_others():
    found = reached("experiment.transfer.all_modes")
    assert {
        "experiment.transfer.linear_probe", "networks.build._small_resnet", "training.loop.fit", "training.kernels.speed_up",
        "training.Training",
    } <= found  # fmt: skip
    assert not {"training.loop.predictions", "images.store.write", "experiment.Pretrain"} & found
    assert reached("datasets.DatasetInfo") >= {"datasets.DatasetInfo", "datasets.cards.DatasetInfo"}


def test_a_module_used_as_a_value_is_reached_as_a_whole_and_rooms_that_only_start_or_show_are_not():
    assert {"statistics.ties.TIED", "statistics.ties.merged"} <= reached("statistics.ties")
    assert reached("figures.style.save", "sweep.engine.run", "errors.unknown") == set()


def meanings(code):
    return {name: part.meaning for name, part in code_scope.parsed(code, "catscans_lib.images.some").items()}


PLAIN = """
import numpy as np
from catscans_lib.images import folds

def f(x, y):
    if x:
        raise ValueError(f"got {x!r}")
    return np.sum(folds.linked(y))

class C:
    a: int = 1
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("def f", "# a comment\n\n\ndef f", set()),
        ("    if x:", '    """A docstring."""\n    if  x :', set()),
        ("class C:", 'class C:\n    """A docstring."""', set()),
        ("got {x!r}", "unknown: {x} of {y}", set()),
        ("if x", "if not x", {"f"}),
        ("ValueError", "KeyError", {"f"}),
        ("a: int = 1", "a: int = 2", {"C"}),
        ("import numpy as np", "import cupy as np", {"f"}),  # the same text of `f` calls something else
        ("catscans_lib.images import folds", "catscans_lib.statistics import folds", {"f", "folds"}),
        ("class C:", "f.cache = {}\n\nclass C:", {code_scope.IMPORTED}),
    ],
)
def test_a_fingerprint_ignores_layout_prose_and_texts_of_errors_but_nothing_else(old, new, changed):
    before, after = meanings(PLAIN), meanings(PLAIN.replace(old, new))
    assert {name for name in before | after if before.get(name) != after.get(name)} == changed


def test_what_runs_when_a_module_is_imported_belongs_to_each_of_its_definitions():
    assert "images.pixels." in reached("images.pixels.TURNED")  # UPRIGHT |= ... at the top level


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a library in a project without a cache."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setattr(code_scope, "LIBRARY", tmp_path / "catscans_lib")
    path = tmp_path / "catscans_lib/code.py"
    path.parent.mkdir()
    path.write_text("x = 1\ny = x\n")
    yield path
    forget()


def forget():
    for cached in (code_scope._of_file, code_scope._file, code_scope._split):
        cached.cache_clear()


def read():
    forget()
    return code_scope._of_file("catscans_lib.code")


def test_a_cached_file_is_not_parsed_again_until_it_changes(module, monkeypatch):
    paths.notes_dir().mkdir()
    first = read()
    assert first["y"].uses == ["catscans_lib.code.x", "catscans_lib.code.y"]
    parse, parsed = code_scope.parsed, []
    monkeypatch.setattr(code_scope, "parsed", lambda *given, **named: parsed.append(given) or parse(*given, **named))
    assert read() == first
    assert parsed == []
    module.write_text("x = 1\ny = 2\n")
    assert read()["y"].uses == ["catscans_lib.code.y"]
    assert len(parsed) == 1


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", "null", json.dumps({"x": ["a"]})])
def test_a_damaged_cache_entry_is_replaced(module, damage):
    paths.notes_dir().mkdir()
    first = read()
    (note,) = paths.notes_dir().glob("code/*")
    whole = note.read_text()
    note.write_text(damage)
    assert (read(), note.read_text()) == (first, whole)


def test_definitions_are_read_also_without_a_cache_folder_or_with_an_unusable_one(module):
    first = read()
    assert not paths.notes_dir().exists()
    paths.notes_dir().mkdir()
    (paths.notes_dir() / "code").write_text("in the way")
    assert read() == first


def test_python_3_11_3_12_and_3_13_give_code_the_same_fingerprint():
    code = "@cache\ndef f(x: int, *, y=()) -> list:\n    return [f'{x!r:>5}', {}, [], *g(x, y=1), lambda: None]\n"
    assert (
        code_scope.parsed(code, "m")["f"].meaning == "d06971e719b2dadf3e942404eb614929bda4e963c91bcc94cfceb4d61aaa0fa1"
    )
