"""A record says what was run, from what, on which machine and how it ended, also for a run that failed or was killed."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib import metadata

import numpy as np
import pandas as pd
import psutil
import pytest
import tiny

from catscans_lib import paths
from catscans_lib.runs import recipe
from catscans_lib.runs.records import reading, recorded

KEY = "stability/all"
CONFIG = {"profile": "demo", "seed": 7}


def run(fill=lambda folder: None, key=KEY, config=CONFIG, **facts):
    """Record a run whose folder `fill` fills, and return its record."""
    folder = paths.work_dir("demo", *key.split("/"))
    folder.mkdir(parents=True, exist_ok=True)

    def work():
        fill(folder)
        (folder / "run.json").write_text(json.dumps({"run_id": "r1", "parameters": config, "versions": {}, **facts}))

    recorded("demo", key, config, folder, work)
    return reading.load("demo")[-1]


def test_a_record_holds_parameters_data_code_machine_and_versions(project, monkeypatch):
    monkeypatch.setattr(recipe, "commit", lambda: "c1+changes")
    record = run(data={"dtd": "ab"}, code={"commit": "c", "fingerprint": "f1"}, n_curves=3)
    assert (record["status"], record["run"], record["run_id"]) == ("COMPLETED", KEY, "r1")
    assert record["config"] == CONFIG
    assert record["info"]["data"] == {"dtd": "ab"}
    assert record["info"]["code"] == {"commit": "c1", "dirty": True, "fingerprint": "f1"}
    assert record["commit"] == "c1+changes"
    assert record["info"]["n_curves"] == 3
    assert record["info"]["machine"]["cores"] == psutil.cpu_count()
    assert record["info"]["machine"]["memory_gb"] == pytest.approx(psutil.virtual_memory().total / 2**30, abs=0.1)
    assert (
        json.loads((paths.work_dir("demo", "stability", "all") / "run.json").read_text())["record"] == record["number"]
    )
    assert record["versions"]["numpy"] == np.__version__
    indirect = "jupyter-client"  # a dependency of a dependency
    assert record["versions"][indirect] == metadata.version(indirect)
    assert record["versions"]["tensorflow-cpu" if sys.platform == "linux" else "tensorflow"]


def test_the_text_of_every_code_file_behind_a_run_is_kept(project):
    record = run()
    place = paths.records_dir("demo") / record["sources"]["notebooks/stability.ipynb"]
    assert place.read_text() == paths.notebook_path("stability").read_text()
    assert any(name.endswith("catscans_lib/evaluation/stability.py") for name in record["sources"])


def test_a_record_holds_the_metrics_of_every_epoch_and_the_tables(project):
    rows = [("fine_tune", 1, 0, epoch, "validation", "auc", 0.5 + epoch / 10) for epoch in (1, 2, 3)]
    columns = ["mode", "fold", "seed", "epoch", "split", "metric", "value"]
    record = run(lambda folder: pd.DataFrame(rows, columns=columns).to_csv(folder / "history.csv", index=False))
    folder = paths.records_dir("demo") / record["number"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics) == ["fine_tune.fold1.seed0.validation.auc"]
    assert [metrics[name][what] for name in metrics for what in ("steps", "values")] == [[1, 2, 3], [0.6, 0.7, 0.8]]
    assert record["artifacts"] == ["history.csv", "catscans_run.json"]
    assert len(pd.read_csv(folder / "history.csv")) == 3


def test_printed_output_goes_into_the_record_and_not_to_the_terminal(project, capsys):
    record = run(lambda folder: print("fold 1 of 3"))
    assert record["output"] == "fold 1 of 3\n"
    assert capsys.readouterr().out == ""


def test_a_failed_run_is_recorded_with_its_traceback_and_notebook_and_the_error_is_raised(project):
    def fails(folder):
        (folder / "stability.ipynb").write_text("{}")
        raise ZeroDivisionError("no images")

    with pytest.raises(ZeroDivisionError, match="no images"):
        run(fails)
    (record,) = reading.load("demo")
    assert record["status"] == "FAILED"
    assert "in fails" in record["error"]
    assert record["error"].endswith("ZeroDivisionError: no images\n")
    assert record["artifacts"] == ["stability.ipynb"]
    assert record["info"]["machine"]["cores"] == psutil.cpu_count()
    assert record["info"]["peak_memory_mb"] > 0


def unfinished(heartbeat_s=None, started_s=0.0):
    """A record without an end; times are seconds ago."""
    ago = {
        name: (datetime.now(UTC) - timedelta(seconds=s)).replace(tzinfo=None).isoformat() if s is not None else None
        for name, s in (("heartbeat", heartbeat_s), ("start_time", started_s))
    }
    folder = paths.records_dir("demo") / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"status": "RUNNING", **ago}))
    return reading.read(folder)


def test_a_run_is_dead_once_its_heartbeat_is_old(project):
    assert unfinished()["status"] == "RUNNING"  # started just now, no heartbeat yet
    assert unfinished(heartbeat_s=20, started_s=9000)["status"] == "RUNNING"
    assert unfinished(heartbeat_s=300, started_s=9000)["status"] == "DIED"
    assert unfinished(started_s=300)["status"] == "DIED"
    assert unfinished(heartbeat_s=-5)["status"] == "RUNNING"  # a clock ahead of ours


def test_an_incomplete_record_does_not_hide_the_others(project):
    run()
    incomplete = paths.records_dir("demo") / "2"
    incomplete.mkdir()
    (incomplete / "run.json").write_text('{"status": "RUNN')
    os.utime(incomplete, (0, 0))
    assert {record["number"]: record["status"] for record in reading.load("demo")} == {"1": "COMPLETED", "2": "DIED"}


KILLED = """
import time
from pathlib import Path
from catscans_lib.runs.records import recorded
recorded("demo", "stability/all", {}, Path("."), lambda: (Path("begun").touch(), time.sleep(600)))
"""


@pytest.mark.slow
def test_a_killed_run_is_shown_as_died_a_minute_later(project, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=tiny.environment(project), cwd=project)
    while not (project / "begun").exists():
        assert process.poll() is None
        time.sleep(0.1)
    assert [record["status"] for record in reading.load("demo")] == ["RUNNING"]
    process.kill()
    process.wait()
    time.sleep(2)
    monkeypatch.setattr(reading, "STALE_S", 1)
    assert [record["status"] for record in reading.load("demo")] == ["DIED"]


PARALLEL = """
import sys
from pathlib import Path
from catscans_lib.runs.records import recorded
folder = Path(sys.argv[1])
folder.mkdir()
recorded("demo", "stability/all", {"worker": sys.argv[1]}, folder, lambda: print(sys.argv[1]))
"""


@pytest.mark.slow
def test_runs_that_start_together_have_a_record_each(project):
    commands = [[sys.executable, "-c", PARALLEL, f"w{i}"] for i in range(8)]
    started = [subprocess.Popen(command, env=tiny.environment(project), cwd=project) for command in commands]
    assert [process.wait() for process in started] == [0] * 8
    records = reading.load("demo")
    assert {record["config"]["worker"] for record in records} == {f"w{i}" for i in range(8)}
    assert all(record["output"] == record["config"]["worker"] + "\n" for record in records)
