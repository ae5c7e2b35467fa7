"""SIGTERM while Snakemake's main thread holds the lock of its scheduler."""

import signal
import subprocess
import sys

import pytest

HELD = """
import os, signal, threading
from snakemake.scheduling.job_scheduler import JobScheduler
from catscans_lib.sweep import stopping
{install}
scheduler = JobScheduler.__new__(JobScheduler)
scheduler._lock, scheduler._open_jobs, scheduler._user_kill = threading.Lock(), threading.Semaphore(0), None
signal.signal(signal.SIGTERM, scheduler.exit_gracefully)
print("ready", flush=True)
with {held}:
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # the handler is called between two steps
        pass
print("asked", flush=True)
scheduler._open_jobs.acquire()
print(scheduler._user_kill)
"""


@pytest.mark.parametrize("held", ["scheduler._lock", "scheduler._open_jobs._cond"])
def test_the_scheduler_is_told_to_end_whatever_its_main_thread_holds(held):
    script = HELD.format(install="stopping.install()", held=held)
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert told.stdout.split() == ["ready", "asked", "graceful"], told.stderr


def test_snakemake_itself_still_waits_for_ever_so_that_the_change_is_needed():
    started = subprocess.Popen(
        [sys.executable, "-c", HELD.format(install="", held="scheduler._lock")], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(3)
    started.send_signal(signal.SIGKILL)
    assert started.communicate()[0] == ""
