"""200 seeded schedules of faults: a push or pull ends with the same bytes, or with a word on it and is ended by the next."""

import json
import random
import threading
from collections import Counter

import pytest
from osf_fixtures import bytes_of, local_osf, on_osf, place, shown, write  # noqa: F401 - a fixture
from osf_server import Fault

from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import session
from catscans_lib.sharing.osf.pull import pull
from catscans_lib.sharing.osf.push import push

N_IN_BLOCK = 25
RUNS = ("pretrain/dtd", "transfer/dtd--chest")
KINDS = {
    ("api", "GET"): ("reset", "busy", "fails", "cut", "lost"),
    ("files", "GET"): ("reset", "busy", "fails", "cut", "lost"),
    ("files", "PUT"): ("reset", "busy", "fails", "cut", "cut", "lost", "lost", "corrupt"),
    ("storage", "GET"): ("reset", "busy", "fails", "cut", "cut", "cut", "corrupt", "lost"),
}


class Schedule:
    """Which request meets which fault: drawn from the seed, the kind of request and its number."""

    def __init__(self, seed):
        self.seed, self.n, self.lock, self.met = seed, Counter(), threading.Lock(), Counter()
        self.share = random.Random(seed).choice((0.05, 0.15, 0.3, 0.5))
        self.stall_left = seed % 10 == 0

    def __call__(self, where, method, path):
        with self.lock:
            self.n[where, method] += 1
            rng = random.Random(f"{self.seed} {where} {method} {self.n[where, method]}")
            if rng.random() > self.share:
                return None
            kind = rng.choice(KINDS[where, method])
            if self.stall_left and rng.random() < 0.2:
                kind, self.stall_left = "stalls", False
            self.met[kind] += 1
        return Fault(kind, rng.random(), rng.choice((500, 502, 503, 504)), rng.choice((None, 3, 4000)))


def results_of(root, seed, version):
    """Two runs and two tables, some empty, some large; a version says so in every file."""
    rng = random.Random(f"{seed} {version}")
    for run in RUNS:
        write(
            root,
            f"{run}/run.json",
            json.dumps({"run_id": f"{run} {version}", "status": "completed", "version": version}),
        )
        write(root, f"{run}/history.csv", f"version,{version}\n")
        write(root, f"{run}/figures/auc.svg", f"version,{version} " + "x" * rng.randrange(3000))
        write(
            root,
            f"{run}/model.keras",
            f"version,{version} ".encode() + bytes_of(seed + version, rng.randrange(300_000)),
        )
    write(root, "tables/aucs.csv", f"version,{version}\n")
    write(root, "tables/left_out.csv", "")
    return root


def check_whole(root, truths):
    """Every visible file is one that was pushed, whole; every run is all of one version."""
    found = shown(root)
    for run in [*RUNS, "tables/aucs.csv", "tables/left_out.csv"]:
        part = {path: body for path, body in found.items() if path.startswith(run)}
        wanted = [{path: body for path, body in truth.items() if path.startswith(run)} for truth in truths]
        assert not part or part in wanted, f"{run} is there by half"


def tried(command, at, outcomes, **given):
    try:
        command(at, **given)
        outcomes["done"] += 1
    except InputError as error:
        assert "again" in str(error)
        outcomes["told"] += 1


def go_through(osf, folder, seed, outcomes):
    """Push and pull under faults, then without; assert after each what has to hold."""
    node, is_packed = f"demo{seed}", seed % 4 == 3
    root, there = folder / "here", place(osf, folder / "there", node, n_jobs=1 + seed % 3)
    here = place(osf, root, node, n_jobs=1 + seed % 3)
    truths = [shown(results_of(root, seed, 1))]
    if seed % 2:
        push(here, packed=is_packed)
        pull(there)
        truths.append(shown(results_of(root, seed, 2)))
    osf.faults = schedule = Schedule(seed)
    tried(push, here, outcomes, packed=is_packed)
    osf.faults = lambda *asked: None
    witness = place(osf, folder / "witness", node)
    tried_quietly(pull, witness)
    check_whole(witness.root, truths)
    push(here, packed=is_packed)
    if not is_packed:
        assert on_osf(osf, node) == truths[-1]
    osf.faults = schedule
    tried(pull, there, outcomes)
    check_whole(there.root, truths)
    osf.faults = lambda *asked: None
    pull(there)
    assert shown(there.root) == truths[-1]
    assert shown(root) == truths[-1]
    assert not (there.root / ".osf/staging").exists() and not (root / ".osf/staging").exists()
    outcomes.update(schedule.met)


def tried_quietly(command, at):
    """What half a push has left may be refused, never taken."""
    try:
        command(at)
    except InputError as error:
        assert "again" in str(error) or "Nothing to pull" in str(error)


@pytest.mark.parametrize("block", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 8))])
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_there_by_half(osf, tmp_path, monkeypatch, block):
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.5, 0.5))
    monkeypatch.setattr(session, "UPLOAD_TIMEOUT_S", (0.5, 0.5))
    outcomes = Counter()
    for seed in range(block * N_IN_BLOCK, (block + 1) * N_IN_BLOCK):
        go_through(osf, tmp_path / str(seed), seed, outcomes)
    assert (
        min(outcomes[word] for word in ("done", "told", "reset", "busy", "fails", "cut", "lost", "corrupt", "stalls"))
        > 0
    )
