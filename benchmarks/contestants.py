"""Processes that `benchmarks/training.py` compares: this library, plain Keras, and the original study's way.

    .venv/bin/python benchmarks/contestants.py WAY FOLDER

reads names of tasks from the standard input and answers each with a number (mostly median seconds).
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from ingest import write_noise
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from catscans_lib.images import store
from catscans_lib.images.decode import decode_files
from catscans_lib.networks import build, features
from catscans_lib.training import Augmentation, backend, loop
from catscans_lib.training.batches import Batches, stream

SIZE_PX, BATCH, STEPS, N_EPOCH_IMAGES = 96, 64, 4, 256
SMALL_PX = 32
AUGMENTATION = Augmentation(rotation_deg=10, shift=0.1, horizontal_flip=True)


def classifier(name: str, size_px: int, ours: bool) -> keras.Model:
    """Return a network of two classes, compiled by the library or by plain Keras."""
    model = build.build(build.backbone(name, size_px), 2, 0.2)
    if ours:
        return loop.compiled(model)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def training_step(ours: bool) -> Callable[[], object]:
    """One step of fine-tuning ResNet50."""
    model = classifier("resnet50", SIZE_PX, ours)
    model.make_train_function()
    images = tf.random.uniform((BATCH, SIZE_PX, SIZE_PX, 3), 0, 255)
    batch = images, tf.cast(tf.range(BATCH) % 2, tf.float32)
    return lambda: float(model.train_function(iter([batch]))["loss"])


def feature_batches(ours: bool) -> Callable[[], object]:
    """Features of four batches of 128."""
    network = build.backbone("resnet50", SIZE_PX)
    images = np.random.default_rng(0).integers(0, 256, (2 * BATCH, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    measure_statistics(network, images.astype("float32"))
    if ours:
        compute, rows = features.inference(network), np.tile(np.arange(2 * BATCH), 4)
        return lambda: features.extract(network, images, rows, lambda: compute)
    return lambda: [network.predict_on_batch(images.astype("float32")) for _ in range(4)]


def measure_statistics(network: keras.Model, images: np.ndarray) -> None:
    """Give batch normalisations the statistics of these images: activations as in a trained network."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(images, training=True)


def product(side: int) -> Callable[[], object]:
    """Multiply two bfloat16 matrices: an upper bound for this machine."""
    one, other = (tf.cast(tf.random.normal((side, side)), tf.bfloat16) for _ in range(2))
    multiply = tf.function(lambda: tf.linalg.matmul(one, other)[0], autograph=False)
    return lambda: multiply().numpy()


class Clock(keras.callbacks.Callback):
    """Records how long each epoch takes."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = time.perf_counter() - self.start


def second_epoch(model: keras.Model, data: object) -> float:
    """Return the seconds of the second of two epochs, without the start-up of a fit."""
    clock = Clock()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
    return clock.seconds


def epoch_from_store(jpegs: Path) -> Callable[[], float]:
    """Prepare an epoch of ResNet50 from JPEGs decoded into a store."""
    model = classifier("resnet50", SIZE_PX, ours=True)
    paths = sorted(jpegs.glob("*.jpg"))[:N_EPOCH_IMAGES]
    labels = np.arange(len(paths)) % 2
    pixels = np.stack([decoded.pixels for decoded in decode_files(paths, SIZE_PX)])
    table = pd.DataFrame({"image_id": [path.stem for path in paths], "label": np.array(["a", "b"])[labels]})
    table = table.assign(group=table["image_id"], split="")
    path = jpegs / "store.h5"
    store.write_arrays(path, pixels, table, ("a", "b"), dataset="chest", size_px=SIZE_PX)
    rows = np.arange(len(paths))
    batches = Batches(store.open_store(path).images, labels, rows, BATCH, augmentation=AUGMENTATION, seed=0)
    return lambda: second_epoch(model, stream(batches))


def epoch_from_files(jpegs: Path) -> Callable[[], float]:
    """Prepare an epoch as in the original study: decode, resize and augment the files every time, in float32."""
    model = classifier("resnet50", SIZE_PX, ours=False)
    paths = sorted(jpegs.glob("*.jpg"))[:N_EPOCH_IMAGES]
    table = pd.DataFrame({"file": [str(path) for path in paths], "label": np.arange(len(paths)) % 2})
    generator = ImageDataGenerator(
        rotation_range=AUGMENTATION.rotation_deg, width_shift_range=AUGMENTATION.shift,
        height_shift_range=AUGMENTATION.shift, horizontal_flip=True,
    )  # fmt: skip
    flow = generator.flow_from_dataframe(
        table, x_col="file", y_col="label", class_mode="raw", target_size=(SIZE_PX, SIZE_PX), batch_size=BATCH
    )
    return lambda: second_epoch(model, flow)


def small_epoch(folder: Path, n_images: int) -> Callable[[], float]:
    """Prepare an epoch of the small network on n small images of a store."""
    path = folder / f"small_{n_images}.h5"
    if not path.is_file():
        write_noise(path, n_images, SMALL_PX)
    model = classifier("small_resnet", SMALL_PX, ours=True)
    batches = Batches(
        store.open_store(path).images, np.arange(n_images) % 2, np.arange(n_images), BATCH,
        augmentation=AUGMENTATION, seed=0,
    )  # fmt: skip
    return lambda: second_epoch(model, stream(batches))


def ready_epoch(n_images: int) -> Callable[[], float]:
    """Prepare an epoch of the small network as long as `small_epoch`, on one batch that is in memory."""
    model = classifier("small_resnet", SMALL_PX, ours=True)
    images = tf.random.uniform((BATCH, SMALL_PX, SMALL_PX, 3), 0, 255)
    batch = tf.data.Dataset.from_tensors((images, tf.cast(tf.range(BATCH) % 2, tf.float32)))
    return lambda: second_epoch(model, batch.repeat(-(-n_images // BATCH)))


def private_memory() -> float:
    """Return the memory of this process in MB, without file mappings where the system can tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        return float(status.read_text().split("RssAnon:")[1].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of_an_epoch(folder: Path, n_images: int) -> float:
    """Return the private memory (MB) at the end of an epoch on n images."""
    small_epoch(folder, n_images)()
    return private_memory()


def work(name: str, way: str, folder: Path) -> Callable[[], object]:
    """Prepare a task."""
    kind, _, number = name.partition(" ")
    return {
        "training": lambda: training_step(way == "ours"),
        "features": lambda: feature_batches(way == "ours"),
        "product": lambda: product(int(number)),
        "epoch": lambda: (epoch_from_store if way == "ours" else epoch_from_files)(folder),
        "small": lambda: small_epoch(folder, int(number)),
        "ready": lambda: ready_epoch(int(number)),
    }[kind]()


def median_seconds(job: Callable[[], object], times: int) -> float:
    """Median wall time of a few calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        job()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Answer requests: the median of several calls after a warm-up, or the second epoch."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    backend.set_threads()
    if way == "ours":
        backend.set_precision("auto")
    keras.utils.set_random_seed(0)
    ready = {}
    print(f"= {tf.__version__}", flush=True)
    for name in map(str.strip, sys.stdin):
        if name.startswith("memory"):
            print(f"= {memory_of_an_epoch(folder, int(name.split()[1]))}", flush=True)
            continue
        is_epoch = name.startswith(("epoch", "small", "ready"))
        if name not in ready:
            ready[name] = work(name, way, folder)
            for _ in range(0 if is_epoch else 3):
                ready[name]()
        seconds = ready[name]() if is_epoch else median_seconds(ready[name], STEPS)
        print(f"= {seconds / 8 if name == 'features' else seconds}", flush=True)  # of 64 images


if __name__ == "__main__":
    main()
