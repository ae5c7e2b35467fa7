"""Read the records of Sacred's file observer; tell which of the runs that never ended are dead."""

import json
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.runs import recipe

STALE_S = 60  # Sacred writes a heartbeat every 10 s; a file system that is shared may show it late


@dataclass(frozen=True)
class Record:
    """One execution of a run, as Sacred's file observer wrote it. `number` is the name of its folder."""

    folder: Path
    entry: dict[str, Any]

    @property
    def number(self) -> str:
        """How the record is named: a number, or a name where databases keep it too."""
        return self.folder.name

    @property
    def key(self) -> str:
        """`step/name` of the run."""
        return self.entry.get("experiment", {}).get("name", "unknown-run").replace("-", "/", 1)

    @property
    def started(self) -> datetime:
        """When it began (UTC)."""
        return self._time("start_time") or datetime.fromtimestamp(self.folder.stat().st_mtime, UTC)

    @property
    def last_seen(self) -> datetime:
        """When it ended, or showed for the last time that it was there (UTC)."""
        return self._time("stop_time") or self._time("heartbeat") or self.started

    @property
    def seconds(self) -> float:
        """How long it took, as far as is known."""
        return round((self.last_seen - self.started).total_seconds(), 2)

    @property
    def status(self) -> str:
        """COMPLETED, FAILED, INTERRUPTED, RUNNING, or DIED: it neither ended nor is there any more."""
        status = self.entry.get("status", "RUNNING")
        return "DIED" if status == "RUNNING" and not self._is_there(datetime.now(UTC)) else status

    @cached_property
    def config(self) -> dict[str, Any]:
        """Parameters and seed."""
        return _json(self.folder / "config.json")

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the run itself noted: code, data, numbers, memory, energy."""
        from catscans_lib.runs.records import RUN_RECORD

        info = _json(self.folder / "info.json")
        return _json(self.folder / RUN_RECORD) | info if "run_id" not in info else info

    @property
    def run_id(self) -> str:
        """Id of the result; empty where there is none."""
        return self.info.get("run_id", "")

    @property
    def data(self) -> dict[str, str]:
        """Fingerprint (SHA-256) of every image store it read, and of the one it wrote."""
        written = {"written": self.info["data_written"]} if "data_written" in self.info else {}
        return self.info.get("data", {}) | written

    @property
    def commit(self) -> str:
        """Git commit, with `+changes` where code differed from it."""
        code = self.info.get("code", {})
        return code.get("commit", "") + (recipe.CHANGES if code.get("dirty") else "")

    @property
    def versions(self) -> dict[str, str]:
        """Version of every package."""
        listed = dict(line.split("==", 1) for line in self.entry.get("experiment", {}).get("dependencies", []))
        return self.info.get("versions") or listed

    @property
    def sources(self) -> dict[str, str]:
        """Where the text of each file of code is kept, below the records; its name tells one text from another."""
        return dict(self.entry.get("experiment", {}).get("sources", []))

    @property
    def artifacts(self) -> list[Path]:
        """Files that were recorded."""
        return [self.folder / name for name in self.entry.get("artifacts", [])]

    @property
    def output(self) -> str:
        """What was printed."""
        path = self.folder / "cout.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @property
    def trace(self) -> str:
        """The error it failed with."""
        return "".join(self.entry.get("fail_trace") or [])

    def metrics(self) -> pd.DataFrame:
        """Return the metrics, one row each: metric, step (epoch), value, time."""
        rows = [
            (name, *row)
            for name, found in _json(self.folder / "metrics.json").items()
            for row in zip(found["steps"], found["values"], found["timestamps"], strict=True)
        ]
        return pd.DataFrame(rows, columns=["metric", "step", "value", "time"])

    def _time(self, name: str) -> datetime | None:
        text = self.entry.get(name)
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    def _is_there(self, now: datetime) -> bool:
        """On this machine the process tells, also when the machine has slept; on another one, its heartbeat."""
        host = self.entry.get("host", {})
        if host.get("hostname") == platform.node() and "pid" in host:
            return _is_alive(host["pid"], self.started.timestamp())
        return (now - self.last_seen).total_seconds() < STALE_S


def _is_alive(pid: int, started: float) -> bool:
    """Whether the process of a run that began then is there; a later process may have its number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < started + STALE_S
    except psutil.NoSuchProcess:
        return False


def content(record: Record) -> dict[str, Any]:
    """Return all of a record as plain values, but for its metrics and what was printed."""
    return {
        "number": record.number,
        "run": record.key,
        "status": record.status,
        "run_id": record.run_id,
        "started": record.started.isoformat(timespec="seconds"),
        "seconds": record.seconds,
        "config": record.config,
        "info": record.info,
        "host": {name: value for name, value in record.entry.get("host", {}).items() if name not in ("ENV", "pid")},
        "versions": record.versions,
        "sources": record.sources,
        "artifacts": [path.name for path in record.artifacts],
        "error": record.trace,
    }


def load(profile: str) -> list[Record]:
    """Return every record of a profile, the latest last."""
    folders = [path.parent for path in paths.records_dir(profile).glob("*/run.json")]
    return sorted((Record(folder, _json(folder / "run.json")) for folder in folders), key=lambda record: record.started)


def find(profile: str, name: str) -> Record:
    """Return one record: by its number, the id of its result, or the run (`step/name`), whose latest record it is.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    found = load(profile)
    if not found:
        raise InputError(
            f"No records of profile '{profile}' in {paths.relative(paths.records_dir(profile))}. "
            f"A sweep writes them: .venv/bin/catscans sweep --profile {profile}"
        )
    for record in reversed(found):
        if name in (record.number, record.key, record.run_id):
            return record
    keys = ", ".join(dict.fromkeys(record.key for record in found))
    raise InputError(f"Unknown record '{name}' of profile {profile}; known are the numbers, the run ids, and: {keys}.")


def _json(path: Path) -> dict[str, Any]:
    """A file that is being written, or was when its run was killed, is tried again and then holds nothing."""
    for _ in range(3):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            time.sleep(0.05)
    return {}
