"""Speed and memory of ingest. Prints one table.

    .venv/bin/python benchmarks/ingest.py [--images FOLDER] [--patches 100000] [--repeats 5]

Measures on files that it generates: JPEGs of 1328 x 970 (the size of the chest X-rays; from the images in FOLDER if given,
else from coarse noise), and a PCam file of the real shape. Compared methods take turns.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from catscans_lib.images import store
from catscans_lib.images.decode import decode_files

SIZE_PX = 112
PATCH_PX = 96
BATCH = 128
MANY = 20  # repeats of the files for worker processes, which take a second to start


def plain(paths: list[Path]) -> None:
    """Plain Pillow: open, convert, resize."""
    for path in paths:
        np.asarray(Image.open(path).convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR))


def ours(paths: list[Path], n_processes: int = 1) -> None:
    """As the image store: DCT scaling, SHA-256, every mode, damaged files."""
    for decoded in decode_files(paths, SIZE_PX, n_processes):
        assert decoded.pixels is not None, decoded.problem


def make_jpegs(folder: Path, images: Path | None, n: int) -> list[Path]:
    """Write n JPEGs of 1328 x 970, quality 90."""
    found = sorted(images.rglob("*.jp*g"))[:n] if images else []
    rng = np.random.default_rng(0)
    paths = []
    for number in range(n):
        noise = Image.fromarray(rng.integers(0, 256, (97, 133, 3), dtype=np.uint8))
        picture = Image.open(found[number % len(found)]).convert("RGB") if found else noise
        paths.append(folder / f"{number:04d}.jpg")
        picture.resize((1328, 970), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def write_noise(path: Path, n_images: int, size_px: int) -> None:
    """Store images of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (n_images, size_px, size_px, 3), np.uint8)
    names = [f"{number:06d}" for number in range(n_images)]
    table = pd.DataFrame({"image_id": names, "group": names, "label": "a", "split": ""})
    store.write_arrays(path, pixels, table, ("a", "b"), dataset="chest", size_px=size_px)


def make_pcam(folder: Path, n: int) -> None:
    """Write the training split of PCam with n patches, and two patches in the other splits."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, size in (("train", n), ("valid", 2), ("test", 2)):
        stem = folder / f"camelyonpatch_level_2_split_{split}"
        with h5py.File(f"{stem}_x.h5", "w") as file:
            images = file.create_dataset("x", (size, PATCH_PX, PATCH_PX, 3), np.uint8)
            for start in range(0, size, 4096):
                images[start : start + 4096] = rng.integers(0, 256, images[start : start + 4096].shape, np.uint8)
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file["y"] = (np.arange(size) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
        pd.DataFrame({"wsi": [f"{split}_{row // 1000}" for row in range(size)]}).to_csv(f"{stem}_meta.csv")


def ingest_pcam(data_dir: Path, path: Path) -> None:
    """List and store every patch."""
    from catscans_lib.datasets import pcam

    listing = pcam.read_all(data_dir / "pcam", data_dir)
    store.write(path, listing, dataset="pcam_middle", size_px=PATCH_PX)


def read_batches(path: Path, n_batches: int) -> None:
    """Random batches from a store, as training reads them."""
    images = store.open_store(path).images
    rng = np.random.default_rng(0)
    for _ in range(n_batches):
        images[np.sort(rng.choice(len(images), BATCH, replace=False))].astype("float32")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alone(work: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Wall time (s) and peak memory (MB) of one call in a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, arguments))


def _measured(work: Callable[..., object], arguments: tuple) -> tuple[float, float]:
    taken = seconds(lambda: work(*arguments))
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--jpegs", type=int, default=200)
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        jpegs = make_jpegs(Path(folder), given.images, given.jpegs)
        ways = {"plain Pillow": lambda: plain(jpegs), "store, 1 process": lambda: ours(jpegs)}
        ways["store, 2 processes"] = lambda: ours(jpegs * MANY, 2)
        taken = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, work in ways.items():
                taken[name].append(seconds(work))
        for name, times in taken.items():
            n = len(jpegs) * (MANY if "2" in name else 1)
            rows.append((f"JPEG 1328 x 970 to {SIZE_PX} px, {name}", n / statistics.median(times), "images/s"))
        rows.append(("ratio, one process", rows[1][1] / rows[0][1], "x"))
        for share in (4, 1):
            n, data_dir = given.patches // share, Path(folder) / f"data{share}"
            data_dir.mkdir()
            make_pcam(data_dir / "pcam", n)
            took, peak = alone(ingest_pcam, data_dir, data_dir / "store.h5")
            rows.append((f"PCam h5, {n:,} patches", n / took, "patches/s"))
            rows.append((f"PCam h5, {n:,} patches, peak memory", peak, "MB"))
        took, _ = alone(read_batches, data_dir / "store.h5", 200)
        rows.append((f"random batches of {BATCH} at {PATCH_PX} px", 200 * BATCH / took, "images/s"))
        copy = seconds(lambda: (data_dir / "copy").write_bytes((data_dir / "store.h5").read_bytes()))
        rows.append(("copy of the store's file", n / copy, "patches/s"))
    print(pd.DataFrame(rows, columns=["what", "value", "unit"]).round(1).to_string(index=False))
    print(f"Medians of {given.repeats} repeats; {multiprocessing.cpu_count()} cores.")


if __name__ == "__main__":
    main()
