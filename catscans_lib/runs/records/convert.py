"""Writes records as MLflow runs or as offline Neptune runs. `observers` runs this script with the Python of `.venv-TARGET`.

python convert.py TARGET FOLDER EXPERIMENT < records.json
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ID = "catscans.record"
STATUS = {"COMPLETED": "FINISHED", "FAILED": "FAILED"}  # in MLflow; every other one becomes KILLED
BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # the most that MLflow accepts in one call
MAX_LENGTH = 5000  # characters of a tag or a parameter in MLflow


def to_mlflow(folder: Path, experiment: str, records: list[dict]) -> None:
    """Write every record that is not in the folder yet; runs of an interrupted export are written again."""
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address)
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment, (folder / "artifacts").as_uri())
    n_written = sum(_to_mlflow(client, place, record) for record in records)
    print(f"{n_written} runs written, {len(records) - n_written} were in the folder already. Show them:")
    print(f".venv-mlflow/bin/mlflow ui --backend-store-uri {address}")


def _to_mlflow(client: Any, place: str, record: dict) -> bool:
    """Write one record; return False if it was there already."""
    from mlflow.entities import Metric, Param, RunTag

    for run in client.search_runs([place], f"tags.`{ID}` = '{record['id']}'"):
        if run.info.status != "RUNNING":
            return False
        client.delete_run(run.info.run_id)
    start, name, ended = record["started_ms"], record["name"], record["ended_ms"]
    run = client.create_run(place, start_time=start, run_name=name, tags={ID: record["id"]}).info.run_id
    epochs = [
        Metric(_key(name), value, round(time.timestamp() * 1000), step)
        for name, curve in _curves(record).items()
        for value, step, time in zip(curve["values"], curve["steps"], curve["timestamps"], strict=True)
    ]
    tags = {f"catscans.{name}": record[name] for name in ("run", "run_id", "status", "commit")}
    tags |= {f"catscans.{name}": text for name, text in record["texts"].items()}
    tags["mlflow.source.git.commit"] = record["commit"].partition("+")[0]
    tags["mlflow.note.content"] = record["error"] and f"```\n{record['error']}\n```"
    found = {
        "metrics": epochs + [Metric(_key(name), value, ended, 0) for name, value in record["numbers"].items()],
        "params": [Param(_key(name), str(value)[:MAX_LENGTH]) for name, value in record["config"].items()],
        "tags": [RunTag(_key(name), str(value)[:MAX_LENGTH]) for name, value in tags.items() if value],
    }
    for kind, entities in found.items():
        for first in range(0, len(entities), BATCH[kind]):
            client.log_batch(run, **{kind: entities[first : first + BATCH[kind]]})
    client.log_artifacts(run, record["folder"])
    client.log_dict(run, record["versions"], "versions.json")
    client.set_terminated(run, STATUS.get(record["status"], "KILLED"), ended)
    return True


def _key(name: str) -> str:
    """MLflow accepts letters, digits and a few signs in names."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in name)


def to_neptune(folder: Path, _: str, records: list[dict]) -> None:
    """Write every record that is not in the folder yet as an offline run below `folder/offline`."""
    logging.getLogger("neptune").setLevel(logging.ERROR)
    os.environ["NEPTUNE_DATA_DIRECTORY"] = str(folder)
    list_path = folder / "records.txt"
    done = list_path.read_text().splitlines() if list_path.is_file() else []
    new = [record for record in records if record["id"] not in done]
    for record in new:
        _to_neptune(record)
        with list_path.open("a") as file:
            file.write(record["id"] + "\n")
    print(f"{len(new)} runs written to {folder / 'offline'}, {len(records) - len(new)} were in the folder already.")


def _to_neptune(record: dict) -> None:
    """Replay to Neptune's observer what Sacred would have sent: configuration, machine, metrics, files and end."""
    import neptune
    from neptune.types import File
    from neptune_sacred import NeptuneObserver

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
    observer.log_metrics(_curves(record), _json(folder / "info.json"))
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


def _curves(record: dict) -> dict[str, dict[str, list]]:
    """Values, steps (epochs) and timestamps of every metric."""
    curves = _json(Path(record["folder"]) / "metrics.json")
    for curve in curves.values():
        curve["timestamps"] = [_time(text) for text in curve["timestamps"]]
    return curves


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    convert = {"mlflow": to_mlflow, "neptune": to_neptune}[sys.argv[1]]
    convert(Path(sys.argv[2]), sys.argv[3], json.load(sys.stdin))
