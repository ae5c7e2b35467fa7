"""Where records go: to the Sacred observers that `records.observers` of a profile names, and to MLflow and Neptune.

Addresses and tokens come from the environment and are never written to a file. The dependencies of the clients of MLflow and
Neptune conflict with ours, so `convert.py` runs in an environment of its own.
"""

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import profiles
from catscans_lib.runs.records import masking, reading
from catscans_lib.runs.records.reading import Record, flat

# Observer -> package, environment variable with the address
NEEDED = {"mongo": ("pymongo", "CATSCANS_MONGO_URL"), "sql": ("sqlalchemy", "CATSCANS_SQL_URL")}


def create(profile: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the Sacred observers of a profile, and the options to start Sacred with."""
    from sacred import observers

    names, folder = check(profile), paths.records_dir(profile)
    folder.mkdir(parents=True, exist_ok=True)
    factories = {
        "file": lambda: observers.FileStorageObserver(folder),
        "mongo": lambda: observers.MongoObserver(url=os.environ[NEEDED["mongo"][1]], db_name="catscans"),
        "sql": lambda: observers.SqlObserver(os.environ[NEEDED["sql"][1]]),
    }
    # The file observer numbers its records; in a database, which others may write to, a number may be taken.
    unique_name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    options = {"--id": unique_name} if NEEDED.keys() & names else {}
    return [factories[name]() for name in names if name in factories], options


def check(profile: str) -> tuple[str, ...]:
    """Return the names of a profile's observers; InputError, with what to do, for one that cannot be created."""
    names, where = profiles.load(profile).records.observers, f"params/{profile}.yaml: records.observers"
    for name, (package, variable) in NEEDED.items():
        if name in names and not find_spec(package):
            raise InputError(
                f"{where}: {name} needs the package {package}, which is not installed. "
                f"Install it: .venv/bin/uv pip install --python .venv/bin/python {package}"
            )
        if name in names and not os.environ.get(variable):
            raise InputError(
                f"{where}: {name} needs an address. Set the environment variable {variable}; it may hold a password."
            )
    if "neptune" in names:
        python_of("neptune")
        if "file" not in names:
            raise InputError(f"{where}: neptune converts the records of the file observer. Add file to the list.")
    return names


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
