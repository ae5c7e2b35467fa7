"""`catscans clean` deletes what no finished run needs, and nothing else."""

import json
import os
import time

import pytest
from click.testing import CliRunner

from catscans_lib.cli import main
from catscans_lib.runs import leftovers

DAY = 86400
SIZE = 2_000_000
KEPT = (
    "results/demo/evaluate/all/run.json", "results/demo/evaluate/all/aucs.csv", "results/demo/records/2/run.json",
    "results/demo/records/_sources/a.py", "data/demo/dtd_24px.h5",
)  # fmt: skip
OLD = ("data/demo/features/old/f.npy", "results/demo/records/1/run.json", "results/demo/scratch/transfer/a--b/x.csv")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A finished run with record 2, the record 1 that it replaced, a cache and a run by hand, all 40 days old; a new cache."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    run = {"status": "completed", "record": "2"}
    record = {"status": "COMPLETED", "start_time": "2026-01-01T00:00:00"}
    content = {KEPT[0]: json.dumps(run), KEPT[2]: json.dumps(record), OLD[1]: json.dumps(record), OLD[0]: "0" * SIZE}
    for name in (*KEPT, *OLD, "data/demo/features/new.npy"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.get(name, "x"))
    then = time.time() - 40 * DAY
    for path in [*tmp_path.rglob("*")][::-1]:
        if path.name != "new.npy":
            os.utime(path, (then, then))
    return tmp_path


def clean(*arguments):
    done = CliRunner().invoke(main.main, ["clean", *arguments])
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        ".snakemake/sweep.lock"
    }


EVERYTHING = [word for kind in leftovers.KINDS for word in ("--what", kind)]


def test_a_dry_run_prints_sizes_and_ages_and_deletes_nothing(folder):
    before = files(folder)
    status, said = clean(*EVERYTHING, "--older", "30d", "--dry-run")
    assert status == 0 and before <= files(folder)
    assert "      2.0 MB     40 days old  data/demo/features/old\n" in said
    assert "results/demo/records/1" in said and "results/demo/scratch/transfer/a--b" in said
    assert said.endswith("2.0 MB in 3 files and folders would be deleted (--dry-run).\n")


def test_only_what_is_older_goes_and_finished_runs_keep_all_they_need(folder):
    status, said = clean(*EVERYTHING, "--older", "30d")
    assert status == 0 and said.endswith("2.0 MB in 3 files and folders deleted.\n")
    there = files(folder)
    assert there.issuperset((*KEPT, "data/demo/features/new.npy")) and not there & set(OLD)
    clean("--what", "features", "--older", "0h")
    assert "data/demo/features/new.npy" not in files(folder)


def test_a_record_that_is_being_written_stays(folder):
    running = folder / "results/demo/records/3/run.json"
    running.parent.mkdir()
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    running.write_text(json.dumps({"status": "RUNNING", "heartbeat": now, "start_time": now}))
    clean("--what", "records")
    assert running.is_file() and not (folder / OLD[1]).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--what", "runs"), "'runs' is not one of 'features', 'records', 'scratch'"),
        ((), "Missing option '--what'"),
        (("--what", "scratch", "--older", "month"), "--older got 'month'; give a whole number with h, d or w"),
        (("--what", "scratch", "--profile", "dmeo"), "Unknown profile with results or data 'dmeo'; known: demo."),
    ],
)
def test_unknown_words_are_refused_and_nothing_goes(folder, arguments, message):
    before = files(folder)
    status, said = clean(*arguments)
    assert status == 2 and message in said and before <= files(folder)
