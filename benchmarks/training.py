"""Speed of training and feature extraction, compared with plain Keras and PyTorch. Prints one table.

    make peers                                             # once: installs PyTorch in .venv-peers (4 GB)
    .venv/bin/python benchmarks/training.py [--images FOLDER] [--rounds 7] [--only TABLE ...] [--clock processor]

Every method is measured in this run, in its own process, and the methods take turns in each round. A value is the median over
the rounds. A ratio is the median of the ratios within a round, so that a slow moment of the machine affects both sides. The JPEGs
have 1328 x 970 pixels, the size of the chest X-rays, and are made from the images in FOLDER or from coarse noise. On a busy
machine, use `--clock processor` and one thread (`OMP_NUM_THREADS=1`): waiting threads may use processor time.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cached_property
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
CLOCKS = ("wall", "processor")
NETWORKS = {"resnet50": "ResNet50, 96 px, 64 images", "small_resnet": "small network, 32 px, 32 images"}
LEVERS = ("fused batch normalisation", "filter gradients as products", "fused Adam")
TORCH_TRAINING = ("training, eager", "training, compiled", "training, eager, float32", "training, compiled, float32")
TORCH_FEATURES = (
    "features, eager", "features, compiled", "features, compiled, float32", "features, compiled, autocast",
    "features, compiled, batch of 128",
    "features, compiled, two at a time",
)  # fmt: skip


class Way:
    """A process that runs a task on request."""

    clock = 0  # of the two numbers of an answer, the one that counts: wall or processor time

    def __init__(self, *command: object) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        self.version = self._answer()

    def ask(self, name: str) -> float:
        """Run a task and return its result, mostly seconds."""
        return self.ask_both(name)[self.clock]

    def ask_both(self, name: str) -> list[float]:
        """Run a task and return both numbers of its answer."""
        print(name, file=self.process.stdin, flush=True)
        return [float(number) for number in self._answer().split()]

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
    """Run a task; where wall time counts, up to 20 times while other programs use more than 3 percent of the machine."""
    if way.clock == CLOCKS.index("processor"):
        return way.ask(work)
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
    rows += best_of(ours, peers, ">= 1.20")
    best = min(products, key=lambda name: statistics.median(seconds[name]) / side_of(name) ** 3)
    side = side_of(best)
    gflops = [2 * side**3 / 1e9 / one for one in seconds[best]]
    shares = [GFLOP_PER_IMAGE * BATCH / one / rate for one, rate in zip(ours, gflops, strict=True)]
    return [*rows, row(f"  matrix product, {best}", gflops, "GFLOP/s", shares, ">= 0.75 (share)")]


def side_of(name: str) -> int:
    """Return the side of a matrix product's matrices, by its name."""
    return int(name.split(", ")[1])


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
        self.folder, self.images, self.threads = folder, images, threads

    @cached_property
    def ours(self) -> Way:
        """This library."""
        return Way(sys.executable, HERE / "contestants.py", "ours", self.folder)

    @cached_property
    def plain(self) -> Way:
        """Plain Keras."""
        return Way(sys.executable, HERE / "contestants.py", "plain", self.folder)

    @cached_property
    def torch(self) -> Way | None:
        """PyTorch, if installed."""
        peer = HERE / "peers" / "pytorch_resnet50.py"
        return Way(PEERS, peer, self.threads) if PEERS.is_file() else None

    def started(self) -> dict[str, Way]:
        """Return the processes that a table needed."""
        names = {"ours": "TensorFlow, ours", "plain": "TensorFlow, plain", "torch": "PyTorch"}
        return {title: way for name, title in names.items() if (way := vars(self).get(name))}

    def both(self, work: str) -> dict[str, tuple[Way, str]]:
        """Return this library's task and the same task in plain Keras."""
        return {"ours": (self.ours, work), "Keras float32": (self.plain, work)}

    def peers(self, works: tuple[str, ...]) -> dict[str, tuple[Way, str]]:
        """Return the PyTorch tasks; empty if PyTorch is not installed."""
        return {f"PyTorch, {name}": (self.torch, name) for name in works if self.torch}

    def close(self) -> None:
        """End all processes."""
        for way in self.started().values():
            way.close()


def training_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure fine-tuning, and matrix products as the upper limit of the machine."""
    products = {f"in TensorFlow, 2048, {kind}": (here.ours, f"product 2048 {kind}") for kind in ("bfloat16", "float32")}
    products |= {"in PyTorch, 2048, bfloat16": (here.torch, "product")} if here.torch else {}
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
        *best_of(seconds["ours"], peers, ">= 1.00"),
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
    names = {
        "ready": "epoch of batches that are ready, small network", "small": "  from the store: rotated, shifted, mirrored",
        "unread": "  the same, without prefetching", "six": "  six operations, with stain",
    }  # fmt: skip
    seconds = take_turns({name: (here.ours, f"{name} {size}") for name in names}, rounds)
    ratios = {name: [one / it for one, it in zip(seconds["ready"], seconds[name], strict=True)] for name in names}
    targets = {"small": ">= 0.91", "six": ">= 0.91"}
    return [
        row(f"{what}, {size:,} images", seconds[name], "s", ratios[name], targets.get(name, ""))
        for name, what in names.items()
    ]


def levers_table(here: Contestants, rounds: int) -> list[dict]:
    """Measure a training step with the library's faster operations, without each of them, and in both number formats."""
    rows = []
    for name, title in NETWORKS.items():
        others = (*LEVERS, "mixed_bfloat16", "float32")
        works = {"": (here.ours, f"step {name}")} | {one: (here.ours, f"without {name} {one}") for one in others}
        seconds = take_turns(works, rounds)
        ratios = compare(seconds[""], seconds)
        rows.append(row(f"step, {title}", seconds[""], "s"))
        for one in others:
            what = f"  without {one}" if one in LEVERS else f"  in {one}"
            rows.append(row(what, seconds[one], "s", ratios[one], ">= 1.03" if one in LEVERS else ""))
    return rows


def roofline_table(here: Contestants, rounds: int) -> list[dict]:
    """Divide a training step into the time of its products, of its memory traffic, and the rest.

    The first is its operations at the rate of a large matrix product, the second the numbers that layers and Adam read and write
    at the rate of a sum of two large arrays; neither knows caches. The rest is everything else.
    """
    kind = "bfloat16" if "bfloat16" in here.ours.version else "float32"
    works = {"product": (here.ours, f"product 2048 {kind}"), "stream": (here.ours, "stream 1200")}
    seconds = take_turns(works | {name: (here.ours, f"step {name}") for name in NETWORKS}, rounds)
    rate, bandwidth = (2 * 2048**3 / np.array(seconds["product"]), 1.2e9 / np.array(seconds["stream"]))
    rows = [row(f"matrix product, {kind}", list(rate / 1e9), "GFLOP/s"), row("memory", list(bandwidth / 1e9), "GB/s")]
    for name, title in NETWORKS.items():
        operations, moved = here.ours.ask_both(f"costs {name}")
        step = np.array(seconds[name])
        rows.append(row(f"step, {title}: {operations / 1e9:.3g} GFLOP, {moved / 1e9:.3g} GB", list(1e3 * step), "ms"))
        matrix, memory = operations / rate, moved / bandwidth
        parts = {"products": matrix, "memory": memory, "rest": step - matrix - memory}
        rows += [row(f"  {what}", list(1e3 * part), "ms", list(part / step)) for what, part in parts.items()]
    return rows


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
    "levers": levers_table, "roofline": roofline_table, "training": training_table, "features": features_table,
    "files": files_table, "store": store_table,
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
    parser.add_argument(
        "--networks", choices=NETWORKS, nargs="+", default=list(NETWORKS), help="of levers and roofline"
    )
    parser.add_argument("--clock", choices=CLOCKS, default=CLOCKS[0])
    given = parser.parse_args()
    Way.clock = CLOCKS.index(given.clock)
    for name in set(NETWORKS) - set(given.networks):
        del NETWORKS[name]
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = int(os.environ.get("OMP_NUM_THREADS", threads))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        here, rows = Contestants(Path(folder), given.images, threads), []
        for name in given.only:
            rows += TABLES[name](here, given.rounds)
            print(
                pd.DataFrame(rows).fillna("").to_string(index=False), file=sys.stderr
            )  # kept if the benchmark is interrupted
        versions = {name: way.version for name, way in here.started().items()}
        here.close()
    print(pd.DataFrame(rows).fillna("").to_string(index=False))
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(
        "speed ratio: rate of this library divided by the rate of the row; for matrix products, the share of their rate; of a"
    )
    print("step's parts, the share of its time; of epochs from the store, their rate divided by that of ready batches;")
    print(
        "for epochs, rate per image relative to 8,000 images; for memory, that of 1,000 images divided by that of the row."
    )
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{given.clock} time, {given.rounds} rounds, {minutes:.0f} minutes; {processor()}, {threads} threads; {names}."
    )
    print(f"{len(DISTURBED)} tasks were repeated because other programs were running.")


if __name__ == "__main__":
    main()
