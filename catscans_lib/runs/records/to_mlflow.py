"""Write records as MLflow runs; executed by the Python of `.venv-mlflow`, with the records as JSON on its input.

python to_mlflow.py FOLDER EXPERIMENT < records.json
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

MARK = "catscans.record"  # the last that is written: a run without it was cut off
STATUS = {"COMPLETED": "FINISHED", "FAILED": "FAILED", "INTERRUPTED": "KILLED", "DIED": "KILLED"}
N_AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow takes no more in one call
LONGEST = 5000  # characters of a tag or a parameter


def main(folder: Path, experiment: str, records: list[dict]) -> None:
    """Write every record that is not there yet."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment, (folder / "artifacts").as_uri())
    runs = {run.info.run_id: run.data.tags.get(MARK) for run in _all(client, place)}
    for run in (run for run, mark in runs.items() if not mark):
        client.delete_run(run)
    there = set(runs.values())
    new = [record for record in records if _identity(record) not in there]
    for record in new:
        _write(client, place, record)
    print(f"{len(new)} runs written, {len(records) - len(new)} were there. Look at them with:")
    print(f".venv-mlflow/bin/mlflow ui --backend-store-uri sqlite:///{folder / 'mlflow.db'}")


def _all(client: MlflowClient, place: str) -> list:
    runs, token = [], None
    while True:
        page = client.search_runs([place], max_results=1000, page_token=token)
        runs, token = [*runs, *page], page.token
        if not token:
            return runs


def _identity(record: dict) -> str:
    return f"{record['number']} of {record['started_ms']}"


def _write(client: MlflowClient, place: str, record: dict) -> None:
    run = client.create_run(place, start_time=record["started_ms"], run_name=record["name"]).info.run_id
    metrics = [*_epochs(record), *_results(record)]
    params = [Param(_key(name), str(value)[:LONGEST]) for name, value in record["config"].items()]
    tags = [
        RunTag(_key(name), str(value)[:LONGEST]) for name, value in _tags(record).items() if value not in ("", None)
    ]
    for kind, entities in (("metrics", metrics), ("params", params), ("tags", tags)):
        for start in range(0, len(entities), N_AT_ONCE[kind]):
            client.log_batch(run, **{kind: entities[start : start + N_AT_ONCE[kind]]})
    for path in sorted(Path(record["folder"]).iterdir()):
        if path.is_file():
            client.log_artifact(run, str(path))
    client.log_dict(run, record["versions"], "versions.json")
    client.set_terminated(run, STATUS[record["status"]], record["ended_ms"])
    client.set_tag(run, MARK, _identity(record))


def _epochs(record: dict) -> list[Metric]:
    path = Path(record["folder"]) / "metrics.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    return [
        Metric(_key(name), value, _ms(time), step)
        for name, metric in found.items()
        for value, step, time in zip(metric["values"], metric["steps"], metric["timestamps"], strict=True)
    ]


def _results(record: dict) -> list[Metric]:
    numbers = {name: value for name, value in record["results"].items() if isinstance(value, int | float)}
    numbers |= {name: value for name, value in record["facts"].items() if isinstance(value, int | float)}
    return [Metric(_key(name), value, record["ended_ms"], 0) for name, value in numbers.items()]


def _tags(record: dict) -> dict:
    texts = {name: value for name, value in record["facts"].items() if isinstance(value, str)}
    known = {
        "catscans.run": record["run"], "catscans.run_id": record["run_id"], "catscans.status": record["status"],
        "mlflow.source.git.commit": record["commit"].partition("+")[0], "catscans.commit": record["commit"],
        "mlflow.note.content": record["error"] and f"```\n{record['error']}\n```",
    }  # fmt: skip
    return known | {f"catscans.{name}": value for name, value in texts.items()}


def _key(name: str) -> str:
    """Parameters and metrics have names of letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in name)


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.load(sys.stdin))
