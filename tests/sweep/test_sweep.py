"""A sweep of a tiny grid from start to end: its results, its book, and what a change reruns."""

import json
import re
import shutil
import subprocess
import time

import keras
import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny

from catscans_lib import book, results
from catscans_lib.evaluation import learning
from catscans_lib.grid import expand
from catscans_lib.images import folds


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep; a second one; a third without any mark or cache, as after a kill just before a run was marked."""
    folder = tiny.project(tmp_path_factory.mktemp("project"))
    seen = {"folder": folder, "end": tiny.catscans(folder, "sweep"), "first": tiny.done(folder)}
    seen["again"] = tiny.catscans(folder, "sweep")
    seen["second"] = tiny.done(folder)
    shutil.rmtree(folder / ".snakemake")
    for mark in (folder / "results/demo").rglob(".done"):
        mark.unlink()
    seen["elsewhere"] = tiny.catscans(folder, "sweep")
    seen["third"] = tiny.done(folder)
    return seen


@pytest.fixture
def project(swept, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(swept["folder"]))
    return swept["folder"]


def test_a_sweep_executes_every_run_of_the_grid(swept):
    assert swept["end"].returncode == 0, swept["end"].stderr
    assert set(swept["first"]) == tiny.RUNS


@pytest.mark.parametrize(("again", "done"), [("again", "second"), ("elsewhere", "third")])
def test_a_second_sweep_reruns_nothing_also_without_marks_and_caches(swept, again, done):
    assert swept[again].returncode == 0
    assert "nothing to do: all 11 runs are up to date" in swept[again].stdout
    assert "nothing to do" not in swept["end"].stdout
    assert swept[done] == swept["first"]


def test_named_runs_execute_only_with_what_they_need_and_a_planning_error_is_printed(tmp_path):
    folder = tiny.project(tmp_path)
    result = tiny.catscans(folder, "sweep", "ingest/dtd")
    assert result.returncode == 0, result.stderr
    assert set(tiny.done(folder)) == {"ingest/dtd"}
    assert re.search(r"ingest/dtd done in \d+ s: 1 of 1 runs done, 0 running$", result.stdout, flags=re.M)
    (folder / "Snakefile").write_text("rule all:\n    input: 'nobody makes this'\n")
    result = tiny.catscans(folder, "sweep")
    assert result.returncode == 1
    assert "MissingInputException" in result.stderr and "nobody makes this" in result.stderr


def test_progress_shows_running_and_finished_runs_with_the_elapsed_time(swept):
    counts = r"\d+ of 11 runs done, [1-9] running, about \d+ (s|min) left$"
    assert re.search(rf"^\[\d\d:\d\d\] evaluate/all starts: {counts}", swept["end"].stdout, flags=re.M), swept[
        "end"
    ].stdout
    assert re.search(
        r"^\[\d\d:\d\d\] \S+ done in \d+ s: 11 of 11 runs done, 0 running", swept["end"].stdout, flags=re.M
    )


def test_no_temporary_files_are_left(project):
    left = [path for path in (project / "results").rglob(".*") if "records" not in path.parts and path.name != ".done"]
    assert left == []
    assert list((project / "data").rglob("*.part")) == []


def test_every_notebook_ran_to_its_end_with_the_parameters_of_the_grid(project):
    for key, run in expand.grid("demo").items():
        folder = project / "results/demo" / key
        cells = nbformat.read(folder / f"{run.step}.ipynb", as_version=4).cells
        status = {cell.metadata.papermill.status for cell in cells if cell.cell_type == "code"}
        assert status == {"completed"}, key
        record = json.loads((folder / "run.json").read_text())
        assert record["parameters"] == run.parameters
        assert record["status"] == "completed"
        assert record["versions"]["numpy"] == np.__version__
        assert record["seconds"] > 0
        assert record["peak_memory_mb"] > 50


def test_predictions_are_on_the_saved_folds_at_full_precision(project):
    saved = folds.read(project / "results/demo/folds/chest.csv")
    assert sorted(saved["fold"].unique()) == [1, 2, 3]
    assert saved.groupby("group")["fold"].nunique().max() == 1
    predictions = results.table("demo", "transfer", "dtd--chest", "predictions")
    for mode, part in predictions.groupby("mode"):
        merged = part.merge(saved, on="image_id", suffixes=("", "_saved"))
        assert len(merged) == len(part) == len(saved), mode
        assert (merged["fold"] == merged["fold_saved"]).all()
    assert (predictions["score_PNEUMONIA"].map(lambda value: len(repr(value))) > 8).any()


def test_the_tables_follow_from_the_predictions(project):
    from sklearn.metrics import roc_auc_score

    tables = results.load("demo")
    assert {"aucs", "transfer_scores", "history", "predictions"} <= set(tables)
    part = tables["predictions"].query("source == 'dtd' and mode == 'fine_tune' and fold == 2")
    row = tables["aucs"].query("source == 'dtd' and mode == 'fine_tune' and fold == 2").iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(part["label"] == "PNEUMONIA", part["score_PNEUMONIA"]))
    assert row["n_images"] == len(part)
    failed = {mode for _, _, mode in learning.failures(tables["learning"])}
    scores = tables["transfer_scores"]
    assert set(scores["mode"]) == {"fine_tune", "linear_probe"} - failed and "linear_probe" not in failed
    assert len(scores) == 3 * scores["mode"].nunique()  # folds x modes, one source


def test_the_saved_model_opens_without_our_library(project):
    model = keras.models.load_model(project / "results/demo/transfer/dtd--chest/model.keras")
    assert model.predict(np.zeros((1, 24, 24, 3)), verbose=0).shape == (1, 1)


def test_every_run_has_a_sacred_record_with_its_configuration_and_metrics(project):
    runs = {path.parent: json.loads(path.read_text()) for path in (project / "results/demo/records").glob("*/run.json")}
    completed = {run["experiment"]["name"]: folder for folder, run in runs.items() if run["status"] == "COMPLETED"}
    assert set(completed) == {key.replace("/", "-") for key in tiny.RUNS}
    record = completed["transfer-dtd--chest"]
    assert json.loads((record / "config.json").read_text())["learning_rate"] == 2e-3
    assert "fine_tune.fold1.seed0.train.loss" in json.loads((record / "metrics.json").read_text())


def test_every_figure_has_its_table_and_says_demo(project):
    figures = list((project / "results/demo").glob("*/*/figures/*.svg"))
    assert len(figures) >= 12
    for path in figures:
        assert path.with_suffix(".csv").is_file()
        assert "DEMO" in path.read_text(), path


def dry_run(project, *words):
    """Return the plan, and the numbers of runs, done and to run."""
    result = tiny.catscans(project, "sweep", "--dry-run", *words)
    assert result.returncode == 0, result.stderr
    counts = re.search(r"(\d+) runs, (\d+) done, (\d+) to run", result.stdout)
    return result.stdout, tuple(map(int, counts.groups()))


def test_a_changed_parameter_reruns_only_that_run_and_its_dependants(project):
    content = tiny.grid()
    content["pretrain"]["sources"]["dtd"]["learning_rate"] = 1e-3
    tiny.write_grid(project, content)
    try:
        to_run = re.search(r"^  to run: (.*)$", dry_run(project)[0], flags=re.M)
    finally:
        tiny.write_grid(project, tiny.grid())
    assert set(to_run[1].split(", ")) == {
        "pretrain/dtd", "transfer/dtd--chest", "evaluate/all", "stability/all", "feature_maps/chest", "similarity/chest",
        "transferability/all",
    }  # fmt: skip


def test_a_dry_run_prints_the_plan_and_starts_nothing(project):
    before = tiny.done(project)
    assert dry_run(project)[1] == (11, 11, 0)
    text, counts = dry_run(project, "--set", "transfer.epochs=1", "--as", "short", "evaluate/*")
    assert "6 of 11 runs" in text and counts == (11, 3, 3)  # the transfers and the evaluation; not ingest and pretrain
    assert "copied from results/demo: 5 runs with the same recipe" in text
    assert not (project / "params/demo+short.yaml").exists() and not (project / "results/demo+short").exists()
    assert tiny.done(project) == before


def test_options_after_two_dashes_go_to_snakemake(project):
    result = tiny.catscans(project, "sweep", "ingest/dtd", "--dry-run", "--", "--no-such-option")
    assert result.returncode == 2
    assert "Snakemake: error: unrecognized arguments: --no-such-option" in result.stderr


def test_a_notebook_run_by_hand_leaves_the_results_alone_and_names_missing_runs(project):
    def papermill(**given):
        command = [*tiny.CLI[:1], "-m", "papermill", "notebooks/stability.ipynb", "out.ipynb", "--no-progress-bar"]
        command += [word for name, value in given.items() for word in ("-p", name, value)]
        return subprocess.run(command, cwd=project, env=tiny.environment(project), capture_output=True, text=True)

    before = tiny.done(project)
    result = papermill(profile="demo")
    assert result.returncode == 0, result.stderr
    assert (project / "results/demo/scratch/stability/all/run.json").is_file()
    assert tiny.done(project).items() >= before.items()
    tiny.write_grid(project, tiny.grid(), "empty")
    result = papermill(profile="empty")
    assert result.returncode != 0
    assert "stability/all needs transfer/none--chest" in result.stderr
    assert "catscans sweep --profile empty transfer/none--chest" in result.stderr


def test_a_named_experiment_executes_only_what_differs_and_is_used_by_its_name(project, swept):
    since = time.time()
    result = tiny.catscans(project, "sweep", "--set", "transfer.epochs=1", "--as", "short", "-j", "2")
    assert result.returncode == 0, result.stderr
    found = tiny.done(project, "demo+short")
    assert set(found) == set(swept["first"])
    executed = {key for key, finished in found.items() if finished > since * 1e9}
    later = {"evaluate/all", "stability/all", "feature_maps/chest", "transferability/all"}
    assert executed == {"transfer/none--chest", "transfer/dtd--chest"} | later
    assert tiny.done(project) == swept["first"]
    again = tiny.catscans(project, "sweep", "--profile", "demo+short")
    assert "nothing to do" in again.stdout and tiny.done(project, "demo+short") == found
    assert "pretrain/dtd" in tiny.catscans(project, "records", "show", "pretrain/dtd", "--profile", "demo+short").stdout
    compared = tiny.catscans(project, "records", "diff", "demo", "short").stdout
    assert "transfer.defaults.epochs: 2 -> 1\n" in compared
    assert re.search(r"chest +fine_tune +dtd( +[-+]?0\.\d+){3}", compared)
    assert book.assemble("demo+short").joinpath("results.md").is_file()


def test_the_book_of_the_sweep_builds_without_a_warning_and_prints_its_numbers(project):
    index = book.build("demo")
    aucs = pd.read_csv(project / "results/demo/tables/aucs.csv")
    mean = aucs.query("source == 'dtd' and mode == 'linear_probe'")["auc"].mean()
    assert f"{mean:.3f}" in (index.parent / "results.html").read_text()
    assert (index.parent / "runs/transfer/dtd--chest.html").is_file()
    assert "DEMO" in index.read_text()
