"""Profiles share the runs that they make from the same recipe."""

import json

import finished
import pytest

from catscans_lib import paths, results
from catscans_lib.grid import expand, experiments, profiles
from catscans_lib.runs import recipe
from catscans_lib.sweep import reuse

SAME = ["ingest/dtd", "ingest/chest", "overlaps/all", "pretrain/dtd"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose demo is finished."""
    folder = finished.make(tmp_path)
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    return folder


def defined(*words):
    with experiments.defined("demo", words, "short", keep=True) as profile:
        return profile, expand.grid(profile)


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("transfer.epochs=1", SAME),
        ("pretrain.epochs=9", [*SAME[:3], "transfer/none--chest"]),
        ("evaluate.n_draws=100", None),
        ("folds.seed=7", []),
    ],
)
def test_an_experiment_takes_the_runs_of_the_study_that_are_the_same(project, word, same):
    profile, runs = defined(word)
    same = [key for key in runs if key != "evaluate/all"] if same is None else same
    assert reuse.found(profile, runs) == dict.fromkeys(same, "demo")


def test_taken_runs_are_up_to_date_with_their_images_folds_and_records(project):
    profile, runs = defined("transfer.epochs=1")
    place = paths.records_dir("demo") / "1/run.json"
    record = {"experiment": {"name": "pretrain-dtd"}, "status": "COMPLETED"}
    place.write_text(json.dumps(record))
    place.with_name("info.json").write_text(json.dumps({"run_id": results.facts("demo", "pretrain/dtd").run_id}))
    reuse.take(profile, runs, reuse.found(profile, runs))
    assert recipe.current(profile, runs) == SAME
    assert reuse.found(profile, runs) == {}
    assert paths.folds_path(profile, "chest").read_bytes() == paths.folds_path("demo", "chest").read_bytes()
    assert (paths.records_dir(profile) / "1/run.json").is_file()
    linked = [paths.store_path(name, "chest", finished.SIZE).stat().st_ino for name in ("demo", profile)]
    linked += [(paths.run_dir(name, "pretrain", "dtd") / "model.keras").stat().st_ino for name in ("demo", profile)]
    assert linked[0] == linked[1] and linked[2] == linked[3]
    notebook = paths.run_dir(profile, "pretrain", "dtd") / "pretrain.ipynb"
    notebook.write_text("edited")
    assert (paths.run_dir("demo", "pretrain", "dtd") / "pretrain.ipynb").read_text() != "edited"


def test_the_study_takes_runs_of_an_experiment_whose_settings_it_gets(project):
    profile, _ = defined("transfer.epochs=1")
    (paths.results_dir("demo")).rename(paths.results_dir(profile))
    paths.params_path("demo").write_text(paths.params_path(profile).read_text())
    assert reuse.found("demo", expand.grid("demo")) == dict.fromkeys(SAME, profile)


def test_a_run_of_other_inputs_is_not_taken(project):
    profile, runs = defined("transfer.epochs=1")
    reuse.take(profile, runs, reuse.found(profile, runs))
    place = paths.run_dir(profile, "ingest", "dtd") / "run.json"
    place.write_text(place.read_text().replace("ingest-dtd-0", "ingest-dtd-1"))  # made again, with other images
    shared = reuse.found(profile, runs)
    assert "pretrain/dtd" not in shared and "overlaps/all" not in shared


def test_an_experiment_is_defined_once_and_its_name_comes_from_its_changes(project):
    with experiments.defined("demo", ("transfer.epochs=1", "seeds=[0, 1]"), None, keep=False) as profile:
        assert profile == "demo+transfer.epochs-1-seeds-0-1"
        assert paths.params_path(profile).is_file()
    assert not paths.params_path(profile).exists()
    assert defined("transfer.epochs=1")[0] == defined("transfer.epochs=1")[0] == defined()[0] == "demo+short"
    with pytest.raises(experiments.InputError, match=r"params/demo\+short.yaml exists with other settings"):
        defined("transfer.epochs=2")
    assert "demo+short" in profiles.names()
