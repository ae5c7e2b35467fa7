"""How fast do results go to OSF and back, and in how much memory? Prints one table.

    .venv/bin/python benchmarks/osf.py [--files 1000] [--large-mb 1000] [--rounds 3]

OSF is the local one of the tests, in a process of its own, with 127.0.0.1 between: what is measured is what the programs
take themselves, and how many requests they make, not a network. Every way runs in a fresh process. osfclient sends one
request a second; it is measured so on a few files, and with that limit taken off on all of them.
"""

import argparse
import filecmp
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
SMALL_BYTES = 10_000
N_FOLDERS = 10
N_LIMITED = 30  # files that osfclient gets one by one a second; three requests each
N_PROJECTS = 100
FREE = 1e6  # requests a second


def serve(pipe: "multiprocessing.connection.Connection") -> None:
    """Be OSF until the pipe is closed; tell how many requests there were whenever asked."""
    from osf_server import OsfServer

    with OsfServer() as server:
        for number in range(N_PROJECTS):
            server.add_project(f"bench{number}")
        pipe.send(server.url)
        while pipe.recv():
            pipe.send(len(server.asked))
            server.asked.clear()


@contextmanager
def local_osf() -> Iterator[tuple[str, Callable[[], int]]]:
    """Address of a local OSF, and what tells the number of requests since it was asked last."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    url = ours.recv()

    def n_requests() -> int:
        ours.send(True)
        return ours.recv()

    yield url, n_requests
    ours.send(False)
    process.join()


def make_files(root: Path, n: int, n_bytes: int) -> Path:
    """Write n files of noise."""
    rng = np.random.default_rng(0)
    for number in range(n):
        place = root / f"step{number % N_FOLDERS}" / f"{number:04d}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for start in range(0, n_bytes, 2**24):
                file.write(rng.bytes(min(2**24, n_bytes - start)))
    return root


def ours(url: str, root: Path, project: str, what: str, rate: float) -> None:
    """`catscans osf push` or `pull`."""
    from catscans_lib.sharing.osf import pull, push
    from catscans_lib.sharing.osf.place import Place

    command = {"push": push.push, "pull": pull.pull}[what]
    command(Place(root, project, "demo", url, rate=rate))


def osfclient(url: str, root: Path, project: str, what: str, rate: float) -> None:
    """What `osf upload -r` and `osf fetch` do, file by file."""
    import osfclient
    from osfclient.models import session

    if rate == FREE:
        session.time = SimpleNamespace(time=lambda: 0.0, sleep=lambda pause_s: None)
    osf = osfclient.OSF(token=os.environ["OSF_TOKEN"])
    osf.session.base_url = url
    storage = osf.project(project).storage()
    if what == "push":
        for path in sorted(path for path in root.rglob("*.bin")):
            with path.open("rb") as file:
                storage.create_file(f"demo/{path.relative_to(root)}", file)
    else:
        for file in storage.files:
            place = root / file.path.removeprefix("/demo/")
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as to:
                file.write_to(to)


def alone(work: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Wall time (s) and peak memory (MB) of one call in a process of its own."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        return pool.apply(_measured, (work, arguments))
    finally:
        pool.close()  # not stopped, so that it cleans up
        pool.join()


def _measured(work: Callable[..., None], arguments: tuple) -> tuple[float, float]:
    import osfclient  # noqa: F401 - starting Python and reading modules is not what is measured

    from catscans_lib.sharing.osf import pull, push  # noqa: F401

    start = time.perf_counter()
    with Path(os.devnull).open("w") as sys.stderr:
        work(*arguments)
    taken = time.perf_counter() - start
    # not ru_maxrss, which a process inherits from the one that started it
    return taken, int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def compared(folder: Path, files: dict[str, Path], rounds: int) -> list[dict]:
    """Rows for every set of files, way and direction; the ways take turns."""
    small, few, large, tiny = (files[name] for name in ("small", "few", "large", "tiny"))
    ways = [
        ("ours", ours, small, FREE), ("osfclient without its limit", osfclient, small, FREE),
        ("ours, 4 requests/s", ours, few, 4.0), ("osfclient, 1 request/s", osfclient, few, 1.0),
        ("ours", ours, large, FREE), ("osfclient without its limit", osfclient, large, FREE),
        ("ours", ours, tiny, FREE), ("osfclient without its limit", osfclient, tiny, FREE),
    ]  # fmt: skip
    taken: dict[tuple, list] = {}
    with local_osf() as (url, n_requests):
        for turn in range(rounds):
            for number, (name, work, root, rate) in enumerate(ways):
                if rate != FREE and turn:
                    continue
                project, back = f"bench{turn * len(ways) + number}", folder / f"back-{number}-{turn}"
                for what, place in (("push", root), ("pull", back)):
                    seconds, peak = alone(work, url, place, project, what, rate)
                    taken.setdefault((number, name, root, what), []).append((seconds, peak, n_requests()))
                same(root, back)
    return [row(name, root, what, found) for (_, name, root, what), found in taken.items()]


def same(root: Path, back: Path) -> None:
    """Fail if anything came back otherwise; then delete it."""
    for path in sorted(root.rglob("*.bin")):
        place = back / path.relative_to(root)
        assert filecmp.cmp(place, path, shallow=False), path
        place.unlink()


def row(name: str, root: Path, what: str, found: list[tuple[float, float, int]]) -> dict:
    sizes = [path.stat().st_size for path in root.rglob("*.bin")]
    seconds = statistics.median(each[0] for each in found)
    return {
        "files": f"{len(sizes):,} of {sizes[0] / 1e6:,.2f} MB", "what": f"{what}, {name}", "seconds": round(seconds, 2),
        "range": f"{min(each[0] for each in found):.2f}-{max(each[0] for each in found):.2f}",
        "files/s": round(len(sizes) / seconds, 1), "MB/s": round(sum(sizes) / seconds / 1e6, 1),
        "requests": found[-1][2], "peak MB": round(max(each[1] for each in found)),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--large-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    from osf_server import TOKEN

    os.environ |= {"OSF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            "small": make_files(folder / "small", given.files, SMALL_BYTES),
            "few": make_files(folder / "few", N_LIMITED, SMALL_BYTES),
            "large": make_files(folder / "large", 1, given.large_mb * 10**6),
            "tiny": make_files(folder / "tiny", 1, 10**6),
        }
        print(pd.DataFrame(compared(folder, files, given.rounds)).to_string(index=False))
    print(
        f"Medians of {given.rounds} turns (limited ways: one); {multiprocessing.cpu_count()} cores, one process is OSF."
    )


if __name__ == "__main__":
    main()
