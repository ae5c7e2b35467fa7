"""What a sweep leaves behind that was stopped by Ctrl-C or by kill."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
import tiny

pytestmark = pytest.mark.slow
PATIENCE_S = 1200  # after that, the test fails


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A sweep that is interrupted by Ctrl-C, by SIGTERM to it alone, by SIGKILL, and then runs to its end."""
    folder = tiny.project(tmp_path_factory.mktemp("project"))
    seen = {"ctrl_c": interrupted(folder, signal.SIGINT, n_done=1)}
    seen["term"] = interrupted(folder, signal.SIGTERM, n_done=2)
    seen["kill"] = interrupted(folder, signal.SIGKILL, n_done=4)
    seen["end"] = tiny.catscans(folder, "sweep")
    return seen | {"first": tiny.done(folder)}


def interrupted(folder, how, n_done):
    """Start a sweep, stop it once `n_done` runs are done and another one runs; return what was done by then."""
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
    """Let the new process receive Ctrl-C also if these tests run in a shell's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_group(pid, group):
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def test_a_sweep_resumes_after_ctrl_c_and_kill_and_finished_runs_stay_untouched(stopped):
    assert stopped["end"].returncode == 0, stopped["end"].stderr
    assert set(stopped["first"]) == tiny.RUNS
    for stop, least in (("ctrl_c", 1), ("term", 2), ("kill", 4)):
        assert least <= len(stopped[stop]["done"]) < len(tiny.RUNS)
        assert stopped[stop]["done"].items() <= stopped["first"].items()


def test_ctrl_c_prints_what_is_missing_and_how_to_resume(stopped):
    assert stopped["ctrl_c"]["status"] == 1
    assert re.search(r"(?s)the sweep stopped with \d+ of 11 runs unfinished\..*evaluate/all", stopped["ctrl_c"]["log"])
    assert "Resume: .venv/bin/catscans sweep --profile demo" in stopped["ctrl_c"]["log"]


def test_sigterm_to_the_sweep_alone_lets_running_runs_end_and_leaves_no_process(stopped):
    assert stopped["term"]["status"] == 1
    assert stopped["term"]["left"] == []
    assert "the sweep stopped with" in stopped["term"]["log"]
