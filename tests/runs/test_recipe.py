import subprocess

import pytest

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


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys():
    assert recipe.fingerprint({"a": 1, "b": 2}) == recipe.fingerprint({"b": 2, "a": 1})
    assert recipe.fingerprint({"a": 1}) != recipe.fingerprint({"a": 2})


@pytest.mark.parametrize(
    ("step", "module", "counts"),
    [
        ("transfer", "figures/curves.py", False),
        ("evaluate", "figures/curves.py", True),
        ("transfer", "training/loop.py", True),
        ("evaluate", "training/loop.py", False),
        ("ingest", "datasets/demo/__init__.py", True),
        ("evaluate", "evaluation/tables.py", True),
    ],
)
def test_a_change_outdates_the_steps_whose_results_it_may_change(monkeypatch, step, module, counts):
    assert (code_scope.LIBRARY / module).is_file()
    plain, before = code_scope.meaning, recipe.code_fingerprint(step)
    monkeypatch.setattr(code_scope, "meaning", lambda path: plain(path) + "x" * (path == code_scope.LIBRARY / module))
    assert (recipe.code_fingerprint(step) != before) is counts
