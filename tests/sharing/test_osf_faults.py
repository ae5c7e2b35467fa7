"""200 seeded schedules of faults: a push or pull ends with the same bytes or with a message, and the next one completes it."""

import random
import threading
from collections import Counter

import pytest
from osf_fixtures import local_osf, make, shown, sync  # noqa: F401 - a fixture
from osf_server import Fault

from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import storage

N_SEEDS, N_SLOW_SEEDS = 16, 200
RUNS = ("ingest/chest", "ingest/dtd")
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
        self.may_stall = seed % 20 == 0

    def __call__(self, where, method, path):
        with self.lock:
            self.n[where, method] += 1
            rng = random.Random(f"{self.seed} {where} {method} {self.n[where, method]}")
            if rng.random() > self.share:
                return None
            kind = rng.choice(KINDS[where, method])
            if self.may_stall and rng.random() < 0.2:
                kind, self.may_stall = "stalls", False
            self.met[kind] += 1
        return Fault(kind, rng.random(), rng.choice((500, 502, 503, 504)), rng.choice((None, 3, 4000)))


def check_whole(root, truths):
    """Every run here is one that was pushed, all of one version."""
    for run in RUNS:
        part = {path: body for path, body in shown(root).items() if path.startswith(f"{run}/")}
        pushed = [{path: body for path, body in truth.items() if path.startswith(f"{run}/")} for truth in truths]
        assert not part or part in pushed, f"{run} is half there"


def tried(command, outcomes):
    try:
        command()
        outcomes["done"] += 1
    except InputError as error:
        assert "again" in str(error)
        outcomes["told"] += 1


def go_through(osf, folder, seed, outcomes):
    """Push and pull under faults, then without; assert after each what has to hold."""
    size = random.Random(seed).randrange(60_000)
    here, there, witness = (sync(osf, folder / name, f"demo{seed}") for name in ("here", "there", "witness"))
    truths = [shown(make(here.root, 1, RUNS, size))]
    if seed % 2:
        here.push()
        there.pull()
        truths.append(shown(make(here.root, 2, RUNS, size)))
    osf.faults = schedule = Schedule(seed)
    tried(here.push, outcomes)
    osf.faults = lambda *asked: None
    if any(path.startswith(f"demo{seed}/") for path in osf.files("abc12")):
        tried(witness.pull, Counter())
    check_whole(witness.root, truths)
    here.push()
    osf.faults = schedule
    tried(there.pull, outcomes)
    check_whole(there.root, truths)
    osf.faults = lambda *asked: None
    there.pull()
    assert shown(there.root) == shown(here.root) == truths[-1]
    assert not (there.root / ".osf/staging").exists() and not (here.root / ".osf/staging").exists()
    outcomes.update(schedule.met)


@pytest.mark.parametrize(
    "seeds", [range(N_SEEDS), pytest.param(range(N_SEEDS, N_SLOW_SEEDS), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_half_there(osf, tmp_path, monkeypatch, seeds):
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.5, 0.5))
    monkeypatch.setattr(storage, "UPLOAD_TIMEOUT_S", (0.5, 0.5))
    outcomes = Counter()
    for seed in seeds:
        go_through(osf, tmp_path / str(seed), seed, outcomes)
    words = ("done", "told", "reset", "busy", "fails", "cut", "lost", "corrupt", "stalls")
    assert min(outcomes[word] for word in words) > 0
