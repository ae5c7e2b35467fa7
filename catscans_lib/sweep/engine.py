"""A sweep: Snakemake is started on the runs that were chosen, one sweep at a time, and what failed is told at its end."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click
import yaml

from catscans_lib import paths, results
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import expand
from catscans_lib.runs import execute, recipe
from catscans_lib.runs.records import observers
from catscans_lib.sweep import failures

ELSEWHERE = ("--executor", "-e", "--workflow-profile", "--profile")  # Snakemake's own options that say where runs go
GPU = Path("/dev/nvidia0")
BAD_OPTIONS = 2  # its exit status
FOLLOW_S = 1.0  # between two looks at what runs on a cluster have finished
NO_TRIGGER = (
    "software-env"  # there is none: not the times of files, nor Snakemake's notes, say what runs again, but recipes
)


@dataclass(frozen=True)
class Sweep:
    """What to run: chosen runs of a profile (None: all), how many at a time, on which cluster, options of Snakemake's own."""

    profile: str
    keys: tuple[str, ...] | None = None
    jobs: int | None = None
    cluster: str | None = None
    options: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether the runs go on this machine, as far as one sees."""
        named = {option.split("=")[0] for option in self.options}
        executor = cluster_profile(self.cluster)[1].get("executor", "local") if self.cluster else "local"
        return executor == "local" and not named & set(ELSEWHERE)

    @property
    def has_gpu(self) -> bool:
        """Whether runs that ask for a GPU get one: a cluster has it, this machine may."""
        return GPU.exists() or not self.is_here


def prepare(sweep: Sweep) -> tuple[dict[str, expand.PlannedRun], list[str]]:
    """Return the runs of the grid and the keys of those that are up to date; InputError if what they read is not there."""
    runs = expand.grid(sweep.profile)
    observers.check(sweep.profile)
    lacking = recipe.without_images(sweep.profile, runs)
    before = [key for key in recipe.current(sweep.profile, runs) if key not in lacking]
    _check_folders({key: run for key, run in runs.items() if key not in before})
    for key in lacking:  # results are there, the images are not: they came from another machine
        (paths.run_dir(sweep.profile, *key.split("/")) / execute.MARK).unlink(missing_ok=True)
    return runs, before


def run(sweep: Sweep, runs: dict[str, expand.PlannedRun], before: list[str], started: float) -> int:
    """Run the sweep; return 0 when every chosen run is done, else 1, and say what failed; 2 for options Snakemake does not know.

    Parameters
    ----------
    runs, before
        As `prepare` returns them.
    started
        When it began, as `runner.timed` says.
    """
    wanted = list(sweep.keys or runs)
    command = snakemake(sweep)
    _check_writable(paths.notes_dir())
    with one_sweep_at_a_time() as lock, _followed(sweep, runs, before, started):
        for folder in (paths.results_dir(sweep.profile), paths.features_dir(sweep.profile).parent):
            _check_writable(folder)
        _mark(sweep.profile, runs, before)
        status = _in_foreground(command, lock)
    if not status and set(wanted) <= set(before):
        execute.say(f"nothing to do: all {len(wanted)} runs are there from these settings and this code")
    if status:
        current = recipe.current(sweep.profile, runs)  # a former result of a run that has changed is none
        missing = [key for key in wanted if key not in current]
        click.echo(
            f"catscans: the sweep stopped with {len(missing)} runs not done: {failures.named(missing)}.", err=True
        )
        click.echo(_planning_error(command)[1] or failures.summary(sweep.profile, runs, missing, started), err=True)
        click.echo(f"Finished runs are kept. Go on with: .venv/bin/catscans sweep --profile {sweep.profile}", err=True)
    return status if status in (0, BAD_OPTIONS) else 1


def _check_writable(folder: Path) -> None:
    """Fail before anything starts if results, images or notes could not be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{paths.relative(folder)} cannot be written: {error.strerror}. Get the right to write there, or make room. "
            "Nothing was started."
        ) from None


def _mark(profile: str, runs: dict[str, expand.PlannedRun], current: list[str]) -> None:
    """Put the mark of every run that is up to date, and take away that of every other.

    Snakemake starts what has no mark and what reads that, whatever its clock says: recipes tell what is up to date.
    """
    up_to_date = set(current)
    for key in runs:
        mark = paths.run_dir(profile, *key.split("/")) / execute.MARK
        if key in up_to_date and not mark.exists():
            mark.touch()
        elif key not in up_to_date:
            mark.unlink(missing_ok=True)


def planned(sweep: Sweep) -> int:
    """Have Snakemake plan the sweep and start nothing; return 1, and say why, where it cannot."""
    status, error = _planning_error(snakemake(sweep))
    click.echo(error, err=True, nl=False)
    return status


def snakemake(sweep: Sweep) -> list[str]:
    """Return the command that runs the sweep."""
    marks = [paths.relative(paths.run_dir(sweep.profile, *key.split("/")) / execute.MARK) for key in sweep.keys or ()]
    settings = [f"profile={sweep.profile}"]
    where: list[str] = []
    if sweep.cluster:
        folder, content = cluster_profile(sweep.cluster)
        settings += [word for word in content.get("config", []) if not str(word).startswith("profile=")]
        where = ["--workflow-profile", str(folder)]
    if sweep.jobs or (sweep.is_here and not sweep.cluster):
        where += ["--cores" if sweep.is_here else "--jobs", str(sweep.jobs or default_jobs())]
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(paths.root() / "Snakefile"), "--directory", str(paths.root()),
        "--keep-going", "--rerun-incomplete", "--rerun-triggers", NO_TRIGGER, "--quiet", "all", *where, *sweep.options,
        "--config", *settings, "--", *marks,
    ]  # fmt: skip


def cluster_profile(name: str) -> tuple[Path, dict]:
    """Return folder and content of a profile in `params/cluster/`; InputError where there is none."""
    folder = paths.cluster_dir()
    known = sorted(path.parent.name for path in folder.glob("*/config.yaml"))
    if name not in known:
        raise unknown("cluster", name, known)
    return folder / name, yaml.safe_load((folder / name / "config.yaml").read_text(encoding="utf-8")) or {}


def default_jobs() -> int:
    """One run more than there are cores, because a kernel waits while it starts; 2 GB of memory each; one on a GPU.

    Measured, demo, 2 cores: 9 min with two runs at a time, 8 min 14 s with three.
    """
    import joblib
    import psutil

    if GPU.exists():  # TensorFlow takes the whole memory of a GPU
        return 1
    return max(1, min(joblib.cpu_count() + 1, psutil.virtual_memory().total // 2**31))


def _check_folders(runs: dict[str, expand.PlannedRun]) -> None:
    """Fail before anything starts if a folder the grid reads is not given."""
    used = {variable for run in runs.values() for variable in run.inputs}
    if "CATSCANS_DATA" in used:
        paths.data_dir()
    if "CATSCANS_WEIGHTS" in used:
        paths.weights_dir()
    if paths.REFERENCE in used:
        paths.reference_dir()


def _planning_error(command: list[str]) -> tuple[int, str]:
    """Status and words of Snakemake where it cannot even plan the sweep; else 0 and nothing."""
    words = ["host" if word == "all" else word for word in command]  # all: say nothing; host: all but the machine
    words.insert(words.index("--config"), "--dry-run")
    plan = subprocess.run(words, capture_output=True, text=True, check=False)
    if plan.returncode == BAD_OPTIONS:  # after pages of those it knows
        return BAD_OPTIONS, f"Snakemake: {plan.stderr[plan.stderr.rfind('error: ') :]}"
    return (1, plan.stdout + plan.stderr) if plan.returncode else (0, "")


@contextmanager
def _followed(sweep: Sweep, runs: dict[str, expand.PlannedRun], before: list[str], started: float) -> Iterator[None]:
    """Say which runs are done while they run on a cluster, from where they cannot say it themselves."""
    if sweep.is_here:
        yield
        return
    ended = threading.Event()
    waiting = [key for key in runs if key not in before]
    thread = threading.Thread(target=_follow, args=(sweep.profile, waiting, len(runs), started, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(profile: str, waiting: list[str], n_all: int, started: float, ended: threading.Event) -> None:
    is_last = False
    while not is_last:
        is_last = ended.wait(FOLLOW_S)
        for key in list(waiting):
            with suppress(FileNotFoundError):  # a run takes the place of its former result this very moment
                if results.finished_at(profile, key) >= started:
                    waiting.remove(key)
                    execute.say(f"{key} done, {n_all - len(waiting)} of {n_all} runs")


def _in_foreground(command: list[str], lock: TextIO) -> int:
    """Run Snakemake in the terminal's foreground; a lock of its own, left by a killed sweep, is removed first."""
    if any((paths.notes_dir() / "locks").glob("*")):
        subprocess.run([*command[: command.index("--")], "--unlock"], capture_output=True, check=False)
    # Snakemake holds our lock too: should this process be killed, it goes on until its runs have ended.
    with subprocess.Popen(command, pass_fds=[lock.fileno()]) as process, _terminated_with_us(process):
        _sign(lock, process.pid)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # Ctrl-C reached Snakemake too, which now ends its runs
                continue


@contextmanager
def _terminated_with_us(process: subprocess.Popen) -> Iterator[None]:
    """Pass SIGTERM on: Snakemake starts nothing more, waits for what runs, and ends, and so do we."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def one_sweep_at_a_time() -> Iterator[TextIO]:
    """Hold the folder's lock; the system releases it when its last holder ends, however that happens."""
    path = paths.notes_dir() / "catscans.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise InputError(
                f"Another sweep is at work in {paths.root()}: {holder}. Wait until it has ended, or stop it with Ctrl-C "
                "or `kill` first; the lock goes with it."
            ) from None
        _sign(lock, os.getpid())
        yield lock


def _sign(lock: TextIO, pid: int) -> None:
    """Write into the lock who holds it."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {pid} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}\n")
    lock.flush()
