"""What a sweep prints while it runs, from the folders of its runs alone."""

import json
import os

import pytest

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.runs.execute import MARK
from catscans_lib.sweep import failures
from catscans_lib.sweep.progress import Progress
from catscans_lib.training import EPOCHS_LOG

START = 1e9  # seconds since 1970
COSTS = {"ingest/dtd": 10.0, "ingest/chest": 10.0, "pretrain/dtd": 100.0}


@pytest.fixture
def progress(project):
    """Three runs of the tiny grid to execute, two at a time; the ingest of dtd has an older result, as has a work folder."""
    begin("pretrain/dtd", START - 9)
    end("ingest/dtd", START - 9)
    others = set(expand.grid("demo")) - set(COSTS)
    return Progress("demo", expand.grid("demo"), others, COSTS, 2, START)


def begin(key, when):
    set_time(results.new_work_dir("demo", *key.split("/")), when)


def end(key, when, mark=False):
    work, final = (place("demo", *key.split("/")) for place in (paths.work_dir, paths.run_dir))
    final.mkdir(parents=True, exist_ok=True)
    (final / "run.json").write_text(json.dumps({"status": "completed"}))
    set_time(final / "run.json", when)
    if mark:
        (final / MARK).touch()
    if work.exists():
        work.rmdir()


def set_time(path, when):
    os.utime(path, (when, when))


def test_a_line_says_what_is_done_running_and_left_when_a_run_starts_or_ends(progress):
    assert progress.look(START) == []
    begin("ingest/dtd", START + 1)
    assert progress.look(START + 1) == ["ingest/dtd starts: 8 of 11 runs done, 1 running, about 2 min left"]
    assert progress.look(START + 2) == []
    end("ingest/dtd", START + 11)
    begin("ingest/chest", START + 11)
    assert progress.look(START + 11) == [
        "ingest/dtd done in 10 s: 9 of 11 runs done, 0 running, about 2 min left",
        "ingest/chest starts: 9 of 11 runs done, 1 running, about 2 min left",
    ]
    end("ingest/chest", START + 21)
    assert progress.look(START + 21) == ["ingest/chest done in 10 s: 10 of 11 runs done, 0 running, about 2 min left"]
    begin("pretrain/dtd", START + 22)
    assert [line[:19] for line in progress.look(START + 22)] == ["pretrain/dtd starts"]
    assert progress.seconds_left(START + 52) == pytest.approx(70)


def test_a_long_run_shows_its_last_epoch_once_a_minute_from_the_log_of_its_checkpoint(progress):
    begin("pretrain/dtd", START + 1)
    progress.look(START + 1)
    log = paths.checkpoint_dir("demo", "pretrain", "dtd") / "recipe" / EPOCHS_LOG
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1 of 8, of an attempt before\n")
    set_time(log, START - 5)
    assert progress.look(START + 70) == []
    for epoch in (1, 2):
        with log.open("a") as opened:
            opened.write(f"epoch {epoch} of 8, loss 0.5\n")
        set_time(log, START + 70 + epoch)
        shown = progress.look(START + 70 + epoch)
        assert shown == (["pretrain/dtd: epoch 1 of 8, loss 0.5"] if epoch == 1 else [])
    assert progress.look(START + 140) == ["pretrain/dtd: epoch 2 of 8, loss 0.5"]
    assert progress.look(START + 999) == []


def test_a_failed_run_is_reported_and_started_again(progress):
    begin("ingest/dtd", START + 1)
    progress.look(START + 1)
    failures.note("demo", "ingest/dtd", "no memory")
    assert [line.partition(":")[0] for line in progress.look(START + 5)] == ["ingest/dtd failed"]
    assert progress.look(START + 6) == []
    begin("ingest/dtd", START + 7)
    assert [line.partition(":")[0] for line in progress.look(START + 7)] == ["ingest/dtd starts"]


def test_runs_that_took_longer_than_planned_lengthen_what_is_left(progress):
    begin("ingest/dtd", START)
    progress.look(START)
    end("ingest/dtd", START + 130)
    progress.look(START + 130)
    assert progress.seconds_left(START + 130) == pytest.approx(
        (130 + 60) / (10 + 60) * (10 + 100)
    )  # a chain of two runs


def test_a_run_too_short_to_be_seen_is_counted_at_the_end_and_an_unknown_cost_leaves_the_rest_out(progress):
    progress.costs["pretrain/dtd"] = None
    end("ingest/chest", START - 5, mark=True)  # up to date already: Snakemake has marked it
    end("ingest/dtd", START + 1)
    assert progress.look(START + 2) == []
    assert progress.look(START + 2, is_last=True) == [
        "ingest/dtd done in 0 s: 9 of 11 runs done, 0 running",
        "ingest/chest done in 0 s: 10 of 11 runs done, 0 running",
    ]
