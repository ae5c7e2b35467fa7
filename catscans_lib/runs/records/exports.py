"""Converts records to MLflow runs and to offline Neptune runs.

The dependencies of both clients conflict with ours, so `to_mlflow.py` and `to_neptune.py` run in environments of their own.
"""

import json
import os
import subprocess
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.runs.records import masking
from catscans_lib.runs.records.reading import Record, flat


def export(target: str, records: list[Record], folder: Path, *, experiment: str = "catscans") -> str:
    """Convert records of ended runs to `folder` for "mlflow" or "neptune"; return what the conversion printed.

    Runs that the folder holds already are skipped. `experiment` names the MLflow experiment. Raises InputError if the
    environment of the target is missing or the conversion fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ended = [_plain(record) for record in records if record.status != "RUNNING"]
    script = Path(__file__).with_name(f"to_{target}.py")
    # -P: names of modules beside the script must not hide other modules.
    command = [str(python_of(target)), "-P", str(script), str(folder.resolve()), experiment]
    quiet = os.environ | {"NEPTUNE_MODE": "offline", "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, input=json.dumps(ended), capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        last_lines = masking.Mask.of_environment()("\n".join(done.stderr.splitlines()[-5:]))
        raise InputError(f"The records could not be converted to {target}: {last_lines}")
    return done.stdout


def python_of(target: str) -> Path:
    """Return the Python of a target's environment; InputError, with the command that creates it, if it is missing."""
    python = paths.root() / f".venv-{target}" / "bin" / "python"
    if not python.exists():
        raise InputError(
            f"{target} has its own environment, which is missing: {paths.relative(python.parents[1])}. "
            f"Create it: make {target}-env"
        )
    return python


def _plain(record: Record) -> dict:
    """What the scripts read on standard input; metrics of every epoch and files they read from the record's folder."""
    info, started_ms = record.info, round(record.started.timestamp() * 1000)
    results, nested = record.results, {key: info[key] for key in ("data", "machine") if key in info}
    facts = flat(nested) | {key: info[key] for key in ("seconds", "peak_memory_mb") if key in info}
    return record.as_dict() | {
        "id": f"{record.number} of {started_ms}",
        "name": f"{record.key} #{record.number}",
        "folder": str(record.folder.resolve()),
        "started_ms": started_ms,
        "ended_ms": round(record.last_seen.timestamp() * 1000),
        "commit": record.commit,
        "config": flat(record.config),
        "results": results,
        "numbers": {name: value for name, value in (results | facts).items() if isinstance(value, int | float)},
        "texts": {name: value for name, value in facts.items() if isinstance(value, str)},
    }
