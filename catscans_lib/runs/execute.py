"""Runs a notebook as the sweep does: papermill in a work folder, recorded, in its place only once every cell is done."""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.runs import recipe, time_limits

STARTED = "CATSCANS_STARTED"  # set by the sweep: when it began (s since 1970)
NO_ROOM = (
    "Is the disk full, or the folder not writable? What was finished before is kept; run it again when there is room."
)
NO_MEMORY = "If memory is short: fewer runs at a time (--jobs 1), or a smaller batch_size."
ADVICE = {
    ("OSError", "PermissionError"): NO_ROOM,
    ("MemoryError", "ResourceExhaustedError"): NO_MEMORY,
}  # by kind of error
MARK = ".done"  # put into a run's folder by the sweep, whose Snakemake looks for it


class RunFailed(RuntimeError):
    """A notebook did not complete; the message names the error and the notebook that shows it."""


def execute(run: expand.PlannedRun, profile: str) -> Path:
    """Execute one run of the grid and return its folder; what was there before stays until this one is done.

    A run that is there from the same recipe is left alone: a sweep that is killed in the moment in which a run is
    done, or whose results came from another machine, would otherwise do it again.
    """
    from catscans_lib.runs.records import recorded

    with _alone(run, profile):
        if recipe.is_current(run, profile) and not _lacks_images(run, profile):
            say(f"{run.key} is there already")
            return paths.run_dir(profile, run.step, run.name)
        say(f"{run.key} ...")
        started = time.time()
        work = results.new_work_dir(profile, run.step, run.name)
        try:
            recorded(profile, run.key, run.parameters, work, lambda: _papermill(run, profile, work))
        except OSError as error:
            raise RunFailed(f"{run.key} failed: cannot write its record: {error} {NO_ROOM}") from None
        final = results.publish(profile, run.step, run.name)
    n_done, n_all = progress(profile)
    say(f"{run.key} done in {time.time() - started:.0f} s, {n_done} of {n_all} runs")
    return final


@contextmanager
def _alone(run: expand.PlannedRun, profile: str) -> Iterator[None]:
    """Wait until no other process executes this run: one whose sweep was killed goes on, and writes to the same work folder."""
    path = paths.lock_path(profile, run.step, run.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(f"{run.key} waits for {lock.read().strip() or 'a process'}, which a former sweep started for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def _lacks_images(run: expand.PlannedRun, profile: str) -> bool:
    stored = run.step != "ingest" or paths.store_path(profile, run.settings.dataset, run.settings.size_px).exists()
    return not stored and run.key in recipe.without_images(profile, expand.grid(profile))


def progress(profile: str) -> tuple[int, int]:
    """Return how many runs of a profile are done and how many there are.

    Within a sweep, a run that was there before counts only if the sweep found it up to date at its start, and marked it.
    """
    started, keys = float(os.environ.get(STARTED, 0)), expand.grid(profile)
    n_done = sum(
        (paths.results_dir(profile) / key / MARK).exists() or results.finished_at(profile, key) >= started
        for key in keys
    )
    return n_done, len(keys)


@contextmanager
def timed() -> Iterator[float]:
    """Have every line that is said meanwhile, here or by processes that are started, tell the time since now."""
    started = time.time()
    with _environment({STARTED: str(started)}):
        yield started


def say(message: str) -> None:
    """Print a line, within a sweep with the time since it began."""
    if started := os.environ.get(STARTED):
        elapsed = int(time.time() - float(started))
        message = f"[{elapsed // 60:02d}:{elapsed % 60:02d}] {message}"
    # with its end in one piece: runs print side by side, and print() may write the end of a line by itself
    print(f"{message}\n", end="", flush=True)


def _papermill(run: expand.PlannedRun, profile: str, work: Path) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    told = {results.WORK_DIR: str(work), results.ORIGIN: json.dumps(recipe.origin(run, profile)._asdict())}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no word on which instructions TensorFlow was built with
    executed, log = work / f"{run.step}.ipynb", work / "kernel.log"
    try:
        with stderr_to(log), _environment(told), time_limits.watched() as watch:
            papermill.execute_notebook(
                str(paths.notebook_path(run.step)), str(executed), parameters=run.parameters,
                kernel_name="python3", cwd=str(paths.root()), progress_bar=False, extra_arguments=["--log-level=40"],
                stdout_file=sys.stdout, stderr_file=sys.stdout,  # which is the record's
            )  # fmt: skip
    except PapermillExecutionError as error:
        advice = next((f" {told}" for names, told in ADVICE.items() if error.ename in names), "")
        raise RunFailed(
            f"{run.key} failed: {error.ename}: {error.evalue}{advice}\nSee {paths.relative(executed)}."
        ) from error
    except OSError as error:
        raise RunFailed(f"{run.key} failed: cannot write its notebook: {error} {NO_ROOM}") from None
    except DeadKernelError:
        if watch.is_over:
            raise RunFailed(
                f"{run.key} was stopped: it took longer than the {watch.minutes:g} minutes it may. Does it hang? See "
                f"{paths.relative(executed)}. Else give it more: resources: {{{run.step}: {{minutes: ...}}}} in "
                f"params/{profile}.yaml. Training goes on from its last whole epoch."
            ) from None
        raise RunFailed(
            f"{run.key}: its kernel died (out of memory, or killed). {NO_MEMORY} See {paths.relative(executed)} and "
            f"{log.name} beside it."
        ) from None
    if not all_cells_completed(executed) or not (work / results.RECORD).is_file():
        raise RunFailed(f"{run.key} ended before its last cell. See {paths.relative(executed)}.")
    log.unlink()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Have variables in the environment, which the processes that are started meanwhile get from this one."""
    before = {name: os.environ.pop(name, None) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


@contextmanager
def stderr_to(log: Path) -> Iterator[None]:
    """Send what the kernel's process says outside of its cells (TensorFlow's greetings, a crash) to a file."""
    terminal = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def all_cells_completed(executed: Path) -> bool:
    """Return whether papermill completed every code cell of a notebook; an autosaved, half-run one is not done."""
    notebook = nbformat.read(executed, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return all(cell.metadata.get("papermill", {}).get("status") == "completed" for cell in cells)
