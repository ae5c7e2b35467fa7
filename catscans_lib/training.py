"""Training a classifier: batches from the image store, augmentation, schedules, the fit loop and its history."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from catscans_lib.execution import fuse_batch_norm
from catscans_lib.settings import Augmentation, Training

PREDICT_BATCH = 128


class Batches(keras.utils.PyDataset):
    """Shuffled, augmented batches of `images[rows]`: float32 in 0..255, shape (batch, size, size, 3).

    Order and augmentation are a function of (seed, epoch, batch), never of what was drawn before.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, batch_size: int, *, weights: np.ndarray | None = None,
        augmentation: Augmentation | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.images, self.labels, self.rows, self.batch_size = images, labels, rows, batch_size
        self.weights, self.augmentation, self.seed, self.epoch = weights, augmentation, seed, 0
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = _read(self.images, rows)
        if self.augmentation:
            images = augment(images, self.augmentation, np.random.default_rng([self.seed, self.epoch, index]))
        labels = self.labels[rows].astype("float32")
        return (images, labels) if self.weights is None else (images, labels, self.weights[self.labels[rows]])

    def on_epoch_end(self) -> None:
        """Shuffle anew for the next epoch."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        shuffled = self.seed is not None
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows) if shuffled else self.rows


def _read(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read rows from a memory map in file order, returned in the order asked for, as float32."""
    order = np.argsort(rows, kind="stable")
    batch = np.empty((len(rows), *images.shape[1:]), "float32")
    batch[order] = images[rows[order]]
    return batch


def augment(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Rotate, shift and mirror each image at random in one bilinear resampling; edges are repeated outwards.

    Parameters
    ----------
    images : numpy.ndarray of float32, shape (n, height, width, channels)

    Returns
    -------
    numpy.ndarray of float32, same shape
    """
    n, height, width, _ = images.shape
    mirrored = how.horizontal_flip & (rng.random(n) < 0.5)
    if not (how.rotation_deg or how.shift):  # nothing to interpolate: 1.4 times as fast in training small networks
        return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    angle = np.deg2rad(rng.uniform(-how.rotation_deg, how.rotation_deg, n))
    shift_x, shift_y = rng.uniform(-how.shift, how.shift, (2, n)) * [[width], [height]]
    mirror = np.where(mirrored, -1.0, 1.0)
    # Output pixel (x, y) is read at centre + R(angle) (p - centre) * (mirror, 1) + shift.
    a, b = np.cos(angle) * mirror, -np.sin(angle)
    d, e = np.sin(angle) * mirror, np.cos(angle)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    c, f = cx - a * cx - b * cy + shift_x, cy - d * cx - e * cy + shift_y
    transforms = np.stack([a, b, c, d, e, f, np.zeros(n), np.zeros(n)], axis=1).astype("float32")
    moved = keras.ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest")
    return keras.ops.convert_to_numpy(moved)


def learning_rate(settings: Training, epoch: int, *, epochs: int, start: float) -> float:
    """Return the rate of an epoch (counted from 0): constant, halved every epoch after 20, or half a cosine to 0."""
    if settings.schedule == "halve_after_20":
        return start * 0.5 ** max(0, epoch - 19)
    if settings.schedule == "cosine":
        return start * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
    return start


def class_weights(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return `n / (n_classes * count)` per class, shape (n_classes,): every class weighs the same; absent ones 0."""
    counts = np.bincount(labels, minlength=n_classes)
    present = np.count_nonzero(counts)
    return np.divide(len(labels), present * counts, out=np.zeros(n_classes), where=counts > 0).astype("float32")


def validation_split(table: pd.DataFrame, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows of a store's table into training and inner validation by whole groups, about `share` held back.

    With `share` 0 the validation rows are empty.
    """
    if share == 0:
        return rows, rows[:0]
    splitter = StratifiedGroupKFold(max(2, round(1 / share)), shuffle=True, random_state=seed)
    here = table.iloc[rows]
    train, held_back = next(splitter.split(here, here["label"], here["group"]))
    return rows[train], rows[held_back]


def compiled(model: keras.Model) -> keras.Model:
    """Return the model ready to train; `fit` may then be called many times without tracing the graph again."""
    binary = model.output_shape[-1] == 1
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        weighted_metrics=[],
        metrics=[
            keras.metrics.BinaryAccuracy("accuracy") if binary else keras.metrics.SparseCategoricalAccuracy("accuracy")
        ],
        jit_compile=False,  # XLA halves the rate on the CPU
    )
    fuse_batch_norm(model)
    return model


def fit(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray, settings: Training,
    *, n_classes: int, seed: int, epochs: int | None = None, start_rate: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train a compiled model in place, from a fresh optimiser state.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)
        Usually a memory map; only the rows asked for are read.
    labels : numpy.ndarray of int, shape (n_images,)
    rows, validation_rows : numpy.ndarray of int
        What to train on, and what only the curves are measured on.

    Returns
    -------
    pandas.DataFrame
        Columns epoch (from 1), split (train or validation), metric (loss or accuracy), value.

    Raises
    ------
    FloatingPointError
        If the loss stops being a number; names the epoch and the rate.
    """
    epochs, start_rate = epochs or settings.epochs, start_rate or settings.learning_rate
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    weights = class_weights(labels[rows], n_classes) if settings.class_weights == "balanced" else None
    batches = Batches(
        images, labels, rows, settings.batch_size, weights=weights, augmentation=settings.augmentation, seed=seed
    )
    held_back = Batches(images, labels, validation_rows, PREDICT_BATCH) if len(validation_rows) else None
    rate = keras.callbacks.LearningRateScheduler(
        lambda epoch: learning_rate(settings, epoch, epochs=epochs, start=start_rate)
    )
    history = model.fit(
        batches, validation_data=held_back, epochs=epochs, shuffle=False, verbose=0, callbacks=[rate, StopAtNaN()]
    ).history
    return _tidy(history)


class StopAtNaN(keras.callbacks.Callback):
    """Ends training with an error once the loss is no number: going on would only save a broken network."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raise FloatingPointError if the epoch's loss is NaN or infinite."""
        if not np.isfinite(logs["loss"]):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            raise FloatingPointError(
                f"Loss is {logs['loss']} in epoch {epoch + 1} at learning rate {rate:g}. Lower the rate."
            )


def _tidy(history: dict[str, Sequence[float]]) -> pd.DataFrame:
    rows = []
    for name, values in history.items():
        split, metric = ("validation", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)
        if metric != "learning_rate":
            rows += [(epoch, split, metric, float(value)) for epoch, value in enumerate(values, start=1)]
    return pd.DataFrame(rows, columns=["epoch", "split", "metric", "value"])


def predict(model: keras.Model, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the model's output for `images[rows]`, shape (n_rows, n_outputs), float32."""
    batches = Batches(images, np.zeros(len(images), int), rows, PREDICT_BATCH)
    return model.predict(batches, verbose=0).astype("float32")


def probabilities(output: np.ndarray) -> np.ndarray:
    """Return one column per class, shape (n, n_classes): a sigmoid unit is the probability of the second class."""
    output = output.astype("float64")
    if output.shape[1] == 1:
        return np.hstack([1 - output, output])
    return output / output.sum(axis=1, keepdims=True)
