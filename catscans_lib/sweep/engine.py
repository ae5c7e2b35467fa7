"""Starts Snakemake on the selected runs, one sweep at a time, and reports what failed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import click
import psutil
import yaml

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import expand
from catscans_lib.runs import forks, recipe
from catscans_lib.runs.execute import MARK, say
from catscans_lib.sweep import failures, plan, reuse
from catscans_lib.sweep.progress import Progress, printed
from catscans_lib.sweep.selection import Runs, with_needs
from catscans_lib.training import keras_settings

ELSEWHERE = {"--executor", "-e", "--workflow-profile", "--profile"}  # Snakemake's options that say where runs go
GPU = Path("/dev/nvidia0")
BAD_OPTIONS = 2  # Snakemake's exit status for unknown options
LATENCY_S = 60  # until a file must be visible, on a slow shared disk; a cluster's profile has its own
NO_TRIGGER = "software-env"  # never fires here: our recipes decide what reruns, not Snakemake's triggers


@dataclass(frozen=True)
class Sweep:
    """Selected runs of a profile (None: all), number at a time, cluster, further options for Snakemake."""

    profile: str
    keys: tuple[str, ...] | None = None
    jobs: int | None = None
    cluster: str | None = None
    options: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether the runs execute on this machine."""
        executor = cluster_profile(self.cluster)[1].get("executor", "local") if self.cluster else "local"
        return executor == "local" and not ELSEWHERE & {option.split("=")[0] for option in self.options}

    @property
    def has_gpu(self) -> bool:
        """Whether runs that ask for a GPU get one: always on a cluster, here if there is one."""
        return GPU.exists() or not self.is_here

    @property
    def n_parallel(self) -> int:
        """Number of runs at a time."""
        stated = cluster_profile(self.cluster)[1] if self.cluster else {}
        found = self.jobs or stated.get("jobs") or (os.cpu_count() if stated else 0)
        return found if isinstance(found, int) and found else default_jobs()


class Prepared(NamedTuple):
    """The grid; the keys of the runs that are up to date; those of them that another profile has made, and that profile."""

    runs: Runs
    done: list[str]
    shared: dict[str, str]


def prepare(sweep: Sweep, *, dry_run: bool = False) -> Prepared:
    """Return what a sweep will do; InputError if a folder is missing, or Keras cannot have its settings.

    Runs that another profile has made from the same recipe are copied from it first, except in a dry run.
    """
    keras_settings()
    runs = expand.grid(sweep.profile)
    if (shared := reuse.found(sweep.profile, runs)) and not dry_run:
        with one_sweep_at_a_time():
            reuse.take(sweep.profile, runs, shared)
    made = recipe.current(sweep.profile, runs)
    without_images = set(recipe.without_images(sweep.profile, runs, made)) - (shared.keys() if dry_run else set())
    current = {*made, *shared} - without_images
    done = [key for key in runs if key in current]
    used = {variable for key, run in runs.items() if key not in done for variable in run.folders}
    for variable in sorted(used):
        paths.given_dir(variable)
    for key in without_images:  # imported results without their images
        _mark_of(sweep.profile, key).unlink(missing_ok=True)
    return Prepared(runs, done, shared)


def run(sweep: Sweep, prepared: Prepared, started: float) -> int:
    """Run the sweep and report failures; return 0 if every selected run is done, 1 if not, 2 for bad Snakemake options.

    `started` is that of `execute.timed`.
    """
    runs, done = prepared.runs, set(prepared.done)
    wanted = list(sweep.keys or runs)
    chosen = {key: runs[key] for key in with_needs(runs, wanted)}
    waiting = [key for key in chosen if key not in done]
    costs = plan.costs_of(sweep.profile, runs, waiting, with_gpu=sweep.has_gpu)
    seconds = {key: cost.seconds for key, cost in costs.items()}
    shown = Progress(sweep.profile, chosen, chosen.keys() & done, seconds, sweep.n_parallel, started)
    command = snakemake(sweep)
    _check_writable(paths.notes_dir())
    with one_sweep_at_a_time() as lock, printed(shown):
        for folder in (paths.results_dir(sweep.profile), paths.features_dir(sweep.profile).parent):
            _check_writable(folder)
        save_plan(sweep.profile, runs)
        for key in runs:  # Snakemake runs every unmarked run, and what reads it
            mark = _mark_of(sweep.profile, key)
            if key not in done:
                mark.unlink(missing_ok=True)
            elif not mark.exists():
                mark.touch()
        is_done = set(wanted) <= done
        if is_done and not sweep.options:  # Snakemake takes seconds to find that out
            status = 0
        else:
            can_fork = sweep.is_here and not GPU.exists()  # no GPU's driver, no processes elsewhere
            with forks.server() if can_fork else nullcontext(()) as inherited:
                status = _in_foreground(command, lock, inherited)
    if not status and is_done:
        say(f"nothing to do: all {len(wanted)} runs are up to date with these settings and this code")
    if status:
        current = recipe.current(sweep.profile, runs)  # the older result of a changed run does not count
        missing = [key for key in wanted if key not in current]
        click.echo(f"catscans: the sweep stopped with {len(missing)} of {len(wanted)} runs unfinished.", err=True)
        click.echo(_planning_error(command)[1] or failures.summary(sweep.profile, runs, missing, started), err=True)
        click.echo(f"Finished runs are kept. Resume: .venv/bin/catscans sweep --profile {sweep.profile}", err=True)
    return status if status in (0, BAD_OPTIONS) else 1


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{paths.relative(folder)} cannot be written: {error.strerror}. Get permission to write there, or free space. "
            "Nothing was started."
        ) from None


def _mark_of(profile: str, key: str) -> Path:
    return paths.run_dir(profile, *key.split("/")) / MARK


def save_plan(profile: str, runs: Runs) -> None:
    """Write what every run executes, for `run --planned`: an edit of the grid during the sweep does not change it."""
    planned = {key: {"parameters": run.parameters, "needs": run.needs} for key, run in runs.items()}
    with paths.atomic_write(paths.notes_dir() / f"{profile}.planned.json") as part:
        part.write_text(json.dumps(planned), encoding="utf-8")


def plan_only(sweep: Sweep) -> int:
    """Let Snakemake plan the sweep; return its status, and print its error if it cannot."""
    status, error = _planning_error(snakemake(sweep))
    click.echo(error, err=True, nl=False)
    return status


def snakemake(sweep: Sweep) -> list[str]:
    """Return the command that runs the sweep."""
    marks = [paths.relative(_mark_of(sweep.profile, key)) for key in sweep.keys or ()]
    content = {}
    where = ["--latency-wait", str(LATENCY_S)] * sweep.is_here
    if sweep.cluster:
        folder, content = cluster_profile(sweep.cluster)
        where = ["--workflow-profile", str(folder)]
    if sweep.jobs or (sweep.is_here and not sweep.cluster):
        where += ["--cores" if sweep.is_here else "--jobs", str(sweep.jobs or default_jobs())]
    if sweep.is_here and "--resources" not in sweep.options:  # runs at a time fit into memory; a larger one goes alone
        where += ["--resources", f"mem_mb={memory_mb()}", *content.get("resources", [])]
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(paths.root() / "Snakefile"), "--directory", str(paths.root()),
        "--keep-going", "--rerun-incomplete", "--rerun-triggers", NO_TRIGGER, "--quiet", "all", *where, *sweep.options,
        "--config", f"profile={sweep.profile}", "--", *marks,
    ]  # fmt: skip


def cluster_profile(name: str) -> tuple[Path, dict]:
    """Return folder and content of a profile in `params/cluster/`; InputError if it is unknown."""
    folder = paths.root() / "params" / "cluster"
    known = sorted(path.parent.name for path in folder.glob("*/config.yaml"))
    if name not in known:
        raise unknown("cluster", name, known)
    return folder / name, yaml.safe_load((folder / name / "config.yaml").read_text(encoding="utf-8")) or {}


def default_jobs() -> int:
    """Return cores + 1, because runs wait for files and for each other; at most one per 2 GB of memory, and one on a GPU.

    Measured on the demo, 2 cores: 348 s with two runs at a time, 342 s with three, at the same cost.
    """
    import joblib

    if GPU.exists():  # TensorFlow takes all its memory
        return 1
    return max(1, min(joblib.cpu_count() + 1, memory_mb() // 2048))


def memory_mb() -> int:
    """Return the memory of this machine (MB)."""
    return psutil.virtual_memory().total // 2**20


def _planning_error(command: list[str]) -> tuple[int, str]:
    """Return Snakemake's status and error if it cannot plan the sweep, else 0 and ""."""
    words = ["host" if word == "all" else word for word in command]  # --quiet host: print all but the machine
    words.insert(words.index("--config"), "--dry-run")
    plan = subprocess.run(words, capture_output=True, text=True, check=False)
    if plan.returncode == BAD_OPTIONS:  # the error follows pages of known options
        return BAD_OPTIONS, f"Snakemake: {plan.stderr[plan.stderr.rfind('error: ') :]}"
    return (1, plan.stdout + plan.stderr) if plan.returncode else (0, "")


def _in_foreground(command: list[str], lock: TextIO, inherited: tuple[int, ...]) -> int:
    """Run Snakemake in the terminal's foreground, after removing its lock if a killed sweep left one."""
    if any((paths.notes_dir() / "locks").glob("*")):
        subprocess.run([*command[: command.index("--")], "--unlock"], capture_output=True, check=False)
    # Snakemake inherits our lock: if this process is killed, the lock holds until Snakemake's runs have ended.
    with subprocess.Popen(command, pass_fds=[lock.fileno(), *inherited]) as process:
        # Passes SIGTERM on: Snakemake then starts nothing more, waits for what runs, and ends.
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
        paths.sign(lock, process.pid)
        while process.returncode is None:
            with suppress(KeyboardInterrupt):  # Ctrl-C reaches Snakemake too, which ends its runs
                process.wait()
        signal.signal(signal.SIGTERM, before)
    return process.returncode


def one_sweep_at_a_time() -> AbstractContextManager[TextIO]:
    """Hold the project's lock; InputError if another sweep holds it."""

    def refuse(holder: str) -> None:
        raise InputError(
            f"Another sweep is running in {paths.root()}: {holder}. Wait for it, or stop it with Ctrl-C or `kill`; its lock "
            "ends with it."
        )

    return paths.locked(paths.notes_dir() / "catscans.lock", refuse)
