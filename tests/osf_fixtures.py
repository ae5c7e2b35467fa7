"""What the tests about OSF share: a local OSF that nobody waits for, and small folders of results."""

import json

import numpy as np
import pytest
from osf_server import TOKEN, OsfServer

from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import session
from catscans_lib.sharing.osf.place import Place

PROJECT = "abc12"
RUNS = ("pretrain/dtd", "transfer/dtd--chest", "transfer/none--chest")


@pytest.fixture(name="osf")
def local_osf(monkeypatch):
    """A local OSF with one private project, of which the token is set; pauses are noted in `osf.pauses`, not made."""
    for name in ("HTTP_PROXY", "http_proxy", "CATSCANS_OSF_URL", "OSF_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(session.TOKEN, TOKEN)
    monkeypatch.setattr(transfer, "TIMEOUT_S", (5.0, 5.0))
    monkeypatch.setattr(session, "UPLOAD_TIMEOUT_S", (5.0, 5.0))
    with OsfServer() as server:
        server.pauses = []
        monkeypatch.setattr(transfer, "sleep", server.pauses.append)
        server.add_project(PROJECT)
        yield server


def place(osf, root, node="demo", n_jobs=3):
    return Place(root, PROJECT, node, osf.url, n_jobs, 1e6)


def once(fault, where, method, containing=""):
    """Faults of which the first fitting request gets one."""
    left = [fault]
    return lambda *asked: left.pop() if left and asked[:2] == (where, method) and containing in asked[2] else None


def bytes_of(seed, n_bytes):
    return np.random.default_rng(seed).bytes(n_bytes)


def make(root, version=1, runs=RUNS):
    """Write runs and shared tables; every file says of which version it is."""
    for number, run in enumerate(runs):
        write(
            root,
            f"{run}/run.json",
            json.dumps({"run_id": f"{run}-{version}", "status": "completed", "version": version}),
        )
        write(root, f"{run}/history.csv", f"version,{version}\n{run},{number}\n")
        write(root, f"{run}/figures/auc.svg", f"<svg>{version} {run}</svg>")
        write(root, f"{run}/model.keras", bytes_of(100 * version + number, 70_000 + number))
    write(root, "tables/aucs.csv", f"source,version\ndtd,{version}\n")
    write(root, "folds/chest.csv", "")
    return root


def write(root, path, content):
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


def shown(root):
    """The bytes of every file that a reader of the folder would find."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if not any(part.startswith(".") for part in name.split("/"))
    }


def on_osf(osf, node="demo"):
    """The bytes of every file of the copy but its manifest."""
    return {path: body for path, body in osf.files(PROJECT, f"{node}/").items() if path != "osf_manifest.csv"}
