"""Tell Neptune's observer for Sacred of finished runs; executed by the Python of `.venv-neptune`, records as JSON on its input.

    python to_neptune.py FOLDER EXPERIMENT < records.json

The observer hears what Sacred would have told it while the run went on: configuration, machine, metrics, files and the end.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import neptune
from neptune.types import File
from neptune_sacred import NeptuneObserver

DONE = "records.txt"


def main(folder: Path, records: list[dict]) -> None:
    """Write every record that is not there yet as an offline run below `folder/offline`."""
    logging.getLogger("neptune").setLevel(logging.ERROR)
    os.environ["NEPTUNE_DATA_DIRECTORY"] = str(folder)
    there = folder / DONE
    done = there.read_text().splitlines() if there.is_file() else []
    new = [record for record in records if _identity(record) not in done]
    for record in new:
        _replay(record)
        with there.open("a") as file:
            file.write(_identity(record) + "\n")
    print(f"{len(new)} runs written to {folder / 'offline'}, {len(records) - len(new)} were there.")


def _identity(record: dict) -> str:
    return f"{record['number']} of {record['started_ms']}"


def _replay(record: dict) -> None:
    folder = Path(record["folder"])
    entry = _json(folder / "run.json")
    run = neptune.init_run(
        mode="offline", project="catscans/records", capture_stdout=False, capture_stderr=False,
        capture_hardware_metrics=False, capture_traceback=False, git_ref=False, source_files=[],
    )  # fmt: skip
    observer = NeptuneObserver(run)
    observer.started_event(
        ex_info=entry["experiment"], command=entry["command"], host_info=entry["host"], start_time=_time(entry["start_time"]),
        config=_json(folder / "config.json"), meta_info=entry["meta"], _id=record["number"],
    )  # fmt: skip
    metrics = _json(folder / "metrics.json")
    for metric in metrics.values():
        metric["timestamps"] = [_time(time) for time in metric["timestamps"]]
    observer.log_metrics(metrics, _json(folder / "info.json"))
    for name in entry["artifacts"]:
        # By its path the client would only note where the file lies; by its content it keeps it.
        content, ending = (folder / name).read_bytes(), Path(name).suffix[1:]
        observer.artifact_event(name, File.from_content(content, extension=ending))
    ended = datetime.fromtimestamp(record["ended_ms"] / 1000, UTC)
    if record["status"] == "COMPLETED":
        observer.completed_event(ended, record["results"])
    elif record["status"] == "FAILED":
        observer.failed_event(ended, entry.get("fail_trace"))
    else:
        observer.interrupted_event(ended, record["status"])
    run["experiment/status"] = record["status"]  # of which the observer says nothing
    run.stop()


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
