"""A run takes its place only when every cell has completed; an earlier result stays until then."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import nbformat
import psutil
import pytest

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import execute, recipe
from catscans_lib.runs.in_notebook import start

PARAMETERS = "profile = 'demo'\nlogs = None"


@pytest.fixture
def project(project, monkeypatch):
    """A project whose transfers are done (empty records), so that the stability notebook may run."""
    monkeypatch.delenv("CATSCANS_WORK_DIR", raising=False)
    for key, run in expand.grid("demo").items():
        if run.step == "transfer":
            folder = paths.results_dir("demo") / key
            folder.mkdir(parents=True)
            (folder / "run.json").write_text('{"status": "completed", "run_id": "r"}')
    return project


def run_notebook(*cells):
    """Replace stability.ipynb by a notebook with these cells and execute it."""
    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    notebook.cells = [nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, paths.notebook_path("stability"))
    return execute.execute(expand.grid("demo")["stability/all"], "demo")


START = "from catscans_lib.runs import in_notebook; run = in_notebook.start('stability', profile=profile)"


def test_a_run_is_done_when_its_last_cell_is_and_its_record_holds_its_parameters(project):
    folder = run_notebook(START, "run.finish(n=3)")
    record = json.loads((folder / "run.json").read_text())
    assert folder == paths.run_dir("demo", "stability", "all")
    assert results.is_done("demo", "stability/all")
    assert (record["n"], record["step"], record["parameters"]) == (3, "stability", {"profile": "demo", "logs": None})
    assert not paths.work_dir("demo", "stability", "all").exists()


def test_a_run_is_repeated_only_if_its_recipe_has_changed(project, capsys):
    finished = run_notebook(START, "run.finish(n=1)") / "run.json"
    time = finished.stat().st_mtime_ns
    run_notebook(START, "run.finish(n=1)")
    assert finished.stat().st_mtime_ns == time
    assert "stability/all is already up to date" in capsys.readouterr().out
    run_notebook(START, "run.finish(n=2)")
    assert json.loads(finished.read_text())["n"] == 2
    (paths.results_dir("demo") / "transfer/none--chest/run.json").write_text('{"status": "completed", "run_id": "s"}')
    time = finished.stat().st_mtime_ns
    run_notebook(START, "run.finish(n=2)")
    assert finished.stat().st_mtime_ns > time


def test_progress_counts_runs_of_this_sweep_and_marked_ones(project, monkeypatch):
    assert execute.progress("demo") == (2, 11)  # the fixture's transfers
    records = [paths.results_dir("demo") / f"transfer/{name}--chest/run.json" for name in ("none", "dtd")]
    for path, finished in zip(records, (100, 300), strict=True):
        os.utime(path, (finished, finished))
    monkeypatch.setenv(execute.STARTED, "200")
    assert execute.progress("demo") == (1, 11)
    (records[0].parent / execute.MARK).touch()
    assert execute.progress("demo") == (2, 11)


def test_a_line_shows_the_time_since_the_start_of_the_sweep_only_within_one(monkeypatch, capsys):
    execute.say("ingest/dtd ...")
    times = iter((1000.0, 1083.0))
    monkeypatch.setattr(execute.time, "time", lambda: next(times, 1083.0))
    with execute.timed() as started:
        execute.say("ingest/dtd done")
    execute.say("the end")
    assert started == 1000.0
    assert capsys.readouterr().out.splitlines() == ["ingest/dtd ...", "[01:23] ingest/dtd done", "the end"]


def test_a_run_is_current_only_if_all_runs_that_it_needs_are(project):
    run_notebook(START, "run.finish()")
    runs = expand.grid("demo")
    assert recipe.is_current(runs["stability/all"], "demo")
    assert recipe.current("demo", runs) == []  # what it needs has other recipes
    assert recipe.current("demo", {"stability/all": replace(runs["stability/all"], needs=())}) == []


def test_a_failed_run_keeps_the_earlier_result_and_the_notebook_with_the_error(project):
    before = run_notebook(START, "run.finish(n=1)") / "run.json"
    text = before.read_text()
    with pytest.raises(execute.RunFailed, match=r"stability/all failed: ValueError: no such thing\nSee results/demo"):
        run_notebook(START, "raise ValueError('no such thing')", "run.finish(n=2)")
    assert before.read_text() == text
    kept = nbformat.read(paths.work_dir("demo", "stability", "all") / "stability.ipynb", as_version=4)
    assert "no such thing" in str(kept.cells)
    statuses = [json.loads(path.read_text())["status"] for path in paths.records_dir("demo").glob("*/run.json")]
    assert sorted(statuses) == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ((START, "run.finish()", "1 / 0"), "ZeroDivisionError"),
        ((START,), "ended before its last cell"),
        ((START, "raise MemoryError('much')"), "MemoryError: much.*fewer runs at a time"),
    ],
)
def test_a_run_that_fails_or_never_finishes_is_not_done(project, cells, message):
    with pytest.raises(execute.RunFailed, match=message):
        run_notebook(*cells)
    assert not results.is_done("demo", "stability/all")


def test_a_killed_kernel_is_reported_with_its_log(project):
    with pytest.raises(execute.RunFailed, match=r"stability/all: the kernel died .*kernel\.log in the same folder"):
        run_notebook(START, "import os; os.write(2, b'last words'); os.kill(os.getpid(), 9)", "run.finish()")


def test_kernel_output_outside_of_cells_is_not_printed(project, capfd):
    folder = run_notebook(START, "import subprocess; subprocess.run('echo greetings >&2', shell=True)", "run.finish()")
    assert "greetings" not in capfd.readouterr().err
    assert not (folder / "kernel.log").exists()


def test_a_missing_run_is_reported_with_the_command_that_makes_it(project):
    with pytest.raises(InputError, match="stability/all is not done in profile demo.*catscans sweep --profile demo"):
        results.record("demo", "stability/all")
    with pytest.raises(InputError, match=r"feature_maps/chest needs ingest/chest.*sweep --profile demo ingest/chest"):
        start("feature_maps", profile="demo", target="chest")


def test_a_run_waits_for_another_process_that_executes_it(project, capsys):
    path = paths.lock_path("demo", "stability", "all")
    path.parent.mkdir(parents=True)
    code = (
        f"import fcntl; f = open({str(path)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "f.write('process 1'); f.flush(); print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        threading.Timer(0.5, other.stdin.close).start()  # which ends the process
        run_notebook(START, "run.finish()")
        other.wait(60)
    assert "stability/all waits for process 1, which an earlier sweep started" in capsys.readouterr().out
    assert results.is_done("demo", "stability/all")


def test_a_run_is_stopped_at_its_time_limit(project, monkeypatch):
    monkeypatch.setenv("CATSCANS_MINUTES", "0.15")
    raised = (
        r"was stopped after its limit of 0.15 minutes.*resources: \{stability: \{minutes: ...\}\} in params/demo.yaml"
    )
    with pytest.raises(execute.RunFailed, match=raised):
        run_notebook("import time; time.sleep(600)")
    children = psutil.Process().children(recursive=True)
    assert [child for child in children if child.status() != psutil.STATUS_ZOMBIE] == []  # ended, not yet collected


@pytest.mark.parametrize("minutes", ["0", "", "10"])
def test_a_process_within_its_time_limit_is_left_alone(monkeypatch, minutes):
    monkeypatch.setenv(execute.MINUTES, minutes)
    with execute.time_limit() as is_over:
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert not is_over.is_set()
