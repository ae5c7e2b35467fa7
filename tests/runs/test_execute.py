"""A run takes its place only when every cell has completed; an earlier result stays until then."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import replace

import nbformat
import papermill
import psutil
import pytest
import tiny
from papermill.exceptions import PapermillExecutionError

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import execute, recipe
from catscans_lib.runs.in_notebook import start
from catscans_lib.sweep import engine


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
    write_notebook("stability", *cells)
    return execute.execute(expand.grid("demo")["stability/all"], "demo")


def write_notebook(step, *cells):
    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    parameters = "\n".join(f"{name} = None" for name in STEPS[step].settings.model_fields)
    parameters = parameters.replace("profile = None", "profile = 'demo'")
    notebook.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, paths.notebook_path(step))


START = "from catscans_lib.runs import in_notebook; run = in_notebook.start('stability', profile=profile)"


def test_a_run_is_done_when_its_last_cell_is_and_its_record_holds_its_parameters(project):
    folder = run_notebook(START, "run.finish(n=3)")
    record = json.loads((folder / "run.json").read_text())
    assert folder == paths.run_dir("demo", "stability", "all")
    assert results.is_done("demo", "stability/all")
    assert (record["n"], record["step"], record["parameters"]) == (3, "stability", {"profile": "demo"})
    assert not paths.work_dir("demo", "stability", "all").exists()


@pytest.mark.slow
def test_a_run_of_a_grid_of_101_sources_and_50_targets_starts_with_all_its_inputs(project):
    """The text of its plan alone is longer than the 128 KiB that Linux allows for one argument or variable."""
    needs = [f"transfer/source_{source:03d}--target_{target:03d}" for source in range(101) for target in range(50)]
    for key in needs:
        folder = paths.results_dir("demo") / key
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(
            json.dumps({"status": "completed", "run_id": key.replace("/", "-") + "-0" * 12})
        )
    write_notebook("evaluate", START.replace("stability", "evaluate"), "run.finish()")
    run = replace(expand.grid("demo")["evaluate/all"], needs=tuple(needs))
    engine.save_plan("demo", {run.key: run})
    rules = paths.root().joinpath("Snakefile").read_text()
    command = re.search(r'"{params.key} (--profile .*)"', rules)[1].format(config={"profile": "demo"})
    done = tiny.catscans(paths.root(), "run", run.key, *command.split())
    assert done.returncode == 0, done.stderr
    assert list(results.record("demo", run.key)["inputs"]) == needs


def test_a_run_is_repeated_only_if_its_recipe_has_changed(project, capsys):
    finished = run_notebook(START, "run.finish(n=1)") / "run.json"
    time, first = finished.stat().st_mtime_ns, json.loads(finished.read_text())["run_id"]
    run_notebook(START, "run.finish(n=1)")
    assert finished.stat().st_mtime_ns == time
    assert "stability/all is already up to date" in capsys.readouterr().out
    run_notebook(START, "run.finish(n=2)")
    assert json.loads(finished.read_text())["n"] == 2
    (paths.results_dir("demo") / "transfer/none--chest/run.json").write_text('{"status": "completed", "run_id": "s"}')
    time, second = finished.stat().st_mtime_ns, json.loads(finished.read_text())["run_id"]
    run_notebook(START, "run.finish(n=2)")
    assert finished.stat().st_mtime_ns > time
    # Runs that read this one run again only if its results differ.
    assert json.loads(finished.read_text())["run_id"] == second != first


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": "dtd"}, "Unknown parameter of overlaps.ipynb 'dataset'; known: datasets, profile."),
        (
            {"datasets": "[dtd]"},
            "overlaps.ipynb: datasets got the text '[dtd]'; a list is needed. Pass it with -y: -y 'datasets: [dtd]'",
        ),
    ],
)
def test_papermill_is_told_of_unknown_parameters_and_of_lists_given_as_text(project, given, message):
    write_notebook("overlaps", f"{START[:-1].replace('stability', 'overlaps')}, datasets=datasets)")
    with pytest.raises(PapermillExecutionError) as raised:
        papermill.execute_notebook(paths.notebook_path("overlaps"), None, given, kernel_name="python3", cwd=project)
    assert raised.value.evalue == message


def test_a_killed_kernel_is_reported_with_its_log(project):
    with pytest.raises(
        execute.RunFailed,
        match=r"stability/all: the kernel did not start, or ended: Kernel died.*kernel\.log in the same folder",
    ):
        run_notebook(START, "import os; os.write(2, b'last words'); os.kill(os.getpid(), 9)", "run.finish()")


def test_a_kernel_that_does_not_start_is_reported(project, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr("papermill.execute_notebook", fails)
    with pytest.raises(execute.RunFailed, match="stability/all: .* Kernel died before replying"):
        run_notebook(START, "run.finish()")


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
    path = paths.notes_dir() / "runs" / "demo.stability.all.lock"
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
    before = psutil.Process().children(recursive=True)  # of earlier tests
    with pytest.raises(execute.RunFailed, match=raised):
        run_notebook("import time; time.sleep(600)")
    children = set(psutil.Process().children(recursive=True)) - set(before)
    assert [child for child in children if child.status() != psutil.STATUS_ZOMBIE] == []  # ended, not yet collected
