"""Training speed of ResNet50 on this machine's GPU, compared with PyTorch. Prints one table.

    KERAS_BACKEND=... .venv/bin/python benchmarks/gpu.py [--rounds 5] [--torch PYTHON]

The images have 112 px (with batches of 128, as in `params/paper.yaml`) and 224 px. An epoch is measured twice: on batches that
are already in memory, and as in a run, on images that are read from the store, rotated, shifted and mirrored. PyTorch trains as
in `benchmarks/peers/pytorch_resnet50.py`, on one batch that stays on the GPU. The methods take turns in each round; the values
are medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch's process uses the same GPU

import keras
import numpy as np
import pandas as pd
from ingest import write_noise
from training import Way, row

from catscans_lib.images import store
from catscans_lib.networks import build
from catscans_lib.training import Augmentation, backend, batches, loop

PEER = Path(__file__).resolve().parent / "peers" / "pytorch_resnet50.py"
BATCH, N_IMAGES, SIZES = 128, 4096, (112, 224)
AUGMENTATION = Augmentation(rotation_deg=10, shift=0.1, horizontal_flip=True)
TORCH = ("training, eager", "training, compiled", "features, eager", "features, compiled")


class Ready(keras.utils.PyDataset):
    """A dataset that returns the same batch `n` times."""

    def __init__(self, size_px: int, n: int) -> None:
        super().__init__()
        self.n = n
        images = np.random.default_rng(0).uniform(0, 255, (BATCH, size_px, size_px, 3)).astype("float32")
        self.batch = images, (np.arange(BATCH) % 2).astype("float32")

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple:
        return self.batch


def ours(folder: Path, size_px: int) -> dict[str, Callable[[], int]]:
    """Return this library's tasks by name; each returns the number of images it processed."""
    path = folder / f"{size_px}.h5"
    write_noise(path, N_IMAGES, size_px)
    images, labels, rows = store.open_store(path).images, np.arange(N_IMAGES) % 2, np.arange(N_IMAGES)
    model = loop.compiled(build.build(build.backbone("resnet50", size_px), 2, 0.5))
    ready = Ready(size_px, N_IMAGES // BATCH)

    def drawn() -> batches.Batches:
        return batches.Batches(images, labels, rows, BATCH, augmentation=AUGMENTATION, seed=0)

    def fit(data: object) -> int:
        model.fit(data, epochs=1, shuffle=False, verbose=0)
        return N_IMAGES

    def load() -> int:
        made = drawn()
        return sum(len(made[number][0]) for number in range(len(made)))

    def predict() -> int:
        loop.predict(model, images, rows)
        return N_IMAGES

    return {
        "training, batches ready": lambda: fit(ready),
        "training, from the store": lambda: fit(batches.stream(drawn())),
        "batches alone": load,
        "prediction, from the store": predict,
    }


def rate(job: Callable[[], int]) -> float:
    """Return the images or steps per second of a job, which returns their number."""
    start = time.perf_counter()
    n = job()
    return n / (time.perf_counter() - start)


def table(folder: Path, torch: str | None, size_px: int, rounds: int) -> list[dict]:
    """Measure all rates at one image size."""
    works = ours(folder, size_px)
    jobs = {f"ours: {name}": lambda job=job: rate(job) for name, job in works.items()}
    if torch:
        way = Way(torch, PEER, os.cpu_count(), size_px, BATCH)
        jobs |= {f"PyTorch: {name}": lambda name=name: BATCH / way.ask(name) for name in TORCH}
    found = {name: [] for name in jobs}
    for number in range(rounds + 1):  # the first round is a warm-up
        for name, job in jobs.items():
            value = job()
            if number:
                found[name].append(value)
    base = found["ours: training, from the store"]
    return [
        row(f"{size_px} px, {name}", values, "images/s", [one / it for one, it in zip(base, values, strict=True)])
        for name, values in found.items()
    ]


def device() -> str:
    """Return the name of the GPU and the version of its driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure all methods and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", help="Python interpreter with PyTorch; default: measure this library alone")
    given = parser.parse_args()
    backend.set_deterministic(True)  # as runs do
    if not backend.has_gpu():
        sys.exit(f"Keras on {keras.backend.backend()} finds no GPU. Use benchmarks/training.py to measure the CPU.")
    precision, rows = backend.set_precision("auto"), []
    for size_px in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows += table(Path(folder), given.torch, size_px, given.rounds)
        print(pd.DataFrame(rows).to_string(index=False), file=sys.stderr)  # kept if the benchmark is interrupted
    steps = small_steps()
    print(pd.DataFrame(rows).drop(columns="target").to_string(index=False))
    print(f"Small network of the demo, batches of 16: {steps:.0f} steps/s.")
    print("speed ratio: rate of training from the store divided by the rate of the row.")
    print(f"{device()}; {os.cpu_count()} cores; Keras {keras.__version__} on {keras.backend.backend()}; {precision}.")


def small_steps() -> float:
    """Return the training steps per second of the demo's network."""
    model = loop.compiled(build.build(build.backbone("small_resnet", 32), 2, 0.2))
    pixels = np.random.default_rng(0).integers(0, 256, (1600, 32, 32, 3), np.uint8)
    data = batches.Batches(pixels, np.arange(1600) % 2, np.arange(1600), 16, augmentation=AUGMENTATION, seed=0)

    def epoch() -> int:
        model.fit(batches.stream(data), epochs=1, shuffle=False, verbose=0)
        return len(data)

    return statistics.median([rate(epoch) for _ in range(4)][1:])


if __name__ == "__main__":
    main()
