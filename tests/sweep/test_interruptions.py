"""What a sweep leaves that was stopped in its middle, by Ctrl-C, by kill -9 or by a run that fails."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
import tiny

pytestmark = pytest.mark.slow
PATIENCE_S = 1200  # until the machine is taken for stuck


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A sweep interrupted with Ctrl-C, then with kill, of it alone, then with kill -9, then left to end."""
    folder = tiny.project(tmp_path_factory.mktemp("project"))
    seen = {"ctrl_c": interrupted(folder, signal.SIGINT, n_done=1)}
    seen["term"] = interrupted(folder, signal.SIGTERM, n_done=2)
    seen["kill"] = interrupted(folder, signal.SIGKILL, n_done=4)
    seen["end"] = tiny.catscans(folder, "sweep")
    return seen | {"first": tiny.done(folder)}


def interrupted(folder, how, n_done):
    """Start a sweep, end it once more than `n_done` runs are done and one is under way; return what was done then."""
    log = (folder / f"{how.name}.log").open("w")
    process = subprocess.Popen(
        [*tiny.CLI, "sweep"], env=tiny.environment(folder), stdout=log, stderr=log, start_new_session=True, cwd=folder,
        preexec_fn=listening,
    )  # fmt: skip
    end = time.monotonic() + PATIENCE_S
    while len(tiny.done(folder)) < n_done or not any((folder / "results/demo").glob("*/.*.work")):
        assert process.poll() is None, log
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, how) if how == signal.SIGTERM else os.killpg(process.pid, how)
    process.wait(PATIENCE_S)
    left = [one.pid for one in psutil.process_iter() if in_group(one.pid, process.pid)]
    return {
        "done": tiny.done(folder),
        "status": process.returncode,
        "log": (folder / log.name).read_text(),
        "left": left,
    }


def listening():
    """Have the process that is about to start hear Ctrl-C, also where these tests run in a shell's background, which does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_group(pid, group):
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def test_a_sweep_goes_on_after_ctrl_c_and_after_kill_and_finished_runs_stay_untouched(stopped):
    assert stopped["end"].returncode == 0, stopped["end"].stderr
    assert set(stopped["first"]) == tiny.RUNS
    for stop, least in (("ctrl_c", 1), ("term", 2), ("kill", 4)):
        assert least <= len(stopped[stop]["done"]) < len(tiny.RUNS)
        assert stopped[stop]["done"].items() <= stopped["first"].items()


def test_ctrl_c_says_what_is_missing_and_how_to_go_on(stopped):
    assert stopped["ctrl_c"]["status"] == 1
    assert re.search(r"the sweep stopped with unfinished runs \(\d+\): .*evaluate/all", stopped["ctrl_c"]["log"])
    assert "Resume: .venv/bin/catscans sweep --profile demo" in stopped["ctrl_c"]["log"]


def test_kill_lets_what_runs_end_and_leaves_nothing_behind_though_only_the_sweep_was_told(stopped):
    assert stopped["term"]["status"] == 1
    assert stopped["term"]["left"] == []
    assert "the sweep stopped with unfinished runs" in stopped["term"]["log"]


def test_a_run_that_fails_is_named_with_its_error_and_the_others_are_finished(tmp_path):
    folder = tiny.project(tmp_path)
    notebook = folder / "notebooks/ingest.ipynb"
    notebook.write_text(
        notebook.read_text().replace("problems, decoding", "assert dataset != 'dtd', 'no dtd'\\nproblems, decoding")
    )
    result = tiny.catscans(folder, "sweep", "ingest/dtd", "ingest/chest")
    assert result.returncode == 1
    assert set(tiny.done(folder)) == {"ingest/chest"}
    assert "ingest/dtd failed: AssertionError: no dtd" in result.stderr
    assert "the sweep stopped with unfinished runs (1): ingest/dtd." in result.stderr
    assert "Building DAG" not in result.stderr


def test_a_changed_run_that_fails_is_not_done_though_its_former_result_is_kept(tmp_path):
    folder = tiny.project(tmp_path)
    tiny.catscans(folder, "sweep", "ingest/dtd", check=True)
    before = tiny.done(folder)
    notebook = folder / "notebooks/ingest.ipynb"
    notebook.write_text(
        notebook.read_text().replace("problems, decoding", "assert False, 'broken'\\nproblems, decoding")
    )
    result = tiny.catscans(folder, "sweep", "ingest/dtd")
    assert "the sweep stopped with unfinished runs (1): ingest/dtd." in result.stderr
    assert tiny.done(folder) == before
