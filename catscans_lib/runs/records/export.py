"""Converts records to MLflow, whose dependencies conflict with ours, so that it has its own environment."""

import json
import os
import subprocess
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.runs.records import masking
from catscans_lib.runs.records.reading import Record, flat


def to_mlflow(records: list[Record], folder: Path, *, experiment: str = "catscans") -> str:
    """Convert records of ended runs to MLflow runs in `folder`, except those that it holds; return what was printed.

    `experiment` names the MLflow experiment. Raises InputError if MLflow's environment is missing or the conversion fails.
    """
    python = paths.root() / ".venv-mlflow" / "bin" / "python"
    if not python.exists():
        raise InputError("MLflow has its own environment, .venv-mlflow, which is missing. Create it: make mlflow-env")
    folder.mkdir(parents=True, exist_ok=True)
    ended = [_plain(record) for record in records if record.status != "RUNNING"]
    # -P: modules of this folder must not hide others of the same name.
    command = [str(python), "-P", str(Path(__file__).with_name("to_mlflow.py")), str(folder.resolve()), experiment]
    quiet = os.environ | {"PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, input=json.dumps(ended), capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        last_lines = masking.Mask.of_environment()("\n".join(done.stderr.splitlines()[-5:]))
        raise InputError(f"The records could not be converted to MLflow: {last_lines}")
    return done.stdout


def _plain(record: Record) -> dict:
    """What `to_mlflow.py` reads on standard input; it reads metrics of every epoch and files from the record's folder."""
    results, started_ms = record.results, round(record.started.timestamp() * 1000)
    known = ("data", "machine", "seconds", "peak_memory_mb")
    facts = flat({key: record.info[key] for key in known if key in record.info})
    return record.as_dict() | {
        "id": f"{record.number} of {started_ms}",
        "name": f"{record.key} #{record.number}",
        "folder": str(record.folder.resolve()),
        "started_ms": started_ms,
        "ended_ms": round(record.last_seen.timestamp() * 1000),
        "commit": record.commit,
        "config": flat(record.config),
        "numbers": {name: value for name, value in (results | facts).items() if isinstance(value, int | float)},
        "texts": {name: value for name, value in facts.items() if isinstance(value, str)},
    }
