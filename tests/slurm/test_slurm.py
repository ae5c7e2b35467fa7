"""A sweep on a real Slurm: the tables equal those of a local sweep, and failures are reported."""

import os
import shutil
import subprocess
import time

import faulting
import numpy as np
import pytest
import slurm_cluster
import tiny

pytestmark = pytest.mark.slow
LIMIT_S = 1800  # after that, the sweep is killed
N_FAULTS = 2  # of each kind
SQUEUE = (  # no job accounting; short waits for short jobs
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5", "--slurm-no-account",
    "--slurm-keep-successful-logs", "--latency-wait", "5",
)  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if reason := slurm_cluster.why_not():
        pytest.skip(f"no Slurm: {reason}")
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def project(folder):
    tiny.project(folder)
    shutil.copytree(tiny.ROOT / "params/cluster", folder / "params/cluster")
    return folder


def command(*words):
    """Return the command of a sweep on the cluster, killed after `LIMIT_S`."""
    front = [*tiny.CLI, "sweep", "--cluster", "slurm"]
    return ["timeout", "-k", "10", str(LIMIT_S), *front, *words, "--", *SQUEUE]


def sweep(folder, *words):
    env = tiny.environment(folder)
    return subprocess.run(command(*words), env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def swept(slurm, tmp_path_factory):
    """The same grid, executed here and on the cluster."""
    below = tmp_path_factory.mktemp("sweeps")
    here, there = project(below / "here"), project(below / "there")
    tiny.catscans(here, "sweep", check=True)
    return here, there, sweep(there)


def test_a_sweep_on_slurm_gives_the_tables_of_a_local_sweep_and_prints_its_progress(swept):
    here, there, result = swept
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(tiny.done(there)) == set(tiny.done(here))
    expected, found = faulting.tables(here), faulting.tables(there)
    assert {"tables/aucs.csv", "transfer/dtd--chest/predictions.csv"} <= set(expected)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert "transfer/dtd--chest done in " in result.stdout and ": 11 of 11 runs done, 0 running" in result.stdout


def test_every_run_is_a_job_with_the_resources_of_the_profile(swept, slurm):
    result = swept[2]
    assert result.returncode == 0, result.stderr
    jobs = slurm.ask("scontrol", "--oneliner", "show", "jobs").splitlines()
    assert len(jobs) == 11
    assert all("JobState=COMPLETED" in job for job in jobs)
    assert all("Partition=main" in job and "NumCPUs=1 " in job and "MinMemoryNode=2000M" in job for job in jobs)


def test_a_run_that_fails_on_the_cluster_is_reported_and_the_others_continue(slurm, tmp_path):
    folder = project(tmp_path / "project")
    notebook = folder / "notebooks/ingest.ipynb"
    broken = "assert dataset != 'dtd', 'no dtd'\\nproblems ="
    notebook.write_text(notebook.read_text().replace("problems =", broken))
    result = sweep(folder, "ingest/dtd", "ingest/chest")
    assert result.returncode == 1, result.stdout + result.stderr
    assert set(tiny.done(folder)) == {"ingest/chest"}
    assert "ingest/dtd failed: AssertionError: no dtd" in result.stderr
    assert "See results/demo/ingest/.dtd.work/ingest.ipynb" in result.stderr
    assert slurm.ask("squeue", "-h") == ""


def cancel_a_job(slurm, jobs, rng):
    slurm.ask("scancel", rng.choice(jobs))


def kill_the_node(slurm, jobs, rng):
    slurm.daemons["slurmd"].kill()
    slurm.daemons["slurmd"].wait()
    time.sleep(rng.uniform(0, 3))
    slurm.start_node()


def running_jobs(slurm):
    return slurm.ask("squeue", "-h", "-t", "R", "-o", "%i").split()


def test_cancelled_jobs_and_killed_nodes_leave_the_tables_of_an_undisturbed_sweep(swept, slurm, tmp_path):
    rng, here, folder = np.random.default_rng(20261127), swept[0], project(tmp_path / "project")
    faults, finished = list(rng.permutation([cancel_a_job, kill_the_node] * N_FAULTS)), {}
    for _ in range(1 + len(faults)):
        with (
            (folder / "log").open("a") as log,
            subprocess.Popen(command(), env=tiny.environment(folder), cwd=folder, stdout=log, stderr=log) as process,
        ):
            while process.poll() is None:
                if faults and running_jobs(slurm):
                    time.sleep(rng.uniform(0, 5))
                    if jobs := running_jobs(slurm):
                        faults.pop()(slurm, jobs, rng)
                time.sleep(0.5)
                now = tiny.done(folder)
                assert finished.items() <= now.items()  # no finished run is repeated
                finished = now
        if process.returncode == 0:
            break
    assert process.returncode == 0, (folder / "log").read_text()
    assert not faults
    assert faulting.tables(folder) == faulting.tables(here)


@pytest.mark.skipif(not os.environ.get("CATSCANS_TEST_DEMO"), reason="half an hour; asked for by CATSCANS_TEST_DEMO=1")
def test_the_whole_demo_on_slurm_gives_the_tables_of_a_local_sweep(slurm, tmp_path):
    here, there = project(tmp_path / "here"), project(tmp_path / "there")
    for folder in (here, there):
        shutil.copy(tiny.ROOT / "params/demo.yaml", folder / "params/demo.yaml")
    tiny.catscans(here, "sweep", check=True)
    result = sweep(there)
    assert result.returncode == 0, result.stdout + result.stderr
    expected, found = faulting.tables(here), faulting.tables(there)
    assert len(tiny.done(there)) == len(tiny.done(here)) > 50
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_no_daemon_and_no_file_of_the_system_outlives_the_cluster(slurm):
    """The last test: it stops the cluster."""
    daemons = list(slurm.daemons.values())
    assert [process.poll() for process in daemons] == [None] * 3
    slurm.stop()
    assert None not in [process.poll() for process in daemons]
    assert not slurm_cluster.CONFIG.exists()
