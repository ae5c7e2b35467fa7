"""Reads the records of Sacred's file observer as plain values, and detects runs that died without an end."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.results import read_table
from catscans_lib.runs import recipe

STALE_S = 60  # Sacred writes a heartbeat every 10 s; a shared file system may show it late
SUMMARY = ("number", "run", "status", "started", "seconds", "peak_memory_mb", "commit", "run_id")
NO_RESULT = (  # facts about a run that are not its results
    "run", "run_id", "record", "started", "seconds", "peak_memory_mb", "recipe", "step", "name", "status", "commit",
    "data_written",
)  # fmt: skip


def load(profile: str) -> list[dict[str, Any]]:
    """Return every record of a profile (see `read`), the latest last."""
    folders = [path.parent for path in paths.records_dir(profile).glob("*/run.json")]
    return sorted(map(read, folders), key=lambda record: record["started"])


def read(folder: Path) -> dict[str, Any]:
    """Return one execution of a run as JSON-like values, without metrics and environment variables.

    number (of the record), run (`step/name`), started (UTC), seconds (to the end or the last heartbeat), status (COMPLETED,
    FAILED, INTERRUPTED, RUNNING, or DIED: no end is recorded, and the last heartbeat is old), run_id (of the result; "" without
    one), commit, peak_memory_mb, config (parameters and seed), info (facts that the run noted), versions (of packages), sources
    (place of each code file's text, named after its checksum), host, artifacts, output (what was printed) and error.
    """
    entry, info = _json(folder / "run.json"), _json(folder / "info.json")
    experiment, code, printed = entry.get("experiment", {}), info.get("code", {}), folder / "cout.txt"
    started = _time(entry, "start_time") or datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    last_seen = _time(entry, "stop_time") or _time(entry, "heartbeat") or started
    status = entry.get("status", "RUNNING")
    is_old = (datetime.now(UTC) - last_seen).total_seconds() > STALE_S
    return {
        "number": folder.name,
        "run": experiment.get("name", "unknown-run").replace("-", "/", 1),
        "status": "DIED" if status == "RUNNING" and is_old else status,
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round((last_seen - started).total_seconds(), 2),
        "peak_memory_mb": info.get("peak_memory_mb"),
        "commit": code.get("commit", "") + (recipe.CHANGES if code.get("dirty") else ""),
        "run_id": info.get("run_id", ""),
        "config": _json(folder / "config.json"),
        "info": info,
        "versions": dict(line.split("==", 1) for line in experiment.get("dependencies", [])),
        "sources": dict(experiment.get("sources", [])),
        "host": {name: value for name, value in entry.get("host", {}).items() if name != "ENV"},
        "artifacts": entry.get("artifacts", []),
        "output": printed.read_text(encoding="utf-8", errors="replace") if printed.is_file() else "",
        "error": "".join(entry.get("fail_trace") or []),
    }


def results(profile: str, record: dict[str, Any]) -> dict[str, float | str]:
    """Return facts that the notebook noted, and means over folds and seeds: AUCs (transfer), else metrics of the last epoch."""
    folder = paths.records_dir(profile) / record["number"]
    facts = {
        name: value for name, value in record["info"].items() if isinstance(value, int | float | str) and name not in NO_RESULT
    }  # fmt: skip
    if record["run"].startswith("transfer/") and (folder / "predictions.csv").is_file():
        from catscans_lib.evaluation import tables

        aucs = tables.aucs(read_table(folder / "predictions.csv").assign(source="", target=""), {("", ""): ""})
        return facts | aucs.groupby("mode", sort=False)["auc"].mean().add_prefix("auc.").to_dict()
    last: dict[str, list[float]] = {}
    for name, found in _json(folder / "metrics.json").items():
        last.setdefault(name.split(".", 3)[-1], []).append(found["values"][-1])  # over mode, fold and seed
    return facts | {name: fmean(values) for name, values in last.items()}


def find(profile: str, name: str) -> dict[str, Any]:
    """Return a record by its number or the id of its result, or the latest record of a run (`step/name`); else InputError."""
    found = load(profile)
    for record in reversed(found):
        if name in (record["number"], record["run"], record["run_id"]):
            return record
    keys = ", ".join(dict.fromkeys(record["run"] for record in found)) or "no run"
    raise InputError(
        f"Unknown record '{name}' in {paths.relative(paths.records_dir(profile))}; known: record numbers, run ids, and {keys}. "
        f"A sweep writes records: .venv/bin/catscans sweep --profile {profile}"
    )


def _time(entry: dict[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(entry[name]).replace(tzinfo=UTC) if entry.get(name) else None


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
