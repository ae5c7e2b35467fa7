"""Writes records as MLflow runs. `export` runs this script with the Python of `.venv-mlflow`.

python to_mlflow.py FOLDER EXPERIMENT < records.json
"""

import json
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
        Metric(_key(name), value, _milliseconds(time), step)
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


def _curves(record: dict) -> dict[str, dict[str, list]]:
    """Values, steps (epochs) and timestamps of every metric."""
    path = Path(record["folder"]) / "metrics.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


if __name__ == "__main__":
    to_mlflow(Path(sys.argv[1]), sys.argv[2], json.load(sys.stdin))
