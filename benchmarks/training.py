"""Speed of training and feature extraction, compared with plain Keras and PyTorch. Prints one table.

    make peers                                             # once: installs PyTorch in .venv-peers (4 GB)
    .venv/bin/python benchmarks/training.py [--images FOLDER] [--rounds 7] [--only TABLE ...]

Every method is measured in this run, in its own process, and the methods take turns in each round. A value is the median over
the rounds. A ratio is the median of the ratios within a round, so that a slow moment of the machine affects both sides. The JPEGs
have 1328 x 970 pixels, the size of the chest X-rays, and are made from the images in FOLDER or from coarse noise.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from ingest import make_jpegs

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
BATCH, N_EPOCH_IMAGES = 64, 256
GFLOP_PER_IMAGE = 4.5  # forward and backward of ResNet50 at 96 px, a multiplication and an addition counted as two
DISTURBED = []  # tasks that were repeated
SIZES = (1000, 2000, 4000, 8000)
TORCH_TRAINING = ("training, eager", "training, compiled")
TORCH_FEATURES = (
    "features, eager", "features, compiled", "features, compiled, autocast", "features, compiled, batch of 128",
    "features, compiled, two at a time",
)  # fmt: skip


class Way:
    """A process that runs a task on request."""

    def __init__(self, *command: object) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        self.version = self._answer()

    def ask(self, name: str) -> float:
        """Run a task and return its result, mostly seconds."""
        print(name, file=self.process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        for line in self.process.stdout:
            if line.startswith("= "):
                return line[2:].strip()
        raise RuntimeError(
            f"{' '.join(self.process.args[1:3])} ended early. Run this command in a terminal to see its error message."
        )

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def take_turns(works: dict[str, tuple[Way, str]], rounds: int) -> dict[str, list[float]]:
    """Run every task once per round, after one warm-up round; return the values of each."""
    values = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, (way, work) in works.items():
            value = undisturbed(way, work) if number else way.ask(work)
            if number:
                values[name].append(value)
        print(f"  round {number} of {rounds}", file=sys.stderr)
    return values


def undisturbed(way: Way, work: str) -> float:
    """Run a task; repeat it up to 20 times while other programs use more than 3 percent of the machine."""
    process = psutil.Process(way.process.pid)
    for attempt in range(20):
        busy, own, start = busy_seconds(), sum(process.cpu_times()[:2]), time.perf_counter()
        value = way.ask(work)
        others = busy_seconds() - busy - (sum(process.cpu_times()[:2]) - own)
        if others < 0.03 * psutil.cpu_count() * (time.perf_counter() - start):
            return value
        DISTURBED.append(work)
        time.sleep(0.5 * attempt)
    return value


def busy_seconds() -> float:
    """Return the processor time (s) that all programs have used so far, including time taken by the host."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "system", "nice", "irq", "softirq", "steal"))


def row(what: str, values: list[float], unit: str, ratios: list[float] | None = None, target: str = "") -> dict:
    """Return a row of the table: median and range over the rounds of the values and of the ratios."""
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else ""
    return {
        "what": what, "median": f"{statistics.median(values):.4g}", "range": f"{min(values):.4g}-{max(values):.4g}",
        "unit": unit, "speed ratio": ratio, "target": target,
    }  # fmt: skip


def rates(seconds: list[float], n_images: int = BATCH) -> list[float]:
    """Return images per second."""
    return [n_images / one for one in seconds]


def compare(ours: list[float], others: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return by name how many times as fast this library is, in each round."""
    return {name: [it / one for one, it in zip(ours, other, strict=True)] for name, other in others.items()}


def training_rows(seconds: dict[str, list[float]], products: tuple[str, ...]) -> list[dict]:
    """Return the rows of fine-tuning: images per second of every method, and the share of the matrix-product rate."""
    ours, plain = seconds["ours"], seconds["Keras float32"]
    peers = {name: times for name, times in seconds.items() if name.startswith("PyTorch")}
    rows = [row("fine-tuning ResNet50, ours", rates(ours), "images/s")]
    rows.append(row("  Keras float32", rates(plain), "images/s", compare(ours, {"": plain})[""], ">= 2.0"))
    rows += best_of(ours, peers, ">= 1.30")
    best = min(products, key=lambda name: statistics.median(seconds[name]) / int(name.split()[-1]) ** 3)
    side = int(best.split()[-1])
    gflops = [2 * side**3 / 1e9 / one for one in seconds[best]]
    shares = [GFLOP_PER_IMAGE * BATCH / one / rate for one, rate in zip(ours, gflops, strict=True)]
    return [*rows, row(f"  bf16 matrix product, {best}", gflops, "GFLOP/s", shares, ">= 0.75 (share)")]


def best_of(ours: list[float], peers: dict[str, list[float]], target: str) -> list[dict]:
    """Return a row per PyTorch method; the target applies to the fastest."""
    if not peers:
        return [{"what": "  PyTorch: not installed (make peers)", "target": target}]
    ratios, best = compare(ours, peers), min(peers, key=lambda name: statistics.median(peers[name]))
    targets = {best: target}
    return [row(f"  {name}", rates(peers[name]), "images/s", ratios[name], targets.get(name, "")) for name in peers]


class Contestants:
    """The processes that are compared."""

    def __init__(self, folder: Path, images: Path | None, threads: int) -> None:
        self.folder, self.images = folder, images
        self.ours, self.plain = (
            Way(sys.executable, HERE / "contestants.py", name, folder) for name in ("ours", "plain")
        )
        self.torch = Way(PEERS, HERE / "peers" / "pytorch_resnet50.py", threads) if PEERS.is_file() else None
        self.versions = {"TensorFlow": self.ours.version, **({"PyTorch": self.torch.version} if self.torch else {})}

    def both(self, work: str) -> dict[str, tuple[Way, str]]:
        """Return this library's task and the same task in plain Keras."""
        return {"ours": (self.ours, work), "Keras float32": (self.plain, work)}

    def peers(self, works: tuple[str, ...]) -> dict[str, tuple[Way, str]]:
        """Return the PyTorch tasks; empty if PyTorch is not installed."""
        return {f"PyTorch, {name}": (self.torch, name) for name in works if self.torch}

    def close(self) -> None:
        """End all processes."""
        for way in filter(None, (self.ours, self.plain, self.torch)):
            way.close()


def training_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure fine-tuning, and matrix products as the upper limit of the machine."""
    products = {f"in TensorFlow, {side}": (here.ours, f"product {side}") for side in (2048, 4096)}
    products |= {"in PyTorch, 2048": (here.torch, "product")} if here.torch else {}
    works = here.both("training") | here.peers(TORCH_TRAINING) | products
    return training_rows(take_turns(works, rounds), tuple(products))


def features_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure the extraction of features by a frozen network."""
    seconds = take_turns(here.both("features") | here.peers(TORCH_FEATURES), rounds)
    slow = {"": seconds["Keras float32"]}
    peers = {name: times for name, times in seconds.items() if name.startswith("PyTorch")}
    return [
        row("feature extraction ResNet50, ours", rates(seconds["ours"]), "images/s"),
        row("  Keras float32", rates(slow[""]), "images/s", compare(seconds["ours"], slow)[""]),
        *best_of(seconds["ours"], peers, ">= 1.15"),
    ]


def files_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure epochs on image files."""
    make_jpegs(here.folder, here.images, N_EPOCH_IMAGES)
    seconds = take_turns(here.both("epoch"), max(3, rounds // 2))
    ratios = compare(seconds["ours"], {"": seconds["Keras float32"]})[""]
    return [
        row(f"epoch 2 and later, {N_EPOCH_IMAGES} JPEGs, ours", seconds["ours"], "s"),
        row("  ImageDataGenerator, Keras float32", seconds["Keras float32"], "s", ratios, ">= 2.5"),
    ]


def store_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure an epoch whose images are read from the store and augmented, and one on a batch that is ready."""
    size = SIZES[2]
    seconds = take_turns({"store": (here.ours, f"small {size}"), "ready": (here.ours, f"ready {size}")}, rounds)
    ratios = compare(seconds["store"], {"": seconds["ready"]})[""]
    return [
        row(f"epoch of {size:,} images from the store, small network", seconds["store"], "s"),
        row("  batches ready", seconds["ready"], "s", ratios, ">= 0.91"),
    ]


def length_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure epochs with a growing number of images."""
    seconds = take_turns({str(size): (here.ours, f"small {size}") for size in SIZES}, rounds)
    per_image = {size: [one / size for one in seconds[str(size)]] for size in SIZES}
    rows = []
    for size in SIZES:
        ratios = compare(per_image[size], {"": per_image[SIZES[-1]]})[""]
        rows.append(row(f"epoch of {size:,} images, small network", seconds[str(size)], "s", ratios, "0.90 to 1.10"))
    return [*rows, line_row([statistics.median(seconds[str(size)]) for size in SIZES])]


def line_row(seconds: list[float]) -> dict:
    """Return the deviations of the times from a linear fit, in percent."""
    slope, start = np.polyfit(SIZES, seconds, 1, w=1 / np.array(seconds))
    apart = [100 * (one / (start + slope * size) - 1) for one, size in zip(seconds, SIZES, strict=True)]
    return row(f"  deviation from {start:.3f} s + {1e6 * slope:.0f} us per image", apart, "%", target="within 10 %")


def memory_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure private memory after an epoch with a growing number of images, each in a new process."""
    found = {}
    for size in SIZES:
        way = Way(sys.executable, HERE / "contestants.py", "ours", here.folder)
        found[size] = way.ask(f"memory {size}")
        way.close()
    return [
        row(
            f"private memory after an epoch of {size:,} images",
            [megabytes],
            "MB",
            [found[SIZES[0]] / megabytes],
            "flat",
        )
        for size, megabytes in found.items()
    ]


TABLES = {
    "training": training_table, "features": features_table, "files": files_table, "store": store_table,
    "length": length_table, "memory": memory_table,
}  # fmt: skip


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Measure the chosen tables and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES))
    given = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        here, rows = Contestants(Path(folder), given.images, threads), []
        for name in given.only:
            rows += TABLES[name](here, given.rounds)
            print(
                pd.DataFrame(rows).fillna("").to_string(index=False), file=sys.stderr
            )  # kept if the benchmark is interrupted
        here.close()
    print(pd.DataFrame(rows).fillna("").to_string(index=False))
    names = ", ".join(f"{name} {version}" for name, version in here.versions.items())
    print(
        "speed ratio: rate of this library divided by the rate of the row; for matrix products, the share of their rate;"
    )
    print(
        "for epochs, rate per image relative to 8,000 images; for memory, that of 1,000 images divided by that of the row."
    )
    minutes = (time.perf_counter() - start) / 60
    print(f"{given.rounds} rounds, {minutes:.0f} minutes; {processor()}, {threads} cores; {names}.")
    print(f"{len(DISTURBED)} tasks were repeated because other programs were running.")


if __name__ == "__main__":
    main()
