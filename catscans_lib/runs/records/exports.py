"""Take records elsewhere: to MLflow, and to Neptune's observer for Sacred.

Neither package resolves with what the project itself needs, so each has an environment of its own, and a small script that
runs there: `to_mlflow.py`, `to_neptune.py`.
"""

import json
import os
import subprocess
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.runs.records import comparing, masking
from catscans_lib.runs.records.reading import Record

SCRIPTS = {"mlflow": "to_mlflow.py", "neptune": "to_neptune.py"}
ENDED = ("COMPLETED", "FAILED", "INTERRUPTED", "DIED")


def export(target: str, records: list[Record], folder: Path, *, experiment: str = "catscans") -> str:
    """Convert records of runs that have ended; return what the script says of it.

    Parameters
    ----------
    target : str
        "mlflow" or "neptune".
    folder : Path
        Where the converted runs go; those that are there already are left alone.
    experiment : str
        Name of MLflow's experiment.

    Raises
    ------
    InputError
        If the environment is not there (names the command that makes it), or the script fails (says how).
    """
    folder.mkdir(parents=True, exist_ok=True)
    ended = [_plain(record) for record in records if record.status in ENDED]
    # -P: the folder of the script holds modules with names that others have too.
    command = [
        str(python_of(target)),
        "-P",
        str(Path(__file__).with_name(SCRIPTS[target])),
        str(folder.resolve()),
        experiment,
    ]
    quiet = os.environ | {"NEPTUNE_MODE": "offline", "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, input=json.dumps(ended), capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        last_words = masking.Mask.of_environment()("\n".join(done.stderr.splitlines()[-5:]))
        raise InputError(f"The records could not be converted to {target}: {last_words}")
    return done.stdout


def python_of(target: str) -> Path:
    """Return the interpreter of an environment; InputError, with the command that makes it, when it is not there."""
    python = paths.root() / f".venv-{target}" / "bin" / "python"
    if not python.exists():
        raise InputError(
            f"{target} has an environment of its own, which is not there: {paths.relative(python.parents[1])}. "
            f"Make it with: make {target}-env"
        )
    return python


def _plain(record: Record) -> dict:
    """What the scripts need to know; metrics and files they take from the folder."""
    return {
        "folder": str(record.folder.resolve()),
        "name": f"{record.key} #{record.number}",
        "number": record.number,
        "run": record.key,
        "run_id": record.run_id,
        "status": record.status,
        "started_ms": round(record.started.timestamp() * 1000),
        "ended_ms": round(record.last_seen.timestamp() * 1000),
        "commit": record.commit,
        "config": comparing.flat(record.config),
        "results": comparing.results_of(record),
        "facts": comparing.flat(
            {key: record.info[key] for key in ("data", "machine", "energy_j") if key in record.info}
        )
        | {key: record.info[key] for key in ("seconds", "peak_memory_mb") if key in record.info},
        "versions": record.versions,
        "error": record.trace,
    }
