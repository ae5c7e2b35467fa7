"""The Sacred observers that `records.observers` of a profile names.

Addresses and tokens come from the environment and are never written to a file.
"""

import os
import sys
import uuid
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import profiles
from catscans_lib.runs.records import exports, reading

MONGO_URL, SQL_URL = "CATSCANS_MONGO_URL", "CATSCANS_SQL_URL"
NEEDED = {"mongo": ("pymongo", MONGO_URL), "sql": ("sqlalchemy", SQL_URL)}  # observer: package, environment variable
DATABASE = "catscans"


def create(profile: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the Sacred observers of a profile, and the options to start Sacred with.

    The file observer numbers its records. With a database, which others may write to, a record gets a unique name instead.
    """
    check(profile)
    from sacred import observers

    names = profiles.load(profile).records.observers
    folder = paths.records_dir(profile)
    folder.mkdir(parents=True, exist_ok=True)
    factories = {
        "file": lambda: observers.FileStorageObserver(folder),
        "mongo": lambda: observers.MongoObserver(url=os.environ[MONGO_URL], db_name=DATABASE),
        "sql": lambda: observers.SqlObserver(os.environ[SQL_URL]),
    }
    unique_name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    options = {"--id": unique_name} if {"mongo", "sql"} & set(names) else {}
    return [factories[name]() for name in names if name in factories], options


def check(profile: str) -> None:
    """Raise InputError, with what to do, unless every observer of a profile can be created."""
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
        exports.python_of("neptune")
        if "file" not in names:
            raise InputError(f"{where}: neptune converts the records of the file observer. Add file to the list.")


def export_to_neptune(profile: str, number: str) -> None:
    """Convert a finished record for Neptune if the profile names that observer.

    Neptune's client has its own environment. If the conversion fails, the run still counts: the error is printed, and
    `catscans records export` can convert the record later.
    """
    if "neptune" not in profiles.load(profile).records.observers:
        return
    try:
        exports.export("neptune", [reading.find(profile, number)], paths.records_dir(profile) / "neptune")
    except InputError as error:
        print(f"catscans: record {number}: {error}", file=sys.stderr)
