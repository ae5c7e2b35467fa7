"""Which finished runs a change of code makes out of date, and how they are kept."""

import json

import pytest
import tiny

from catscans_lib import paths
from catscans_lib.grid import expand
from catscans_lib.runs import recipe as run_recipe
from catscans_lib.sweep import trusting


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A project whose ingests and overlaps are done, made by the code as it is."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.project(tmp_path)))
    runs = {key: run for key, run in expand.grid("demo").items() if run.step in ("ingest", "overlaps")}
    for key, run in runs.items():
        write(key, run, run_recipe.recipe(run, "demo"), run_recipe.code_fingerprint(run.step))
    return runs


def write(key, run, recipe, code):
    folder = paths.run_dir("demo", run.step, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"status": "completed", "run_id": f"{key}-1", "recipe": recipe, "code": {"fingerprint": code}}
    (folder / "run.json").write_text(json.dumps(record))


def change(monkeypatch, step):
    plain = run_recipe.code_fingerprint
    monkeypatch.setattr(run_recipe, "code_fingerprint", lambda name: plain(name) + "x" * (name == step))


def test_runs_from_the_code_as_it_is_are_not_outdated(runs):
    assert trusting.outdated("demo", runs) == []
    assert trusting.told([], runs, kept=False) == ""


def test_a_change_of_code_outdates_the_runs_of_its_notebook_and_names_it(runs, monkeypatch):
    change(monkeypatch, "ingest")
    found = trusting.outdated("demo", runs)
    assert found == ["ingest/dtd", "ingest/chest"]
    assert "notebooks/ingest.ipynb (2 runs)." in trusting.told(found, runs, kept=False)
    assert "--trust keeps them" in trusting.told(found, runs, kept=False)
    assert "Kept as they are (--trust): ingest/dtd, ingest/chest." in trusting.told(found, runs, kept=True)


def test_trusted_runs_are_current_until_the_code_changes_again(runs, monkeypatch):
    change(monkeypatch, "ingest")
    assert run_recipe.current("demo", runs) == []
    trusting.keep("demo", trusting.outdated("demo", runs), runs)
    assert run_recipe.current("demo", runs) == list(runs)
    assert trusting.outdated("demo", runs) == []
    change(monkeypatch, "ingest")
    assert trusting.outdated("demo", runs) == ["ingest/dtd", "ingest/chest"]


def test_a_run_from_other_settings_is_no_matter_of_trust(runs, monkeypatch):
    write("ingest/dtd", runs["ingest/dtd"], "another", run_recipe.code_fingerprint("ingest"))
    change(monkeypatch, "ingest")
    assert trusting.outdated("demo", runs) == ["ingest/chest"]


def test_many_kept_runs_are_counted_and_not_all_named(runs):
    assert "ingest/dtd, ingest/dtd and 70 more." in trusting.told(["ingest/dtd"] * 100, runs, kept=True)
