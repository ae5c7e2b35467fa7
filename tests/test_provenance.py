from pathlib import Path

import pytest

from catscans_lib import provenance

LIBRARY = Path(provenance.__file__).parent


def reached(names):
    return {str(path.relative_to(LIBRARY)) for path in provenance._reached(f"from catscans_lib import {names}")}


def test_the_code_behind_a_notebook_is_what_it_imports_directly_or_through_others():
    files = reached("transfer")
    assert {"transfer.py", "models.py", "training.py", "fast_training.py", "settings.py"} <= files
    assert not {"book.py", "cli.py", "stability.py", "figures/__init__.py"} & files
    assert "similarity.py" not in reached("stability")
    assert "models.py" not in reached("stability, figures")


@pytest.mark.parametrize(
    ("change", "same"), [("# a remark\n", True), ('"""Another text."""\n', True), ("x = 1\n", False)]
)
def test_only_code_that_means_something_else_changes_the_fingerprint(tmp_path, change, same):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text('"""A text."""\nimport os\n')
    two.write_text(f"{change}import os\n")
    assert (provenance._meaning(one) == provenance._meaning(two)) is same


def test_the_commit_is_empty_outside_git_and_marked_where_files_differ(tmp_path, monkeypatch):
    import subprocess

    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == ""

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    (tmp_path / "file").write_text("1")
    git("init", "-q")
    git("add", "file")
    git("commit", "-qm", "first")
    head = provenance.commit()
    assert len(head) == 40
    (tmp_path / "file").write_text("2")
    assert provenance.commit() == head + "+changes"


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys():
    assert provenance.fingerprint({"a": 1, "b": 2}) == provenance.fingerprint({"b": 2, "a": 1})
    assert provenance.fingerprint({"a": 1}) != provenance.fingerprint({"a": 2})


@pytest.mark.parametrize(
    ("step", "module", "counts"),
    [
        ("transfer", "figures/curves.py", False),
        ("evaluate", "figures/curves.py", True),
        ("transfer", "training.py", True),
        ("evaluate", "training.py", False),
        ("ingest", "datasets/demo/__init__.py", True),
        ("evaluate", "evaluation/__init__.py", True),
    ],
)
def test_a_change_counts_for_the_steps_whose_results_it_may_change(monkeypatch, step, module, counts):
    plain, before = provenance._meaning, provenance.code_fingerprint(step)
    monkeypatch.setattr(provenance, "_meaning", lambda path: plain(path) + "x" * (path == LIBRARY / module))
    assert (provenance.code_fingerprint(step) != before) is counts
