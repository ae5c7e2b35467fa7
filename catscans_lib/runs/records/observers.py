"""Converts records for MLflow and Neptune. Their clients' dependencies conflict with ours: each has its own environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import profiles
from catscans_lib.runs.records import masking, reading
from catscans_lib.runs.records.reading import Record, flat


def check(profile: str) -> None:
    """Raise InputError, with what to do, if the profile names Neptune and its environment is missing."""
    if "neptune" in profiles.load(profile).records.observers:
        python_of("neptune")


def export_to_neptune(profile: str, number: str) -> None:
    """Convert a finished record if the profile names Neptune. A failure is printed; `catscans records export` can retry."""
    if "neptune" not in profiles.load(profile).records.observers:
        return
    try:
        export("neptune", [reading.find(profile, number)], paths.records_dir(profile) / "neptune")
    except InputError as error:
        print(f"catscans: record {number}: {error}", file=sys.stderr)


def export(target: str, records: list[Record], folder: Path, *, experiment: str = "catscans") -> str:
    """Convert records of ended runs to `folder` for "mlflow" or "neptune", except those that it holds; return what was printed.

    `experiment` names the MLflow experiment. Raises InputError if the target's environment is missing or the conversion fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ended = [_plain(record) for record in records if record.status != "RUNNING"]
    script = Path(__file__).with_name("convert.py")
    # -P: modules of this folder must not hide others of the same name.
    command = [str(python_of(target)), "-P", str(script), target, str(folder.resolve()), experiment]
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
        "results": results,
        "numbers": {name: value for name, value in (results | facts).items() if isinstance(value, int | float)},
        "texts": {name: value for name, value in facts.items() if isinstance(value, str)},
    }
