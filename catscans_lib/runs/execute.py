"""Executes the notebook of a run with papermill, and publishes the run when every cell has completed."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import nbformat

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.runs import forks, recipe
from catscans_lib.training import stderr_to

STARTED = "CATSCANS_STARTED"  # set by the sweep: its start (seconds since 1970)
MINUTES = "CATSCANS_MINUTES"  # set by the sweep: wall time that a cell of a run may take; 0: no limit
START_S = 600  # a kernel may take so long to start: a slow shared disk, many at a time
NO_SPACE = "Is the disk full, or the folder not writable? Finished runs are kept; start again when there is space."
NO_MEMORY = "If memory is short: fewer runs at a time (--jobs 1), or a smaller batch_size."
ADVICE = {
    "OSError": NO_SPACE,
    "PermissionError": NO_SPACE,
    "MemoryError": NO_MEMORY,
    "ResourceExhaustedError": NO_MEMORY,
}
MARK = ".done"  # in the folder of a run that is up to date; Snakemake's output file


class RunFailed(RuntimeError):
    """A notebook did not complete; the message names the error and the notebook that shows it."""


def execute(run: PlannedRun, profile: str) -> Path:
    """Execute one run unless it is up to date, and return its folder; an earlier result stays until the new one is complete."""
    from catscans_lib.runs.records import recorded

    def waits(holder: str) -> None:
        say(f"{run.key} waits for {holder}, which an earlier sweep started for it")

    with paths.locked(paths.notes_dir() / "runs" / f"{profile}.{run.step}.{run.name}.lock", waits):
        if recipe.is_current(run, profile) and run.key not in recipe.without_images(profile, expand.grid(profile)):
            say(f"{run.key} is already up to date")
            return paths.run_dir(profile, run.step, run.name)
        work = results.new_work_dir(profile, run.step, run.name)
        try:
            recorded(profile, run.key, run.parameters, work, lambda: run_notebook(run, profile, work))
        except OSError as error:
            raise RunFailed(f"{run.key} failed: cannot write its record: {error}. {NO_SPACE}") from None
        return results.publish(profile, run.step, run.name)


@contextmanager
def timed() -> Iterator[float]:
    """Yield the current time (seconds since 1970); meanwhile `say`, also in child processes, prints the time since then."""
    started = time.time()
    with patch.dict(os.environ, {STARTED: str(started)}):
        yield started


def say(message: str) -> None:
    """Print a line, within a sweep with the time since its start."""
    if started := os.environ.get(STARTED):
        elapsed = int(time.time() - float(started))
        message = f"[{elapsed // 60:02d}:{elapsed % 60:02d}] {message}"
    # One write for text and line end: several runs print at the same time.
    print(f"{message}\n", end="", flush=True)


def run_notebook(run: PlannedRun, profile: str, work: Path) -> None:
    """Execute the notebook of a run; its results go to the folder `work`. RunFailed if it does not complete."""
    import papermill
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    from catscans_lib.runs import forked_kernel

    (work / results.ORIGIN).write_text(json.dumps(recipe.origin(run, profile)._asdict()), encoding="utf-8")
    # Jupyter's folders of the user do not count: a kernel `python3` of another Python, start-up files, a shared history.
    jupyter = ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    variables = forks.MEMORY | dict.fromkeys(jupyter, str(paths.notes_dir() / "jupyter"))
    variables |= {"JUPYTER_PATH": "", results.WORK_DIR: str(work)}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no message about how TensorFlow was compiled
    minutes = float(os.environ.get(MINUTES) or 0)
    executed, log = work / f"{run.step}.ipynb", work / "kernel.log"
    see = f"See {paths.relative(executed)}"
    try:
        with log.open("wb") as messages, stderr_to(messages), patch.dict(os.environ, variables):
            papermill.execute_notebook(
                str(paths.notebook_path(run.step)), str(executed), parameters=run.parameters,
                kernel_name="python3", cwd=str(paths.root()), progress_bar=False, start_timeout=START_S,
                execution_timeout=round(60 * minutes) or None,
                extra_arguments=["--log-level=40", "--HistoryManager.enabled=False"],
                stdout_file=sys.stdout, stderr_file=sys.stdout, **forked_kernel.options(),  # the record captures it
            )  # fmt: skip
    except PapermillExecutionError as error:
        advice = f"{'' if error.evalue.endswith('.') else '.'} {ADVICE[error.ename]}" if error.ename in ADVICE else ""
        raise RunFailed(f"{run.key} failed: {error.ename}: {error.evalue}{advice}\n{see}.") from error
    except CellTimeoutError:
        raise RunFailed(
            f"{run.key} was stopped after its limit of {minutes:g} minutes. {see}. If it does not hang, raise the limit: "
            f"resources: {{{run.step}: {{minutes: ...}}}} in params/{profile}.yaml. Training resumes at its last checkpoint."
        ) from None
    except OSError as error:
        raise RunFailed(f"{run.key} failed: cannot write its notebook: {error}. {NO_SPACE}") from None
    except RuntimeError as error:  # of nbclient, or of jupyter_client where a kernel does not start
        raise RunFailed(
            f"{run.key}: the kernel did not start, or ended: {error}. {NO_MEMORY} {see} and {log.name} in the same folder."
        ) from None
    # the autosaved notebook of a killed run is not complete
    cells = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"]
    is_complete = all(cell.metadata.get("papermill", {}).get("status") == "completed" for cell in cells)
    if not is_complete or not (work / results.RECORD).is_file():
        raise RunFailed(f"{run.key} ended before its last cell. {see}.")
    log.unlink()
