"""Runs a notebook as the sweep does: papermill in a work folder, recorded, in its place only once every cell is done."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from catscans_lib import params, paths, provenance, results

STARTED = "CATSCANS_STARTED"  # set by the sweep: when it began (s since 1970)
NO_ROOM = (
    "Is the disk full, or the folder not writable? What was finished before is kept; run it again when there is room."
)
CURRENT = "CATSCANS_CURRENT"  # set by the sweep: the runs that were up to date then


class RunFailed(RuntimeError):
    """A notebook did not complete; the message names the error and the notebook that shows it."""


def execute(run: params.Run, profile: str) -> Path:
    """Execute one run of the grid and return its folder; what was there before stays until this one is done.

    A run that is there from the same recipe is left alone: a sweep that is killed in the moment in which a run is
    done, or whose results came from another machine, would otherwise do it again.
    """
    from catscans_lib.records import recorded

    if provenance.is_current(run, profile):
        say(f"{run.key} is there already")
        return paths.run_dir(profile, run.step, run.name)
    say(f"{run.key} ...")
    started = time.time()
    work = results.new_work_dir(profile, run.step, run.name)
    recorded(profile, run.key, run.parameters, lambda: _papermill(run, work))
    final = results.publish(profile, run.step, run.name)
    n_done, n_all = progress(profile)
    say(f"{run.key} done in {time.time() - started:.0f} s, {n_done} of {n_all} runs")
    return final


def progress(profile: str) -> tuple[int, int]:
    """Return how many runs of a profile are done and how many there are.

    Within a sweep, a run that was there before counts only if the sweep found it up to date at its start.
    """
    started, current = float(os.environ.get(STARTED, 0)), os.environ.get(CURRENT, "").split()
    keys = params.grid(profile)
    n_done = sum(key in current or results.finished_at(profile, key) >= started for key in keys)
    return n_done, len(keys)


def say(message: str) -> None:
    """Print a line with the time since the sweep began."""
    elapsed = int(time.time() - float(os.environ.get(STARTED, time.time())))
    # with its end in one piece: runs print side by side, and print() may write the end of a line by itself
    print(f"[{elapsed // 60:02d}:{elapsed % 60:02d}] {message}\n", end="", flush=True)


def _papermill(run: params.Run, work: Path) -> Path:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    os.environ[results.WORK_DIR] = str(work)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no word on which instructions TensorFlow was built with
    executed, log = work / f"{run.step}.ipynb", work / "kernel.log"
    try:
        with _stderr_to(log):
            papermill.execute_notebook(
                str(paths.notebook_path(run.step)), str(executed), parameters=run.parameters,
                kernel_name="python3", cwd=str(paths.root()), progress_bar=False, extra_arguments=["--log-level=40"],
            )  # fmt: skip
    except PapermillExecutionError as error:
        advice = f" {NO_ROOM}" if error.ename in ("OSError", "PermissionError") else ""
        raise RunFailed(
            f"{run.key} failed: {error.ename}: {error.evalue}{advice}\nSee {paths.relative(executed)}."
        ) from None
    except OSError as error:
        raise RunFailed(f"{run.key} failed: cannot write its notebook: {error} {NO_ROOM}") from None
    except DeadKernelError:
        raise RunFailed(
            f"{run.key}: its kernel died (out of memory, or killed). See {paths.relative(executed)} and {log.name} beside it."
        ) from None
    if not all_cells_completed(executed) or not (work / results.RECORD).is_file():
        raise RunFailed(f"{run.key} ended before its last cell. See {paths.relative(executed)}.")
    log.unlink()
    return work


@contextmanager
def _stderr_to(log: Path) -> Iterator[None]:
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
