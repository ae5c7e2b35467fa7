"""Processes that are killed, and a project with its own copy of the library, which a test may break."""

import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import psutil
import tiny

PATIENCE_S = 1200  # after that, the test fails
IGNORED = shutil.ignore_patterns("__pycache__")


def grid() -> dict:
    """Return the tiny grid with less work."""
    content = tiny.grid()
    content["transfer"]["defaults"]["epochs"] = 1
    content["similarity"]["measures"] = ["logme", "mmd_rbf"]
    content["primary"]["measure"] = "mmd_rbf"
    for step in ("evaluate", "transferability"):
        content[step]["n_draws"] = 100
    return content


def project(folder: Path) -> Path:
    """Make the project with a copy of the library, which its processes use instead of the installed one."""
    shutil.copytree(tiny.ROOT / "catscans_lib", folder / "catscans_lib", ignore=IGNORED)
    tiny.project(folder)
    tiny.write_grid(folder, grid())
    return folder


def environment(folder: Path, **env: str) -> dict[str, str]:
    return tiny.environment(folder, PYTHONPATH=str(folder), **env)


def catscans(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    return tiny.catscans(folder, *arguments, PYTHONPATH=str(folder), **env)


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start the command line in the background; its output goes to `started.log`."""
    with (folder / "started.log").open("a") as log:
        return subprocess.Popen(
            [*tiny.CLI, *arguments], env=environment(folder), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )


def processes(folder: Path) -> dict[str, list[psutil.Process]]:
    """Return the running processes of a project by kind, including orphans."""
    words = {
        "sweep": "catscans_lib.cli.main sweep",
        "snakemake": "-m snakemake",
        "papermill": "catscans run",
        "kernel": "kernel",
    }
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in words}
    for process in psutil.process_iter():
        try:
            command, root = " ".join(process.cmdline()), process.environ().get("CATSCANS_ROOT")
            command = process.name() if process.name().startswith("catscans ") else command  # a fork's is the server's
            is_alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:  # it has ended, or belongs to another user
            continue
        if root == str(folder) and is_alive:
            for kind, word in words.items():
                if word in command and not command.startswith(("/bin/sh", "/bin/bash", "bash", "sh")):
                    found[kind].append(process)
    return found


def killed_at(point: str, code: str) -> None:
    """Run code in another process that kills itself with SIGKILL where it would call the function `point`."""
    module, name = point.rsplit(".", 1)
    kill = f"setattr(importlib.import_module({module!r}), {name!r}, lambda *_, **__: os.kill(os.getpid(), 9))"
    done = subprocess.run([sys.executable, "-c", f"import importlib, os\n{kill}\n{code}"], check=False)
    assert done.returncode == -signal.SIGKILL


def kill(victims: list[psutil.Process]) -> None:
    for process in victims:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def kill_all(folder: Path) -> None:
    """Kill all processes of a project and wait until they are gone."""
    end = time.monotonic() + PATIENCE_S
    while victims := [*chain.from_iterable(processes(folder).values())]:
        kill(victims)
        assert time.monotonic() < end
        time.sleep(0.1)


def wait_for(what, folder: Path) -> None:
    """Wait until `what(folder)` holds."""
    end = time.monotonic() + PATIENCE_S
    while not what(folder):
        assert time.monotonic() < end, (folder / "started.log").read_text()
        time.sleep(0.05)


def wait_for_kernel(folder: Path, sweep: subprocess.Popen) -> None:
    """Wait until a notebook executes or the sweep has ended."""
    wait_for(lambda folder: processes(folder)["kernel"] or sweep.poll() is not None, folder)


def tables(folder: Path) -> dict[str, bytes]:
    """Return every table of a project's results.

    Records, executed notebooks and figures hold times, saved models their date; the predictions of models are in the tables.
    """
    results = folder / "results/demo"
    places = [*results.glob("[!.]*/[!.]*.csv")]  # hidden folders belong to unfinished runs
    for run in [*results.glob("[!.]*/[!.]*/")]:
        places += [] if run.parent.name == "records" else run.rglob("*.csv")
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in places}


def of_run(key: str, content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: table for name, table in content.items() if name.startswith(f"{key}/")}


def copy(folder: Path, to: Path) -> Path:
    """Copy a project with its results and file times."""
    return shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.pyc"))


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that a file must contain."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new))


def set_time(folder: Path, seconds: float) -> None:
    """Set the file times of all results, relative to now."""
    for path in (folder / "results").rglob("*"):
        os.utime(path, (time.time() + seconds,) * 2)
