"""Shuffled batches from an image store, with the random numbers of their augmentation."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from catscans_lib.training import Augmentation, augmentation, backend

PREDICT_BATCH = 128
PREFETCH = 2  # batches
THREADS = 2  # four and eight of Keras were no faster


class Batches(keras.utils.PyDataset):
    """Shuffled batches of `images[rows]`, uint8, shape (batch, size, size, 3), with labels and weights.

    With augmentation or mixup, images are a mapping: `image`, and the changes that the training step makes
    (`augmentation.changes`). Order and changes depend on (seed, epoch) and (seed, epoch, row), never on what was drawn before.
    With `n_per_epoch` above the number of rows, an epoch goes through the rows several times, each time with other changes.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, batch_size: int, *, weights: np.ndarray | None = None,
        augmentation: Augmentation | None = None, seed: int | None = None, one_hot: int | None = None,
        mixup: float | None = None, n_per_epoch: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_per_epoch = n_per_epoch or len(rows)
        self.images, self.labels, self.rows, self.batch_size = images, labels, rows, batch_size
        self.weights, self.one_hot, self.mixup = weights, one_hot, mixup
        self.how = augmentation or (Augmentation() if mixup else None)
        self.seed, self.order = seed, rows
        self.start(0)

    def __len__(self) -> int:
        return -(-self.n_per_epoch // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        here = slice(index * self.batch_size, (index + 1) * self.batch_size)
        rows = self.order[here]
        order = np.argsort(rows, kind="stable")  # reads the memory map in the order of the file
        images = np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        images[order] = self.images[rows[order]]
        if self.how:
            changes = augmentation.changes(self.how, self.mixup, self.drawn[self.draw_of[here]], images.shape[1])
            images = {"image": images, **changes}
        codes = self.labels[rows]
        labels = np.eye(self.one_hot, dtype="float32")[codes] if self.one_hot else codes.astype("float32")
        if self.weights is None:
            return images, labels
        return images, labels, np.where(codes, *self.weights[::-1]) if codes.ndim == 2 else self.weights[codes]

    def start(self, epoch: int) -> None:
        """Go to an epoch, counted from 0, and shuffle anew."""
        self.epoch = epoch
        if self.seed is not None:
            rng, n_rounds = np.random.default_rng([self.seed, epoch]), -(-self.n_per_epoch // len(self.rows))
            order = np.concatenate([rng.permutation(self.rows) for _ in range(n_rounds)])
            self.order = order[: self.n_per_epoch]
        is_once = self.n_per_epoch <= len(self.rows)
        self.draw_of = self.order if is_once else np.arange(self.n_per_epoch)
        if self.how:
            self.drawn = augmentation.draws(self.seed, epoch, len(self.images) if is_once else self.n_per_epoch)


class _Prefetched(keras.utils.PyDataset):
    """The same batches; threads prepare the next ones. Keras's own threads returned wrong batches."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches, self.pool, self.pending = batches, ThreadPoolExecutor(THREADS), {}

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple:
        epoch = self.batches.epoch
        self.pending = {key: batch for key, batch in self.pending.items() if key[0] == epoch}
        for number in range(index, min(index + 1 + PREFETCH, len(self))):
            if (epoch, number) not in self.pending:
                self.pending[epoch, number] = self.pool.submit(self.batches.__getitem__, number)
        return self.pending.pop((epoch, index)).result()


def stream(batches: Batches) -> keras.utils.PyDataset | Iterator:
    """Return the batches of the current epoch in the form that Keras reads fastest: prefetched while it computes.

    tf.data's autotuning is off: its thread often misses the end of an epoch and sleeps on for as long as the epoch took.
    """
    if keras.backend.backend() != "tensorflow":
        return _Prefetched(batches) if backend.has_gpu() else batches
    import tensorflow as tf

    specs = keras.tree.map_structure(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), batches[0])
    flat = keras.tree.flatten(specs)

    def read(number: tf.Tensor) -> Any:  # half the overhead of a dataset from a generator
        parts = tf.numpy_function(
            lambda at: keras.tree.flatten(batches[int(at)]), [number], [one.dtype for one in flat]
        )
        shaped = [tf.ensure_shape(part, one.shape) for part, one in zip(parts, flat, strict=True)]
        return keras.tree.pack_sequence_as(specs, shaped)

    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(len(batches)).map(read).prefetch(PREFETCH).with_options(options)
