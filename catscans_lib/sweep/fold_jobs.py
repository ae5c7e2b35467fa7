"""Some folds of a transfer trained ahead, as a job of its own on a cluster; the run's notebook finds them in its checkpoint.

The numbers are those of the notebook that trains all folds itself: every fold starts from the same weights and its own seed.
"""

import os
import time
import traceback
from collections.abc import Collection
from pathlib import Path

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.runs import execute as run_execute
from catscans_lib.runs import recipe
from catscans_lib.training.checkpoints import Checkpoint


def execute(planned: expand.PlannedRun, profile: str, first: int, n: int) -> None:
    """Train the folds from `first` on, `n` of them or as many as there are, and note what that took.

    Raises
    ------
    runner.RunFailed
        If that fails; names the file with the traceback.
    """
    from catscans_lib.runs.in_notebook import peak_memory_mb

    if recipe.is_current(planned, profile):
        run_execute.say(f"{planned.key} is there already")
        return
    folder = paths.checkpoint_dir(profile, planned.step, planned.name)
    checkpoint = Checkpoint.of(folder, recipe.recipe(planned, profile), alone=False)
    error_path, log = (checkpoint.folder / f"folds-{first}.{kind}" for kind in ("error.txt", "log"))
    numbers, started = range(first, first + n), time.time()
    what = f"{planned.key}, fold {first}" + (f" to {first + n - 1}" if n > 1 else "")
    run_execute.say(f"{what} ...")
    try:
        with run_execute.stderr_to(log):
            _train(planned, profile, checkpoint, numbers)
    except Exception as error:
        message = f"{what} failed: {type(error).__name__}: {error}"
        error_path.write_text(f"{message}\n{traceback.format_exc()}", encoding="utf-8")
        raise run_execute.RunFailed(f"{message}\nSee {paths.relative(error_path)}.") from error
    for path in (error_path, log):
        path.unlink(missing_ok=True)
    seconds = time.time() - started
    checkpoint.note(
        f"folds-{first}", {"first": first, "n": n, "seconds": round(seconds, 2), "peak_memory_mb": peak_memory_mb()}
    )
    run_execute.say(f"{what} done in {seconds:.0f} s")


def errors(profile: str, key: str) -> list[Path]:
    """Return the tracebacks that failed fold jobs of a run have left."""
    return sorted(paths.checkpoint_dir(profile, *key.split("/")).glob("*/folds-*.error.txt"))


def _train(planned: expand.PlannedRun, profile: str, checkpoint: Checkpoint, numbers: Collection[int]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from catscans_lib.experiment import transfer
    from catscans_lib.images import store
    from catscans_lib.training import backend

    settings = planned.settings
    backend.start(settings)
    images = store.open_store(paths.store_path(profile, settings.target, settings.size_px))
    target = transfer.target_table(images, results.read_table(paths.folds_path(profile, settings.target)))
    source = None if settings.source == "none" else paths.run_dir(profile, "pretrain", settings.source) / "model.keras"
    transfer.train_folds(settings, source, images, target, numbers, checkpoint=checkpoint)
