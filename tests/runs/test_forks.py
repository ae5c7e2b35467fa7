"""Runs forked from a server are those of processes of their own, and end with whoever asked for them."""

import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import faulting
import pytest

from catscans_lib.runs import forks

START = "run = in_notebook.start("
KEYS = ("transfer/none--chest", "overlaps/all")


@pytest.mark.parametrize("given", [None, "off", "/no/server/there"])
def test_without_a_server_a_run_is_a_process_of_its_own(monkeypatch, given):
    started = []
    monkeypatch.setattr(os, "execvp", lambda file, words: started.append((file, words)) or sys.exit(0))
    monkeypatch.delenv(forks.VARIABLE, raising=False)
    if given:
        monkeypatch.setenv(forks.VARIABLE, given)
    with pytest.raises(SystemExit):
        forks.main(["run", "ingest/chest"])
    assert started == [("catscans", ["catscans", "run", "ingest/chest"])]


def test_a_request_brings_environment_folder_and_output(tmp_path):
    ours, theirs = socket.socketpair()
    code = (
        f"import os, socket\nfrom catscans_lib.runs import forks\nconnection = socket.socket(fileno={theirs.fileno()})\n"
        "words = forks.receive(connection)['words']\nprint(words, os.environ['A'], os.getcwd(), flush=True)\n"
        "print(forks.receive(connection))"
    )
    with (
        (tmp_path / "out").open("w") as out,
        subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()]),
    ):
        theirs.close()
        given = {"words": ["x" * 300_000], "env": dict(os.environ) | {"A": "b\udcff"}, "cwd": str(tmp_path)}
        forks.send(ours, given, [0, out.fileno(), 2])
        ours.close()
    assert (tmp_path / "out").read_bytes() == f"['{'x' * 300_000}'] b\udcff {tmp_path}\n{{}}\n".encode(
        "utf-8", "surrogateescape"
    )


@pytest.mark.parametrize(("code", "status", "said"), [(None, 0, ""), (3, 3, ""), ("no such run", 1, "no such run\n")])
def test_a_fork_ends_with_the_status_of_its_command(tmp_path, code, status, said):
    ours, theirs = socket.socketpair()
    script = (
        "import pkgutil, socket, sys\nfrom catscans_lib.runs import forks\n"
        f"pkgutil.resolve_name = lambda name: lambda *words: sys.exit({code!r})\n"
        f"sys.exit(forks._run(socket.socket(fileno={theirs.fileno()})))"
    )
    with (
        (tmp_path / "error").open("w") as error,
        subprocess.Popen([sys.executable, "-c", script], pass_fds=[theirs.fileno()]) as process,
    ):
        theirs.close()
        forks.send(ours, {"words": [], "env": dict(os.environ), "cwd": str(tmp_path)}, [0, 1, error.fileno()])
        assert ours.makefile().read() == f"started\n{status}\n"
    assert process.returncode == status
    assert (tmp_path / "error").read_text() == said


def outputs(notebook):
    """Return what the cells of an executed notebook show, without the speed of each epoch.

    Text is joined: a kernel sends what was printed several times a second, and cuts it where it happens to be.
    """
    shown = []
    for cell in json.loads(notebook.read_text())["cells"]:
        printed = {"stdout": "", "stderr": ""}
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                printed[output["name"]] += "".join(output["text"])
            else:
                shown.append(output["data"])
        shown.append({name: re.sub(r".* images/s, .*\n", "", text) for name, text in printed.items()})
    return shown


@pytest.mark.slow
def test_forked_and_started_runs_give_the_same_bytes(tmp_path):
    found = {}
    for way, given in (("forked", {}), ("started", {forks.VARIABLE: "off"})):
        folder = faulting.project(tmp_path / way)
        faulting.catscans(folder, "sweep", *KEYS, check=True, **given)
        place = folder / "results/demo"
        with zipfile.ZipFile(place / "transfer/none--chest/model.keras") as model:
            found[way] = faulting.tables(folder) | {"weights": model.read("model.weights.h5")}
        found[way] |= {key: outputs(place / key / f"{key.split('/')[0]}.ipynb") for key in KEYS}
    assert "transfer/none--chest/predictions.csv" in found["started"]
    assert found["forked"] == found["started"]


@pytest.mark.slow
def test_a_fork_ends_with_who_asked_for_it_and_changed_code_is_started_anew(tmp_path, monkeypatch):
    folder = faulting.project(tmp_path / "project")
    faulting.edit(folder / "notebooks/ingest.ipynb", START, f"__import__('time').sleep(600)\\n{START}")
    for name, value in faulting.environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))  # as Snakemake
    monkeypatch.setenv("OSF_TOKEN", "secret")
    monkeypatch.chdir(folder)

    def kernel():
        return faulting.processes(folder)["kernel"]

    def asked():
        return subprocess.Popen([sys.executable, "-m", "catscans_lib.runs.forks", "run", "ingest/dtd"])

    try:
        with forks.server():
            client = asked()
            faulting.wait_for(lambda folder: kernel(), folder)
            assert kernel()[0].name() == "catscans kernel"
            assert "secret" not in kernel()[0].environ().values()
            client.kill()
            faulting.wait_for(lambda folder: not kernel() and not faulting.processes(folder)["papermill"], folder)
            (folder / "catscans_lib/results.py").touch()
            asked()
            faulting.wait_for(lambda folder: kernel(), folder)
            assert "ipykernel_launcher" in " ".join(kernel()[0].cmdline())
    finally:
        faulting.kill_all(folder)
