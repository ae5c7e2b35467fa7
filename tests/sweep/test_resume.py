"""A killed run resumes at its last checkpoint and gives the same bytes."""

import resource
import shutil
import subprocess
import sys
import time

import faulting
import psutil
import pytest
import tiny

pytestmark = pytest.mark.slow
KEYS = ("pretrain/dtd", "transfer/dtd--chest")
PATIENCE_S = 1200  # after that, the test fails


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with undisturbed results of one pretraining and one transfer of four epochs."""
    folder = tiny.project(tmp_path_factory.mktemp("project"))
    content = tiny.grid()
    content["pretrain"]["sources"]["dtd"] = {"epochs": 4}
    content["transfer"]["defaults"] |= {"epochs": 4, "other_learning_rates": [1.0e-4]}
    tiny.write_grid(folder, content)
    tiny.catscans(folder, "sweep", *KEYS, check=True)
    return folder


def killed_at(folder, key, states):
    """Start a run, kill it and its kernel once `states(checkpoint)` holds, and return the files of the checkpoint."""
    step, name = key.split("/")
    checkpoint = folder / f"results/demo/{step}/.{name}.checkpoint"
    with subprocess.Popen([*tiny.CLI, "run", key], env=tiny.environment(folder), cwd=folder) as process:
        deadline = time.time() + PATIENCE_S
        while not states(checkpoint):
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.01)
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            child.kill()
    assert not (folder / f"results/demo/{step}/{name}").exists()
    return {path.name for path in checkpoint.glob("*/*")}


def has_epoch(checkpoint):
    return any(checkpoint.glob("*/*.npz"))


def has_fold_and_epoch(checkpoint):
    return any(checkpoint.glob("*/fine_tune-0-1/*.csv")) and any(checkpoint.glob("*/fine_tune-0-2*.npz"))


@pytest.mark.parametrize(("key", "states"), [(KEYS[0], has_epoch), (KEYS[1], has_fold_and_epoch)])
def test_a_killed_run_resumes_and_gives_the_bytes_of_an_undisturbed_one(project, tmp_path, key, states):
    folder = shutil.copytree(project, tmp_path / "project")
    place = folder / "results/demo" / key
    tables = {path.name: path.read_bytes() for path in place.glob("*.csv")}
    assert "history.csv" in tables
    shutil.rmtree(place)
    left = killed_at(folder, key, states)
    result = tiny.catscans(folder, "run", key)
    assert result.returncode == 0, result.stderr
    assert {path.name: path.read_bytes() for path in place.glob("*.csv")} == tables
    assert not place.with_name(f".{place.name}.checkpoint").exists()
    if states is has_fold_and_epoch:  # the finished fold was not trained again
        assert "fine_tune-0-1" in left
        assert "fine_tune, seed 0, fold 1:" not in (place / "transfer.ipynb").read_text()


@pytest.mark.parametrize("n_bytes", [2_000, 300_000])  # no space for the notebook; for the model
def test_a_file_size_limit_is_reported_and_earlier_results_stay(project, tmp_path, n_bytes):
    folder = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(folder / "results/demo/transfer/dtd--chest")
    before = tiny.done(folder)
    result = subprocess.run(
        [*tiny.CLI, "run", KEYS[1]], env=tiny.environment(folder), cwd=folder, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "transfer/dtd--chest failed: " in result.stderr
    assert "Is the disk full, or the folder not writable?" in result.stderr
    assert tiny.done(folder) == before
    result = tiny.catscans(folder, "run", KEYS[1])
    assert result.returncode == 0, result.stderr


def test_results_depend_neither_on_the_number_of_parallel_runs_nor_on_who_starts_them(project, tmp_path):
    before = faulting.tables(project)
    assert {"pretrain/dtd/history.csv", "transfer/dtd--chest/predictions.csv"} <= set(before)
    folder = tiny.project(tmp_path / "other")
    shutil.copy(project / "params/demo.yaml", folder / "params/demo.yaml")
    tiny.catscans(folder, "sweep", "--jobs", "3", check=True)  # other runs execute at the same time
    tables = faulting.tables(folder)
    assert {name: tables[name] for name in before} == before
    words = "-p profile demo -p source dtd -p target chest --log-level ERROR"
    papermill = [sys.executable, "-m", "papermill", folder / "notebooks/transfer.ipynb", tmp_path / "out.ipynb"]
    command = [*papermill, *words.split(), "--cwd", folder]
    subprocess.run(command, env=tiny.environment(folder), check=True, capture_output=True)
    by_hand = folder / "results/demo/scratch/transfer/dtd--chest/predictions.csv"
    assert by_hand.read_bytes() == before["transfer/dtd--chest/predictions.csv"]
