"""The report on runs that failed or did not finish."""

import os
import re
from dataclasses import replace

import nbformat
import pytest

from catscans_lib import paths
from catscans_lib.grid import expand
from catscans_lib.sweep import engine, failures

TRACEBACK = [
    "\x1b[0;31mValueError\x1b[0m  Traceback",
    *(f"line {n}" for n in range(20)),
    "\x1b[31mValueError\x1b[0m: no such thing",
]


@pytest.fixture
def runs(project):
    return expand.grid("demo")


def failed(key, message="failed: ValueError: no such thing", traceback=TRACEBACK):
    """Leave the files of a failed run."""
    step, name = key.split("/")
    work = paths.work_dir("demo", step, name)
    work.mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x")])
    if traceback:
        notebook.cells[0].outputs = [
            nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=traceback)
        ]
    nbformat.write(notebook, work / f"{step}.ipynb")
    failures.note("demo", key, f"{key} {message}\nSee {paths.relative(work / step)}.ipynb.")
    return work


def test_a_report_shows_the_last_lines_of_the_traceback_without_colours_and_the_notebook_to_open(runs):
    failed("ingest/dtd")
    lines = failures.report("demo", "ingest/dtd").splitlines()
    assert lines[0] == "ingest/dtd failed: ValueError: no such thing"
    assert lines[1:-1] == [*(f"    line {n}" for n in range(13, 20)), "    ValueError: no such thing"]
    assert lines[-1] == "See results/demo/ingest/.dtd.work/ingest.ipynb."


def test_the_summary_separates_failed_runs_runs_that_need_them_and_unfinished_runs(runs):
    failed("pretrain/dtd")
    missing = ["pretrain/dtd", "transfer/none--chest", "transfer/dtd--chest", "feature_maps/chest"]
    *_, waiting, left = failures.summary("demo", runs, missing, since=0).splitlines()
    assert waiting == "Not started because a run they need failed: transfer/dtd--chest, feature_maps/chest"
    assert left == "Not finished: transfer/none--chest"


def test_the_message_of_a_stopped_sweep_names_each_run_once_and_cuts_long_lists(runs, monkeypatch, capsys):
    many = {f"ingest/s{n}": replace(runs["ingest/dtd"], name=f"s{n}") for n in range(60)}
    for key in list(many)[:22]:
        failed(key)
    monkeypatch.setattr(engine, "_in_foreground", lambda command, lock, inherited: 1)
    monkeypatch.setattr(engine, "_planning_error", lambda command: (0, ""))
    assert engine.run(engine.Sweep("demo"), engine.Prepared(many, [], {}), started=0.0) == 1
    said = capsys.readouterr().err
    assert said.startswith("catscans: the sweep stopped with 60 of 60 runs unfinished.\ningest/s0 failed: ValueError")
    assert "\nAlso failed: ingest/s20, ingest/s21\nNot finished: ingest/s22, ingest/s23, " in said
    assert "ingest/s51 and 8 more\nFinished runs are kept. Resume: .venv/bin/catscans sweep --profile demo\n" in said
    assert re.findall(r"\bingest/s\d+", said) == [f"ingest/s{n}" for n in range(52)]


def test_a_failure_of_an_earlier_sweep_is_not_reported_again(runs):
    work = failed("ingest/dtd")
    os.utime(work / failures.ERROR, (100, 100))
    assert failures.report("demo", "ingest/dtd", since=200) == ""
    assert failures.summary("demo", runs, ["ingest/dtd"], since=200) == "Not finished: ingest/dtd"


def test_a_dead_kernel_or_a_truncated_notebook_still_has_its_message_reported(runs):
    failed("ingest/dtd", "the kernel died", traceback=None)
    work = failed("ingest/chest", "the kernel died")
    (work / "ingest.ipynb").write_text('{"cells": [')
    for name in ("dtd", "chest"):
        assert failures.report("demo", f"ingest/{name}").startswith(f"ingest/{name} the kernel died\nSee results")
