"""Processes that `benchmarks/training.py` compares: this library, plain Keras, and the original study's way.

    .venv/bin/python benchmarks/contestants.py WAY FOLDER

reads names of tasks from the standard input and answers each with two numbers: mostly median seconds, of wall and processor.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from ingest import write_noise
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from catscans_lib.images import store
from catscans_lib.images.decode import decode_files
from catscans_lib.networks import build, features
from catscans_lib.training import Augmentation, backend, kernels, loop
from catscans_lib.training import batches as batching
from catscans_lib.training.batches import Batches, stream

SIZE_PX, BATCH, STEPS, N_EPOCH_IMAGES = 96, 64, 4, 256
SMALL_PX, SMALL_BATCH, SMALL_STEPS = 32, 32, 20  # as the demo fine-tunes
AUGMENTATION = Augmentation(rotation_deg=10, shift=0.1, horizontal_flip=True)
SIX = Augmentation(
    horizontal_flip=True, vertical_flip=True, quarter_turns=True, brightness=0.1, contrast=0.1, stain=0.05, erasing=0.2
)  # fmt: skip
WITHOUT = {  # what replaces a faster operation of the library by Keras's own
    "fused batch normalisation": {"_fuse_batch_norm": lambda layer: None},
    "filter gradients as products": {"_has_slow_gradient": lambda layer: False},
    "fused Adam": {"_fuse_adam": lambda optimiser: None},
}


def classifier(name: str, size_px: int, ours: bool) -> keras.Model:
    """Return a network of two classes, compiled by the library or by plain Keras."""
    model = build.build(build.backbone(name, size_px), 2, 0.2)
    if ours:
        return loop.compiled(model)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def training_step(ours: bool, name: str = "resnet50") -> Callable[[], object]:
    """One step of fine-tuning ResNet50, or the 20 steps of the small network."""
    small = name == "small_resnet"
    batch, size_px = (SMALL_BATCH, SMALL_PX) if small else (BATCH, SIZE_PX)
    model = classifier(name, size_px, ours)
    model.make_train_function()
    images = tf.random.uniform((batch, size_px, size_px, 3), 0, 255)
    data = images, tf.cast(tf.range(batch) % 2, tf.float32)
    return lambda: [float(model.train_function(iter([data]))["loss"]) for _ in range(SMALL_STEPS if small else 1)]


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute in a number format; afterwards in the one from before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    yield
    keras.config.set_dtype_policy(before)


def step_without(name: str, lever: str) -> Callable[[], object]:
    """The training step in a number format, without one faster operation, or compiled by XLA."""
    if lever in WITHOUT:
        with patch.multiple(kernels, **WITHOUT[lever]):
            return training_step(True, name)
    with precision(lever if "float" in lever else keras.config.dtype_policy().name):
        return training_step(True, name)


def step_costs(name: str) -> tuple[float, float]:
    """Return operations and bytes of a training step, estimated from the shapes of its layers.

    Each convolution multiplies three times (output, gradients of input and of filters), a product and a sum counted as two.
    Numbers read and written, none of them kept in a cache: a convolution 3 times its inputs and outputs, a batch normalisation
    8 times its input (3 forwards, 5 backwards), a ReLU 4 times (1 of them forwards: most are fused), an addition 6 times; Adam 7
    times the weights, in float32.
    """
    small = name == "small_resnet"
    batch, size_px = (SMALL_BATCH, SMALL_PX) if small else (BATCH, SIZE_PX)
    network = build.backbone(name, size_px)
    factor = {keras.layers.BatchNormalization: 8, keras.layers.ReLU: 4, keras.layers.Activation: 4, keras.layers.Add: 6}
    operations, numbers = 0.0, 0.0
    for layer in network.layers:
        n_out = batch * float(np.prod(layer.output.shape[1:]))
        if isinstance(layer, keras.layers.Conv2D):
            operations += 3 * 2 * n_out * float(np.prod(layer.kernel.shape[:3]))
            numbers += 3 * (n_out + batch * float(np.prod(layer.input.shape[1:])))
        numbers += factor.get(type(layer), 0) * n_out
    number_bytes = 2 if "16" in keras.config.dtype_policy().name else 4
    return operations, number_bytes * numbers + 4 * 7 * network.count_params()


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


def product(side: int, number_format: str) -> Callable[[], object]:
    """Multiply two matrices: an upper bound for this machine."""
    one, other = (tf.cast(tf.random.normal((side, side)), number_format) for _ in range(2))
    multiply = tf.function(lambda: tf.linalg.matmul(one, other)[0], autograph=False)
    return lambda: multiply().numpy()


def memory_pass(megabytes: int) -> Callable[[], object]:
    """Read two arrays of this size, in all, and write one, in two threads."""
    arrays = np.ones((3, 2, megabytes * 10**6 // 48))
    pool = ThreadPoolExecutor(2)
    return lambda: list(pool.map(lambda k: np.add(arrays[0, k], arrays[1, k], out=arrays[2, k]), range(2)))


class Clock(keras.callbacks.Callback):
    """Records how long each epoch takes."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.start = clocks()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = clocks() - self.start


def clocks() -> np.ndarray:
    """Return wall time and processor time, seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def second_epoch(model: keras.Model, data: object) -> np.ndarray:
    """Return the seconds (wall, processor) of the second of two epochs, without the start-up of a fit."""
    clock = Clock()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
    return clock.seconds


def epoch_from_store(jpegs: Path) -> Callable[[], np.ndarray]:
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


def epoch_from_files(jpegs: Path) -> Callable[[], np.ndarray]:
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


def small_epoch(
    folder: Path, n_images: int, augmentation: Augmentation = AUGMENTATION, prefetch: int = batching.PREFETCH
) -> Callable[[], np.ndarray]:
    """Prepare an epoch of the small network on n small images of a store."""
    path = folder / f"small_{n_images}.h5"
    if not path.is_file():
        write_noise(path, n_images, SMALL_PX)
    model = classifier("small_resnet", SMALL_PX, ours=True)
    batches = Batches(
        store.open_store(path).images, np.arange(n_images) % 2, np.arange(n_images), BATCH,
        augmentation=augmentation, seed=0,
    )  # fmt: skip
    with patch.object(batching, "PREFETCH", prefetch):
        data = stream(batches)
    return lambda: second_epoch(model, data)


def ready_epoch(n_images: int) -> Callable[[], np.ndarray]:
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
    kind, _, rest = name.partition(" ")
    one, _, other = rest.partition(" ")
    return {
        "training": lambda: training_step(way == "ours"),
        "step": lambda: training_step(way == "ours", one),
        "without": lambda: step_without(one, other),
        "features": lambda: feature_batches(way == "ours"),
        "product": lambda: product(int(one), other),
        "stream": lambda: memory_pass(int(one)),
        "epoch": lambda: (epoch_from_store if way == "ours" else epoch_from_files)(folder),
        "small": lambda: small_epoch(folder, int(one)),
        "six": lambda: small_epoch(folder, int(one), SIX),
        "unread": lambda: small_epoch(folder, int(one), prefetch=0),
        "ready": lambda: ready_epoch(int(one)),
    }[kind]()


def median_seconds(job: Callable[[], object], times: int) -> np.ndarray:
    """Median wall and processor time of a few calls."""
    taken = []
    for _ in range(times):
        start = clocks()
        job()
        taken.append(clocks() - start)
    return np.median(taken, axis=0)


def answer(one: float, other: float) -> None:
    """Print two numbers for `benchmarks/training.py`."""
    print(f"= {one} {other}", flush=True)


def main() -> None:
    """Answer requests: the median of several calls after a warm-up, or the second epoch."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    backend.set_threads()
    if way == "ours":
        backend.set_precision("auto")
    keras.utils.set_random_seed(0)
    ready = {}
    print(f"= {tf.__version__}, {keras.config.dtype_policy().name}", flush=True)
    for name in map(str.strip, sys.stdin):
        if name.startswith("memory"):
            answer(*[memory_of_an_epoch(folder, int(name.split()[1]))] * 2)
            continue
        if name.startswith("costs"):
            answer(*step_costs(name.split()[1]))
            continue
        is_epoch = name.startswith(("epoch", "small ", "six", "unread", "ready"))
        if name not in ready:
            ready[name] = work(name, way, folder)
            for _ in range(0 if is_epoch else 3):
                ready[name]()
        steps = 2 if "resnet50" in name else STEPS  # every step is timed, and rounds alternate
        seconds = ready[name]() if is_epoch else median_seconds(ready[name], steps)
        n = 8 if name == "features" else SMALL_STEPS if "small_resnet" in name else 1  # in batches of 64, in steps
        answer(*seconds / n)


if __name__ == "__main__":
    main()
