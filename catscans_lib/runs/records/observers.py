"""Which of Sacred's observers hear of a run: those that `records.observers` of a profile names.

Addresses and tokens come from the environment and are written nowhere.
"""

import os
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import expand

MONGO_URL, SQL_URL = "CATSCANS_MONGO_URL", "CATSCANS_SQL_URL"
DATABASE = "catscans"


def of(profile: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the observers of a profile, made, and Sacred's options for them.

    The file observer alone counts its records; a database that others write to as well needs names nobody else gives.
    """
    check(profile)
    names = expand.load(profile).records.observers
    paths.records_dir(profile).mkdir(parents=True, exist_ok=True)
    made = [MADE[name](profile) for name in names if name in MADE]
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    return made, {"--id": name} if {"mongo", "sql"} & set(names) else {}


def check(profile: str) -> None:
    """Raise InputError, with what to do, unless every observer of a profile can be made."""
    names, where = expand.load(profile).records.observers, f"params/{profile}.yaml: records.observers"
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
        from catscans_lib.runs.records import exports

        exports.python_of("neptune")
        if "file" not in names:
            raise InputError(f"{where}: neptune is told what the file observer has recorded; name file as well.")


def after(profile: str, number: str) -> None:
    """Tell Neptune's observer of a run that has ended: its client lives in an environment of its own.

    What goes wrong there is printed, no more: the run is done, and `catscans records export` makes up for it.
    """
    if "neptune" not in expand.load(profile).records.observers:
        return
    from catscans_lib.runs.records import exports, reading

    try:
        exports.export("neptune", [reading.find(profile, number)], paths.records_dir(profile) / "neptune")
    except InputError as error:
        print(f"catscans: record {number}: {error}", file=sys.stderr)


def _file(profile: str) -> Any:
    from sacred.observers import FileStorageObserver

    return FileStorageObserver(paths.records_dir(profile))


def _mongo(profile: str) -> Any:
    from sacred.observers import MongoObserver

    return MongoObserver(url=os.environ[MONGO_URL], db_name=DATABASE)


def _sql(profile: str) -> Any:
    from sacred.observers import SqlObserver

    return SqlObserver(os.environ[SQL_URL])


MADE: dict[str, Callable[[str], Any]] = {"file": _file, "mongo": _mongo, "sql": _sql}
NEEDED = {"mongo": ("pymongo", MONGO_URL), "sql": ("sqlalchemy", SQL_URL)}
