"""What the tests about OSF share: a local OSF that nobody waits for, and small folders of results."""

import json

import numpy as np
import pytest
from osf_server import TOKEN, OsfServer

from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import storage
from catscans_lib.sharing.osf.sync import Sync

PROJECT = "abc12"
RUNS = ("ingest/chest", "transfer/dtd--chest", "evaluate/all")


@pytest.fixture(name="osf")
def local_osf(monkeypatch):
    """A local OSF with one private project, whose token is set; pauses are noted in `osf.pauses`, not made."""
    for name in ("HTTP_PROXY", "http_proxy", "CATSCANS_OSF_URL", "OSF_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(storage.TOKEN, TOKEN)
    monkeypatch.setattr(transfer, "TIMEOUT_S", (5.0, 5.0))
    monkeypatch.setattr(storage, "UPLOAD_TIMEOUT_S", (5.0, 5.0))
    with OsfServer() as server:
        server.pauses = []
        monkeypatch.setattr(transfer, "sleep", server.pauses.append)
        server.add_project(PROJECT)
        yield server


def sync(osf, root, node="demo"):
    return Sync(root, PROJECT, node, osf.url)


def once(fault, where, method, containing=""):
    """Faults of which the first fitting request gets one."""
    left = [fault]
    return lambda *asked: left.pop() if left and asked[:2] == (where, method) and containing in asked[2] else None


def make(root, version=1, runs=RUNS, n_bytes=70_000):
    """Write finished runs with their folds and a table that two runs share; every file names its version."""
    for number, key in enumerate(runs):
        run_id = f"{key.replace('/', '-')}-{version:012d}"
        record = {
            "run_id": run_id,
            "status": "completed",
            "started": f"2026-11-0{version}T00:00:00+00:00",
            "seconds": 1.5,
        }
        write(root, f"{key}/run.json", json.dumps(record))
        write(root, f"{key}/history.csv", f"version,{version}\n")
        write(root, f"{key}/model.keras", np.random.default_rng(100 * version + number).bytes(n_bytes))
        shared = {"ingest": "folds/chest.csv", "evaluate": "tables/aucs.csv"}.get(key.split("/")[0])
        for path in [shared, f"{key}/tables/aucs.csv" if key == "evaluate/all" else shared] if shared else []:
            write(root, path, f"version,{version}\n")
    return root


def write(root, path, content):
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


def shown(root):
    """The bytes of every file that a reader of the folder would find."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    hidden = {name for name in found if any(part.startswith(".") for part in name.split("/"))}
    return {name: path.read_bytes() for name, path in found.items() if name not in hidden}
