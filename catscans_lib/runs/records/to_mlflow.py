"""Writes records as MLflow runs. `exports` runs this script with the Python of `.venv-mlflow`.

python to_mlflow.py FOLDER EXPERIMENT < records.json
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

ID = "catscans.record"
STATUS = {"COMPLETED": "FINISHED", "FAILED": "FAILED"}  # every other one becomes KILLED
BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # the most that MLflow accepts in one call
MAX_LENGTH = 5000  # characters of a tag or a parameter


def main(folder: Path, experiment: str, records: list[dict]) -> None:
    """Write every record that is not in the folder yet; runs of an interrupted export are written again."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment, (folder / "artifacts").as_uri())
    n_written = sum(_write(client, place, record) for record in records)
    print(f"{n_written} runs written, {len(records) - n_written} were in the folder already. Show them:")
    print(f".venv-mlflow/bin/mlflow ui --backend-store-uri sqlite:///{folder / 'mlflow.db'}")


def _write(client: MlflowClient, place: str, record: dict) -> bool:
    """Write one record; return False if it was there already."""
    for run in client.search_runs([place], f"tags.`{ID}` = '{record['id']}'"):
        if run.info.status != "RUNNING":
            return False
        client.delete_run(run.info.run_id)
    name, tags = record["name"], {ID: record["id"]}
    run = client.create_run(place, start_time=record["started_ms"], run_name=name, tags=tags).info.run_id
    found = {
        "metrics": _metrics(record),
        "params": [Param(_key(name), str(value)[:MAX_LENGTH]) for name, value in record["config"].items()],
        "tags": [RunTag(_key(name), str(value)[:MAX_LENGTH]) for name, value in _tags(record).items() if value],
    }
    for kind, entities in found.items():
        for start in range(0, len(entities), BATCH[kind]):
            client.log_batch(run, **{kind: entities[start : start + BATCH[kind]]})
    for path in sorted(Path(record["folder"]).iterdir()):
        if path.is_file():
            client.log_artifact(run, str(path))
    client.log_dict(run, record["versions"], "versions.json")
    client.set_terminated(run, STATUS.get(record["status"], "KILLED"), record["ended_ms"])
    return True


def _metrics(record: dict) -> list[Metric]:
    path = Path(record["folder"]) / "metrics.json"
    curves = json.loads(path.read_text()) if path.is_file() else {}
    epochs = [
        Metric(_key(name), value, _ms(time), step)
        for name, curve in curves.items()
        for value, step, time in zip(curve["values"], curve["steps"], curve["timestamps"], strict=True)
    ]
    return epochs + [Metric(_key(name), value, record["ended_ms"], 0) for name, value in record["numbers"].items()]


def _tags(record: dict) -> dict:
    known = {
        "catscans.run": record["run"],
        "catscans.run_id": record["run_id"],
        "catscans.status": record["status"],
        "catscans.commit": record["commit"],
        "mlflow.source.git.commit": record["commit"].partition("+")[0],
        "mlflow.note.content": record["error"] and f"```\n{record['error']}\n```",
    }
    return known | {f"catscans.{name}": text for name, text in record["texts"].items()}


def _key(name: str) -> str:
    """MLflow accepts letters, digits and a few signs in names."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in name)


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.load(sys.stdin))
