"""Reads the records of Sacred's file observer, and detects runs that died without an end."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.results import read_table
from catscans_lib.runs import recipe

RUN_RECORD = "catscans_run.json"  # copy of the run's run.json in its record, where Sacred has a run.json of its own
STALE_S = 60  # Sacred writes a heartbeat every 10 s; a shared file system may show it late
NO_RESULT = (  # facts about a run that are not its results
    "run", "run_id", "record", "started", "seconds", "peak_memory_mb", "recipe", "step", "name", "status", "commit",
    "data_written",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One execution of a run, as Sacred's file observer wrote it to `folder`; `entry` is its `run.json`."""

    folder: Path
    entry: dict[str, Any]

    @property
    def number(self) -> str:
        """Number of the record, the name of its folder."""
        return self.folder.name

    @property
    def key(self) -> str:
        """Run that was executed, as `step/name`."""
        return self.entry.get("experiment", {}).get("name", "unknown-run").replace("-", "/", 1)

    @property
    def started(self) -> datetime:
        """Start (UTC)."""
        return self._time("start_time") or datetime.fromtimestamp(self.folder.stat().st_mtime, UTC)

    @property
    def last_seen(self) -> datetime:
        """End, or the last heartbeat of a run without an end (UTC)."""
        return self._time("stop_time") or self._time("heartbeat") or self.started

    @property
    def seconds(self) -> float:
        """Time from the start to `last_seen`."""
        return round((self.last_seen - self.started).total_seconds(), 2)

    @property
    def status(self) -> str:
        """COMPLETED, FAILED, INTERRUPTED, RUNNING, or DIED: no end is recorded, and the last heartbeat is old."""
        status = self.entry.get("status", "RUNNING")
        is_old = (datetime.now(UTC) - self.last_seen).total_seconds() > STALE_S
        return "DIED" if status == "RUNNING" and is_old else status

    @cached_property
    def config(self) -> dict[str, Any]:
        """Parameters and seed."""
        return _json(self.folder / "config.json")

    @cached_property
    def info(self) -> dict[str, Any]:
        """Facts that the run noted: code, data, numbers, memory, machine."""
        info = _json(self.folder / "info.json")
        return _json(self.folder / RUN_RECORD) | info if "run_id" not in info else info

    @property
    def run_id(self) -> str:
        """Id of the result; empty if the run did not complete."""
        return self.info.get("run_id", "")

    @property
    def data(self) -> dict[str, str]:
        """SHA-256 of every image store that the run read, and of the one that it wrote."""
        written = {"written": self.info["data_written"]} if "data_written" in self.info else {}
        return self.info.get("data", {}) | written

    @property
    def commit(self) -> str:
        """Git commit, followed by `+changes` if the code differed from it."""
        code = self.info.get("code", {})
        return code.get("commit", "") + (recipe.CHANGES if code.get("dirty") else "")

    @property
    def versions(self) -> dict[str, str]:
        """Version of every package."""
        listed = self.entry.get("experiment", {}).get("dependencies", [])
        return self.info.get("versions") or dict(line.split("==", 1) for line in listed)

    @property
    def sources(self) -> dict[str, str]:
        """Where the text of each code file is kept, relative to the records; that name contains the text's checksum."""
        return dict(self.entry.get("experiment", {}).get("sources", []))

    @property
    def artifacts(self) -> list[Path]:
        return [self.folder / name for name in self.entry.get("artifacts", [])]

    @property
    def output(self) -> str:
        path = self.folder / "cout.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @property
    def trace(self) -> str:
        """Traceback of a failed run."""
        return "".join(self.entry.get("fail_trace") or [])

    @property
    def results(self) -> dict[str, float | str]:
        """Facts that the notebook noted, and means over folds and seeds: AUCs (transfer), else metrics of the last epoch."""
        kinds = (int, float, str)
        facts = {key: value for key, value in self.info.items() if isinstance(value, kinds) and key not in NO_RESULT}
        predictions, metrics = self.folder / "predictions.csv", self.metrics()
        if self.key.startswith("transfer/") and predictions.is_file():
            from catscans_lib.evaluation import tables

            aucs = tables.aucs(read_table(predictions).assign(source="", target=""), {("", ""): self.run_id})
            facts |= aucs.groupby("mode", sort=False)["auc"].mean().add_prefix("auc.").to_dict()
        elif not metrics.empty:
            last = metrics.sort_values("step", kind="stable").groupby("metric")["value"].last()
            facts |= last.groupby(lambda name: name.split(".", 3)[-1]).mean().to_dict()  # over mode, fold and seed
        return facts

    def metrics(self) -> Any:
        """Return a data frame with the metrics of all epochs: columns metric, step (epoch), value, time."""
        import pandas as pd

        rows = [
            (name, *row)
            for name, found in _json(self.folder / "metrics.json").items()
            for row in zip(found["steps"], found["values"], found["timestamps"], strict=True)
        ]
        return pd.DataFrame(rows, columns=["metric", "step", "value", "time"])

    def as_dict(self) -> dict[str, Any]:
        """Return the whole record except its metrics and printed output; without environment variables."""
        names = ("number", "status", "run_id", "seconds", "config", "info", "versions", "sources")
        return {name: getattr(self, name) for name in names} | {
            "run": self.key,
            "started": self.started.isoformat(timespec="seconds"),
            "host": {name: value for name, value in self.entry.get("host", {}).items() if name != "ENV"},
            "artifacts": [path.name for path in self.artifacts],
            "error": self.trace,
        }

    def _time(self, name: str) -> datetime | None:
        text = self.entry.get(name)
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def load(profile: str) -> list[Record]:
    """Return every record of a profile, the latest last."""
    folders = [path.parent for path in paths.records_dir(profile).glob("*/run.json")]
    return sorted((Record(folder, _json(folder / "run.json")) for folder in folders), key=lambda record: record.started)


def find(profile: str, name: str) -> Record:
    """Return a record by its number or the id of its result, or the latest record of a run (`step/name`); else InputError."""
    found = load(profile)
    for record in reversed(found):
        if name in (record.number, record.key, record.run_id):
            return record
    keys = ", ".join(dict.fromkeys(record.key for record in found)) or "no run"
    raise InputError(
        f"Unknown record '{name}' in {paths.relative(paths.records_dir(profile))}; known: record numbers, run ids, and {keys}. "
        f"A sweep writes records: .venv/bin/catscans sweep --profile {profile}"
    )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names; a list becomes text.

    >>> flat({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': 1, 'c': '[1, 2]'}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return found


def _json(path: Path) -> dict[str, Any]:
    """Content of a file; {} if it is missing, or still incomplete after three tries (its run may be writing, or was killed)."""
    for _ in range(3):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            time.sleep(0.05)
    return {}
