import pytest

from catscans_lib import provenance, syntax


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
    plain, before = syntax.meaning, provenance.code_fingerprint(step)
    monkeypatch.setattr(syntax, "meaning", lambda path: plain(path) + "x" * (path == syntax.LIBRARY / module))
    assert (provenance.code_fingerprint(step) != before) is counts
