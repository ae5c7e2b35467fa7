"""Writes records as offline Neptune runs. `exports` runs this script with the Python of `.venv-neptune`.

    python to_neptune.py FOLDER EXPERIMENT < records.json

Replays to Neptune's observer what Sacred would have sent during the run: configuration, machine, metrics, files and end.
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
    """Write every record that is not in the folder yet as an offline run below `folder/offline`."""
    logging.getLogger("neptune").setLevel(logging.ERROR)
    os.environ["NEPTUNE_DATA_DIRECTORY"] = str(folder)
    list_path = folder / DONE
    done = list_path.read_text().splitlines() if list_path.is_file() else []
    new = [record for record in records if record["id"] not in done]
    for record in new:
        _replay(record)
        with list_path.open("a") as file:
            file.write(record["id"] + "\n")
    print(f"{len(new)} runs written to {folder / 'offline'}, {len(records) - len(new)} were in the folder already.")


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
        # Given a path, the client would only store the path; given the content, it stores a copy.
        content, ending = (folder / name).read_bytes(), Path(name).suffix[1:]
        observer.artifact_event(name, File.from_content(content, extension=ending))
    ended = datetime.fromtimestamp(record["ended_ms"] / 1000, UTC)
    if record["status"] == "COMPLETED":
        observer.completed_event(ended, record["results"])
    elif record["status"] == "FAILED":
        observer.failed_event(ended, entry.get("fail_trace"))
    else:
        observer.interrupted_event(ended, record["status"])
    run["experiment/status"] = record["status"]  # the observer does not set it
    run.stop()


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
