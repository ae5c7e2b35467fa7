"""Training a classifier: optimisers, schedules, the fit loop that can be killed and goes on, and its history."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from catscans_lib.errors import InputError
from catscans_lib.training import backend, epoch_metrics
from catscans_lib.training.batches import Batches, stream
from catscans_lib.training.checkpoints import State
from catscans_lib.training.kernels import speed_up
from catscans_lib.training.resume import LossIsNoNumber, Progress
from catscans_lib.training.settings import Training

PREDICT_BATCH = 128
MOMENTUM = 0.9  # of SGD


def learning_rate(settings: Training, epoch: int, *, epochs: int, start: float) -> float:
    """Return the rate of an epoch (counted from 0).

    It rises in equal steps over `warmup_epochs`; then it is constant, halved every epoch after 20, or half a cosine to 0 over
    the epochs that are left.
    """
    warmup = settings.warmup_epochs
    if epoch < warmup:
        return start * (epoch + 1) / (warmup + 1)
    if settings.schedule == "halve_after_20":
        return start * 0.5 ** max(0, epoch - 19)
    if settings.schedule == "cosine":
        return start * 0.5 * (1 + np.cos(np.pi * (epoch - warmup) / (epochs - warmup)))
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


def compiled(model: keras.Model, optimiser: str = "adam", weight_decay: float = 0.0) -> keras.Model:
    """Return the model ready to train; `fit` may then be called many times without tracing the graph again.

    What is frozen has to be frozen before.
    """
    binary = model.output_shape[-1] == 1
    model.compile(
        optimizer=_optimiser(optimiser, weight_decay),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        weighted_metrics=[],
        metrics=[
            keras.metrics.BinaryAccuracy("accuracy") if binary else keras.metrics.SparseCategoricalAccuracy("accuracy")
        ],
        jit_compile=keras.backend.backend() == "jax" and backend.has_gpu(),  # on CPUs XLA halves the rate, hides NaN
    )
    model.optimizer.build(model.trainable_variables)
    speed_up(model)
    return model


def _optimiser(name: str, weight_decay: float) -> keras.optimizers.Optimizer:
    if name == "sgd":
        return keras.optimizers.SGD(momentum=MOMENTUM)
    if name == "adam":
        return keras.optimizers.Adam()
    optimiser = keras.optimizers.AdamW(weight_decay=weight_decay)
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser


def freeze(backbone: keras.Model, train_from: str | None, batch_norm: str) -> None:
    """Let only the layers from `train_from` on learn (None: all), and batch normalisation measure images or not.

    Parameters
    ----------
    batch_norm : str
        "train", or "frozen": all such layers keep the means and scales they have.

    Raises
    ------
    InputError
        If there is no such layer; lists those with weights.
    """
    known = [layer.name for layer in backbone.layers if layer.weights]
    names = [layer.name for layer in backbone.layers]
    if train_from is not None and train_from not in names:
        raise InputError(f"No layer '{train_from}' to train from; the network has: {', '.join(known)}.")
    first = names.index(train_from) if train_from else 0
    for number, layer in enumerate(backbone.layers):
        is_frozen = isinstance(layer, keras.layers.BatchNormalization) and batch_norm == "frozen"
        layer.trainable = number >= first and not is_frozen


def fit(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray, settings: Training,
    *, n_classes: int, seed: int, state: State, epochs: int | None = None, start_rate: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train a compiled model in place, from a fresh optimiser; from its last whole epoch where `state` holds one.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)
        Usually a memory map; only the rows asked for are read.
    labels : numpy.ndarray of int, shape (n_images,)
    rows, validation_rows : numpy.ndarray of int
        What to train on, and what the curves are measured on and early stopping follows.
    state : State
        Saved after every epoch.

    Returns
    -------
    pandas.DataFrame
        Columns epoch (from 1), split (train or validation), metric (loss, accuracy or auc), value. Training loss and accuracy
        are means over the batches of the epoch, as they were trained on: augmented, with dropout, the loss with class weights,
        by a network that changes meanwhile. All else is measured at the epoch's end, on images as they are: loss, accuracy and
        AUC of the inner validation images, and the AUC of as many training images (`monitoring.watched`). The AUC is exact,
        weighted one-vs-rest; NaN where one class occurs. Without inner validation images there is no AUC.

    Raises
    ------
    LossIsNoNumber
        If the loss stops being a number; names the epoch, the rate and the last loss that was one.
    """
    epochs, start_rate = epochs or settings.epochs, start_rate or settings.learning_rate
    progress = Progress(model, settings.patience, state, seed)
    weights = class_weights(labels[rows], n_classes) if settings.class_weights == "balanced" else None
    batches = Batches(
        images, labels, rows, settings.batch_size, weights=weights, augmentation=settings.augmentation, seed=seed
    )
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start(epoch))
    rate = keras.callbacks.LearningRateScheduler(
        lambda epoch: learning_rate(settings, epoch, epochs=epochs, start=start_rate)
    )
    measured = [_measured(model, images, labels, rows, validation_rows)] if len(validation_rows) else []
    if not progress.has_ended and progress.epoch < epochs:
        model.fit(
            stream(batches), initial_epoch=progress.epoch, epochs=epochs, shuffle=False, verbose=0,
            callbacks=[order, rate, *measured, progress],
        )  # fmt: skip
    progress.take_best()
    return _tidy(progress.history)


def _measured(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray
) -> keras.callbacks.Callback:
    """Add to each epoch's logs what is measured at its end; batch by batch, which for few images is faster than `predict`."""
    watched = epoch_metrics.watched(labels, rows, validation_rows)
    batches = Batches(images, labels, watched, PREDICT_BATCH)

    def measure(epoch: int, logs: dict) -> None:
        outputs = np.concatenate([model.predict_on_batch(batches[number][0]) for number in range(len(batches))])
        logs.update(epoch_metrics.measures(labels[watched], probabilities(outputs), len(validation_rows)))

    return keras.callbacks.LambdaCallback(on_epoch_end=measure)


def fit_best(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray, settings: Training,
    *, n_classes: int, seed: int, states: Callable[[float], State], epochs: int | None = None, start_rate: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Train with every listed rate from the model's weights as they are; leave the model as the best one left it.

    The best has the lowest loss on the inner validation images (in its best epoch, where `patience` is set; else in the
    last). Where several are listed, one whose loss stops being a number is passed over.

    Parameters
    ----------
    states : callable
        The state of a rate.

    Returns
    -------
    curves, rates : pandas.DataFrame
        The curves of all rates as `fit` returns them, with a column learning_rate; one whose loss stopped being a number ends
        with that epoch's training loss. And learning_rate, validation_loss (NaN: none), chosen of all.
    """
    start = model.get_weights()
    rates = list(dict.fromkeys([start_rate or settings.learning_rate, *settings.other_learning_rates]))

    def trained(rate: float) -> pd.DataFrame:
        model.set_weights(start)
        return fit(
            model, images, labels, rows, validation_rows, settings, n_classes=n_classes, seed=seed, state=states(rate),
            epochs=epochs, start_rate=rate,
        )  # fmt: skip

    if len(rates) == 1:
        curve = trained(rates[0])
        return _curves(rates, [curve]), _rates(rates, [_validation_loss(curve, settings.patience)], 0)
    curves, losses = [], []
    for rate in rates:
        try:
            curves.append(trained(rate))
            losses.append(_validation_loss(curves[-1], settings.patience))
        except LossIsNoNumber as error:
            print(f"Learning rate {rate:g} is passed over. {error}")
            curves.append(_tidy(error.history))
            losses.append(np.nan)
    if np.isnan(losses).all():
        raise FloatingPointError(
            f"None of the learning rates {', '.join(f'{rate:g}' for rate in rates)} trains. List lower ones."
        )
    best = int(np.nanargmin(losses))
    trained(rates[best])  # out of its last state: nothing is trained again
    return _curves(rates, curves), _rates(rates, losses, best)


def chosen(rates: pd.DataFrame) -> float:
    """Return the learning rate that was chosen of a table as `fit_best` returns it."""
    return float(rates.loc[rates["chosen"], "learning_rate"].iloc[0])


def _curves(rates: list[float], curves: list[pd.DataFrame]) -> pd.DataFrame:
    parts = [curve.assign(learning_rate=rate) for rate, curve in zip(rates, curves, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _rates(rates: list[float], losses: list[float], best: int) -> pd.DataFrame:
    table = pd.DataFrame({"learning_rate": rates, "validation_loss": losses})
    return table.assign(chosen=table.index == best)


def _validation_loss(curve: pd.DataFrame, patience: int | None) -> float:
    """Loss on the inner validation images of the epoch whose weights were kept; NaN where there are no such images."""
    losses = curve.loc[(curve["split"] == "validation") & (curve["metric"] == "loss"), "value"]
    if losses.empty:
        return np.nan
    return float(losses.min() if patience else losses.iloc[-1])


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
    return model.predict(stream(batches), verbose=0).astype("float32")


def probabilities(output: np.ndarray) -> np.ndarray:
    """Return one column per class, shape (n, n_classes): a sigmoid unit is the probability of the second class."""
    output = output.astype("float64")
    if output.shape[1] == 1:
        return np.hstack([1 - output, output])
    return output / output.sum(axis=1, keepdims=True)
