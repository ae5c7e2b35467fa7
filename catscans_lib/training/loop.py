"""Training a classifier: optimisers, schedules, and a fit loop that resumes after an interruption."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import folds
from catscans_lib.training import Training, augmentation, backend, callbacks, watching
from catscans_lib.training.batches import PREDICT_BATCH, Batches, stream
from catscans_lib.training.callbacks import NonFiniteLoss, ResumableTraining
from catscans_lib.training.checkpoints import State
from catscans_lib.training.kernels import speed_up

STEPS = 8  # training steps in one call of TensorFlow: the same bits, a tenth less time for small networks once traced


def learning_rate(settings: Training, epoch: int, *, epochs: int, start: float) -> float:
    """Return the rate of an epoch, from 0: a linear rise over `warmup_epochs`, then constant, halved after 20, or a cosine."""
    warmup = settings.warmup_epochs
    if epoch < warmup:
        return start * (epoch + 1) / (warmup + 1)
    if settings.schedule == "halve_after_20":
        return start * 0.5 ** max(0, epoch - 19)
    if settings.schedule == "cosine":
        return start * 0.5 * (1 + np.cos(np.pi * (epoch - warmup) / (epochs - warmup)))
    return start


def class_weights(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return `n / (n_classes_present * count)` per class, shape (n_classes,), so that classes weigh the same; absent ones 0."""
    if labels.ndim == 2:  # weights of images without and with each finding, shape (2, n_findings)
        return np.stack([class_weights(column, 2) for column in labels.T.astype(int)], axis=1)
    counts = np.bincount(labels, minlength=n_classes)
    present = np.count_nonzero(counts)
    return np.divide(len(labels), present * counts, out=np.zeros(n_classes), where=counts > 0).astype("float32")


def validation_split(
    table: pd.DataFrame, rows: np.ndarray, share: float, seed: int, has: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows of a table into training rows and about `share` of inner validation rows, by units as the outer folds.

    The table has label, group, sha256; `has` are its findings, where images may have several.
    """
    if share == 0:
        return rows, rows[:0]
    label = table["label"].iloc[rows] if has is None else has[rows]
    is_held_back = folds.part(label, folds.linked(table)[rows], share, seed)
    return rows[~is_held_back], rows[is_held_back]


def compiled(model: keras.Model, settings: Training | None = None) -> keras.Model:
    """Compile the model (None: with Adam) and return it; every later `fit` uses the same traced graph. Freeze layers before."""
    settings = settings or Training.model_construct(optimiser="adam")
    n_outputs, smoothing = model.output_shape[-1], settings.label_smoothing
    if model.layers[-1].activation is keras.activations.sigmoid:
        # over no axis, as each finding of an image has a weight of its own
        loss = keras.losses.BinaryCrossentropy(label_smoothing=smoothing, axis=())
        accuracy = keras.metrics.BinaryAccuracy
    elif one_hot(settings, n_outputs):
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        accuracy = keras.metrics.CategoricalAccuracy
    else:
        loss, accuracy = "sparse_categorical_crossentropy", keras.metrics.SparseCategoricalAccuracy
    model.compile(
        optimizer=_optimiser(settings),
        loss=loss,
        weighted_metrics=[],
        metrics=[accuracy("accuracy")],
        jit_compile=keras.backend.backend() == "jax" and backend.has_gpu(),  # on CPUs XLA halves the rate, hides NaN
        steps_per_execution=STEPS if keras.backend.backend() == "tensorflow" else 1,
    )
    model.optimizer.build(model.trainable_variables)
    speed_up(model)
    augmentation.in_training_step(model, settings.mixup)
    return model


def one_hot(settings: Training, n_classes: int) -> int | None:
    """Return the number of columns of labels that are shares of more than two classes; None if labels are class numbers."""
    return n_classes if n_classes > 2 and (settings.label_smoothing or settings.mixup) else None


def _optimiser(settings: Training) -> keras.optimizers.Optimizer:
    name, momentum = settings.optimiser, settings.momentum
    known = {
        "adam": (keras.optimizers.Adam, {"beta_1": momentum}),
        "adamw": (keras.optimizers.AdamW, {"beta_1": momentum, "weight_decay": settings.weight_decay}),
        "sgd": (keras.optimizers.SGD, {"momentum": momentum}),
    }
    optimiser = known[name][0](**known[name][1], global_clipnorm=settings.clip_norm)
    if name == "adamw":
        optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser


def freeze(backbone: keras.Model, train_from: str | None, batch_norm: str) -> None:
    """Let only layers from `train_from` on learn (None: all; InputError: unknown), batch normalisation unless it is "frozen"."""
    names = [layer.name for layer in backbone.layers]
    if train_from is not None and train_from not in names:
        known = ", ".join(layer.name for layer in backbone.layers if layer.weights)
        raise InputError(f"No layer '{train_from}' to train from; the network has: {known}.")
    first = names.index(train_from) if train_from else 0
    for number, layer in enumerate(backbone.layers):
        is_frozen = isinstance(layer, keras.layers.BatchNormalization) and batch_norm == "frozen"
        layer.trainable = number >= first and not is_frozen


def fit(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray, settings: Training,
    *, n_classes: int, seed: int, state: State, epochs: int | None = None, start_rate: float | None = None,
    keep_source: Sequence[keras.callbacks.Callback] = (), n_per_epoch: int | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train a compiled model in place with a fresh optimiser, or continue after the last epoch that `state` holds.

    `images` are uint8 (n_images, size, size, 3), usually a memory map; only `rows` (training) and `validation_rows` are read.
    `labels` are integers (n_images,) or findings, bool (n_images, n_findings). `keep_source` are callbacks of
    `fine_tuning.keep_source`. `n_per_epoch` as in `Batches`.

    Returns columns epoch (from 1), split (train or validation), metric (loss, accuracy or auc), value. Training loss and
    accuracy are means over the epoch's batches as trained: augmented, with dropout, the loss with class weights. Everything else
    is computed at the end of the epoch on unchanged images: loss, accuracy and AUC of the inner validation images, and the AUC
    of as many training images (`callbacks.watched`). Without inner validation images there is no AUC. NonFiniteLoss if the loss
    becomes NaN or infinite.
    """
    epochs, start_rate = epochs or settings.epochs, start_rate or settings.learning_rate
    training = ResumableTraining(model, settings, state, seed=seed, epochs=epochs)
    weights = class_weights(labels[rows], n_classes) if settings.class_weights == "balanced" else None
    batches = Batches(
        images, labels, rows, settings.batch_size, weights=weights, augmentation=settings.augmentation, seed=seed,
        one_hot=one_hot(settings, n_classes) if labels.ndim == 1 else None, mixup=settings.mixup, n_per_epoch=n_per_epoch,
    )  # fmt: skip
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start(epoch))
    rate = keras.callbacks.LearningRateScheduler(
        lambda epoch: learning_rate(settings, epoch, epochs=epochs, start=start_rate)
    )
    watched = callbacks.watched(labels, rows, validation_rows)
    seen = Batches(images, labels, watched, PREDICT_BATCH)

    def measure(epoch: int, logs: dict) -> None:  # for few images faster than `predict`
        outputs = np.concatenate([model.predict_on_batch(seen[number][0]) for number in range(len(seen))])
        scores = probabilities(outputs, multi_label=labels.ndim == 2)
        logs.update(callbacks.epoch_metrics(labels[watched], scores, len(validation_rows)))

    metrics = [keras.callbacks.LambdaCallback(on_epoch_end=measure)] if len(validation_rows) else []
    if not training.has_ended and training.epoch < epochs:
        shown = watching.callbacks(settings, state, batches.n_per_epoch, epochs)
        called = [order, rate, *keep_source, *metrics, *shown, training]
        span = {"initial_epoch": training.epoch, "epochs": epochs}
        model.fit(stream(batches), **span, shuffle=False, verbose=0, callbacks=called)
    training.restore_best()
    return _tidy(training.history)


def fit_best(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray, settings: Training,
    *, states: Callable[[float], State], **how: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Train with every listed learning rate from the model's present weights; leave the model as the best rate trained it.

    The best rate has the lowest loss on the inner validation images, in its best epoch with `patience`, else in its last.
    Of several rates, those with a non-finite loss are skipped. `states` returns the state of a rate; `how` goes to `fit`.

    Returns the curves of all rates as `fit` does, with a column learning_rate (a rate with a non-finite loss ends with that
    epoch's training loss), and a table with columns learning_rate, validation_loss (NaN if none), chosen.
    """
    start = model.get_weights()
    rates = list(dict.fromkeys([settings.learning_rate, *settings.other_learning_rates]))

    def trained(rate: float) -> pd.DataFrame:
        model.set_weights(start)
        return fit(model, images, labels, rows, validation_rows, settings, state=states(rate), start_rate=rate, **how)

    curves, losses, best = [], [], 0
    for rate in rates:
        try:
            curve = trained(rate)
            loss = curve.loc[(curve["split"] == "validation") & (curve["metric"] == "loss"), "value"]
            losses.append(np.nan if loss.empty else loss.min() if settings.patience else loss.iloc[-1])  # as kept
        except NonFiniteLoss as error:
            if len(rates) == 1:
                raise
            print(f"Learning rate {rate:g} is skipped. {error}")
            curve = _tidy(error.history)
            losses.append(np.nan)
        curves.append(curve.assign(learning_rate=rate))
    if len(rates) > 1:
        if np.isnan(losses).all():
            listed = ", ".join(f"{rate:g}" for rate in rates)
            raise FloatingPointError(f"None of the learning rates {listed} trains. List lower ones.")
        best = int(np.nanargmin(losses))
        trained(rates[best])  # from its saved state: nothing is trained again
    table = pd.DataFrame({"learning_rate": rates, "validation_loss": losses})
    return pd.concat(curves, ignore_index=True), table.assign(chosen=table.index == best)


def _tidy(history: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        (epoch, "validation" if name.startswith("val_") else "train", name.removeprefix("val_"), float(value))
        for name, values in history.items()
        for epoch, value in enumerate(values if name != "learning_rate" else (), start=1)
    ]
    return pd.DataFrame(rows, columns=["epoch", "split", "metric", "value"])


def predict(model: keras.Model, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the model's output for `images[rows]`, shape (n_rows, n_outputs), float32."""
    batches = Batches(images, np.zeros(len(images), int), rows, PREDICT_BATCH)
    return model.predict(stream(batches), verbose=0).astype("float32")


def probabilities(output: np.ndarray, *, multi_label: bool = False) -> np.ndarray:
    """Return one column per class, shape (n, n_classes), float64; a sigmoid unit is the probability of the second class."""
    output = output.astype("float64")
    if multi_label:  # every unit is the probability of its finding
        return output
    if output.shape[1] == 1:
        return np.hstack([1 - output, output])
    return output / output.sum(axis=1, keepdims=True)
