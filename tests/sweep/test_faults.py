"""Kills, full disks, missing memory, wrong clocks, bugs: no result is lost, none is incomplete."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time

import faulting
import numpy as np
import pytest
import tiny

pytestmark = pytest.mark.slow
N_KILLS = 6
KINDS = ("sweep", "papermill", "kernel")
BUG = "from catscans_lib"  # the first line of code of every notebook


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A project after an undisturbed sweep."""
    folder = faulting.project(tmp_path_factory.mktemp("undisturbed"))
    result = faulting.catscans(folder, "sweep", "--jobs", "2")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def swept(undisturbed, tmp_path):
    """A copy of the undisturbed project."""
    folder = faulting.copy(undisturbed, tmp_path / "project")
    yield folder
    faulting.kill_all(folder)


def fresh(tmp_path):
    return faulting.project(tmp_path / "project")


def broken(folder, step, code):
    """Insert code at the beginning of a notebook."""
    faulting.edit(folder / f"notebooks/{step}.ipynb", BUG, f"{code}\\n{BUG}")


def records_of_runs(folder):
    return [path for path in (folder / "results/demo").glob("*/*/run.json") if path.parts[-3] != "records"]


def remade(before, after):
    return {key for key in after if after[key] != before.get(key)}


def test_six_kills_at_random_moments_leave_the_tables_of_an_undisturbed_sweep(undisturbed, tmp_path):
    """Kills the sweep with Snakemake, the papermill of a run, or its kernel; finished runs stay unchanged."""
    rng, expected = np.random.default_rng(20261125), faulting.tables(undisturbed)
    usual_s = np.median([json.loads(path.read_text())["seconds"] for path in records_of_runs(undisturbed)])
    folder, finished, sweep = fresh(tmp_path), {}, None
    kinds = list(rng.permutation(np.repeat(KINDS, N_KILLS // len(KINDS))))
    try:
        while kinds or sweep.poll() != 0:
            if sweep and sweep.poll() == 0:  # all runs were done before the last kill: start again
                shutil.rmtree(folder / "results")
                finished = {}
            if not faulting.processes(folder)["snakemake"]:
                sweep = faulting.started(folder, "sweep", "--jobs", "2")
            faulting.wait_for_kernel(folder, sweep)
            if kinds:
                time.sleep(rng.uniform(0, 1.5 * usual_s))
                living = faulting.processes(folder)
                victims = living[kinds[-1]][:1] + (living["snakemake"] if kinds[-1] == "sweep" else [])
                faulting.kill(victims)
                kinds = kinds[:-1] if victims else kinds
            else:
                sweep.wait(faulting.PATIENCE_S)
            now, found = tiny.done(folder), faulting.tables(folder)
            assert finished.items() <= now.items()
            finished = now
            for key in finished:
                assert faulting.of_run(key, found) == faulting.of_run(key, expected), key
        assert faulting.tables(folder) == expected
    finally:
        faulting.kill_all(folder)


def test_a_run_whose_sweep_was_killed_is_waited_for_by_the_next_one(swept):
    """The orphaned run continues; two processes must not write to the same work folder."""
    before = tiny.done(swept)
    shutil.rmtree(swept / "results/demo/overlaps/all")
    faulting.started(swept, "sweep", "overlaps/all")
    faulting.wait_for(lambda folder: faulting.processes(folder)["kernel"], swept)
    orphan = faulting.processes(swept)["papermill"][0]
    orphan.suspend()
    living = faulting.processes(swept)
    faulting.kill(living["sweep"] + living["snakemake"])
    second = faulting.started(swept, "sweep", "overlaps/all")
    said = f"overlaps/all waits for process {orphan.pid} on {socket.gethostname()}"
    faulting.wait_for(lambda folder: said in (folder / "started.log").read_text(), swept)
    orphan.resume()
    assert second.wait(faulting.PATIENCE_S) == 0
    assert "overlaps/all is already up to date" in (swept / "started.log").read_text()
    assert remade(before, tiny.done(swept)) == {"overlaps/all"}


def test_a_second_sweep_in_a_folder_is_refused_and_names_the_holder_of_the_lock(swept):
    faulting.edit(swept / "params/demo.yaml", "n_draws: 100", "n_draws: 101")
    first = faulting.started(swept, "sweep", "stability/all", "evaluate/all")
    faulting.wait_for(lambda folder: faulting.processes(folder)["papermill"], swept)
    holder = faulting.processes(swept)["snakemake"][0]
    holder.suspend()  # so that it cannot end before the second one has started
    second = faulting.catscans(swept, "sweep")
    holder.resume()
    assert second.returncode == 2
    assert re.search(
        rf"process {holder.pid} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\d \d\d:\d\d", second.stderr
    )
    assert "stop it with Ctrl-C or `kill`; its lock" in second.stderr
    assert first.wait(faulting.PATIENCE_S) == 0
    assert faulting.catscans(swept, "sweep", "--dry-run").returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A separate small file system, and a function that remounts it with other options; needs the right to mount."""

    def mount(*options):
        subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", tmp_path / "disk"], check=True, capture_output=True)

    (tmp_path / "disk").mkdir()
    try:
        mount("-o", "size=1m")
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("mounting a small disk is not permitted")
    yield tmp_path / "disk", lambda how: mount("-o", f"remount,{how}")
    faulting.kill_all(tmp_path / "project")
    subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)


def test_a_full_disk_is_reported_and_the_sweep_resumes_when_there_is_space(undisturbed, small_disk, tmp_path):
    disk, remount = small_disk
    folder = fresh(tmp_path)
    for name in ("results", "data"):
        (disk / name).mkdir()
        (folder / name).symlink_to(disk / name)
    result = faulting.catscans(folder, "sweep", "transfer/none--chest")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr and "Finished runs are kept" in result.stderr
    before = tiny.done(folder)
    remount("size=200m")
    result = faulting.catscans(folder, "sweep", "transfer/none--chest")
    assert result.returncode == 0, result.stderr
    assert before.items() <= tiny.done(folder).items()
    expected = faulting.tables(undisturbed)
    assert all(table == expected[name] for name, table in faulting.tables(folder).items())


def test_a_read_only_results_folder_is_reported_before_anything_starts(small_disk, tmp_path):
    disk, remount = small_disk
    folder = fresh(tmp_path)
    (folder / "results").symlink_to(disk)
    remount("ro")
    result = faulting.catscans(folder, "sweep", "ingest/dtd")
    assert result.returncode == 2
    assert "results/demo cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def test_only_the_run_without_memory_fails_and_reports_it(swept):
    broken(swept, "stability", "held = bytearray(6 * 10**9)\\nheld[::4096] = bytes(len(held[::4096]))")
    broken(swept, "overlaps", "changed = True")
    before = tiny.done(swept)
    result = subprocess.run(
        [*tiny.CLI, "sweep", "--jobs", "1", "stability/all", "overlaps/all"], env=faulting.environment(swept), cwd=swept,
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (5 * 10**9, 5 * 10**9)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "stability/all" in result.stderr and "MemoryError" in result.stderr
    assert "fewer runs at a time" in result.stderr
    assert remade(before, tiny.done(swept)) == {"overlaps/all"}


def test_the_time_limit_of_the_profile_reaches_the_run(swept):
    content = faulting.grid() | {"resources": {"overlaps": {"minutes": 1}}}
    tiny.write_grid(swept, content)
    broken(swept, "overlaps", "import os; print('it may take', os.environ['CATSCANS_MINUTES'])")
    assert faulting.catscans(swept, "sweep", "overlaps/all").returncode == 0
    assert "it may take 1" in (swept / "results/demo/overlaps/all/overlaps.ipynb").read_text()


@pytest.mark.parametrize("hours", [24 * 365, -24 * 365])
def test_file_times_of_another_clock_rerun_nothing(swept, hours):
    faulting.set_time(swept, 3600 * hours)
    before = tiny.done(swept)
    result = faulting.catscans(swept, "sweep")
    assert "nothing to do: all 11 runs are up to date" in result.stdout, result.stdout + result.stderr
    assert tiny.done(swept) == before


def test_a_bug_in_a_notebook_stops_the_runs_that_need_it_and_its_repair_reruns_only_these(swept):
    before = tiny.done(swept)
    broken(swept, "similarity", "raise ValueError('a bug')")
    broken(swept, "overlaps", "changed = True")
    result = faulting.catscans(swept, "sweep")
    assert result.returncode == 1
    assert (
        "the sweep stopped with 2 of 11 runs unfinished.\nsimilarity/chest failed: ValueError: a bug" in result.stderr
    )
    assert "Not started because a run they need failed: transferability/all\n" in result.stderr
    assert "Building DAG" not in result.stderr
    after_bug = tiny.done(swept)
    assert set(after_bug) == tiny.RUNS and remade(before, after_bug) == {"overlaps/all"}
    faulting.edit(swept / "notebooks/similarity.ipynb", "raise ValueError('a bug')", "repaired = True")
    assert faulting.catscans(swept, "sweep", "similarity/chest").returncode == 0
    assert remade(after_bug, tiny.done(swept)) == {"similarity/chest"}
    for path in (swept / "results/demo/similarity").rglob("*"):  # older than the result of the run that reads them
        os.utime(path, (time.time() - 3600 * 24 * 365,) * 2)
    before = tiny.done(swept)
    assert faulting.catscans(swept, "sweep").returncode == 0
    assert remade(before, tiny.done(swept)) == set()  # what it reads has the same content as before the bug


def test_changed_code_is_reported_by_notebook_and_trust_keeps_the_results(swept):
    library = swept / "catscans_lib/evaluation/stability.py"
    faulting.edit(library, "LATE = 3", "LATE = 3 + 0")
    before = tiny.done(swept)
    result = faulting.catscans(swept, "sweep", "--dry-run")
    assert "outdated: 1 stability run, because their code changed" in result.stdout
    assert "--trust keeps the runs whose code alone has changed" in result.stdout
    assert result.stdout.count("outdated") == 1
    planned = faulting.catscans(swept, "sweep", "--trust", "--dry-run").stdout
    assert "11 runs, 11 done, 0 to run" in planned
    result = faulting.catscans(swept, "sweep", "--trust")
    assert result.returncode == 0, result.stderr
    assert "Kept although their code has changed (--trust): stability/all." in result.stdout
    assert "nothing to do: all 11 runs are up to date" in result.stdout
    again = faulting.catscans(swept, "sweep")  # trusted until the code changes again
    assert "changed" not in again.stdout and "nothing to do" in again.stdout
    assert tiny.done(swept) == before
    faulting.edit(library, "LATE = 3 + 0", "LATE = 3 + 0 + 0")
    result = faulting.catscans(swept, "sweep")
    assert "outdated: 1 stability run, because their code changed" in result.stdout
    assert remade(before, tiny.done(swept)) == {"stability/all"}
    assert not (swept / "results/demo/stability/all/trusted.json").exists()
