"""What happens at the end of every epoch: metrics, early stopping, the checkpoint."""

import time

import keras
import numpy as np

from catscans_lib.images.findings import vary
from catscans_lib.networks.weights import leaves
from catscans_lib.statistics.metrics import area, averaged
from catscans_lib.training import Training
from catscans_lib.training.checkpoints import State

SMALLEST = 1e-7  # lower bound of a probability in the loss, as in Keras
FACTS = ("epoch", "best_loss", "best_epoch", "has_ended", "history")  # saved with the weights


class NonFiniteLoss(FloatingPointError):
    """The loss became NaN or infinite; `history` has the values of every epoch by name, including that last loss."""

    def __init__(self, message: str, history: dict[str, list[float]]) -> None:
        super().__init__(message)
        self.history = history


class ResumableTraining(keras.callbacks.Callback):
    """Stops training early or at a non-finite loss, keeps the best epoch, and saves the state every `checkpoint_minutes`.

    Starts from the saved state, or else with a fresh optimiser and with dropout seeded by `seed`. Where other learning rates
    follow, the state after the last of `epochs` is saved, too: the best rate's is needed again.
    """

    def __init__(self, model: keras.Model, settings: Training, state: State, *, seed: int, epochs: int) -> None:
        super().__init__()
        self.patience, self.state, self.epochs = settings.patience, state, epochs
        self.every_s, self.saved_at = 60 * settings.checkpoint_minutes, time.monotonic()
        self.keeps_last = bool(settings.other_learning_rates)
        self.history: dict[str, list[float]] = {}
        self.best: list[np.ndarray] = []
        self.epoch, self.best_loss, self.best_epoch, self.has_ended = 0, np.inf, 0, False
        self.weights = model.weights
        self.variables = [*model.weights, *model.optimizer.variables, *_dropout_seeds(model)]  # all an epoch changes
        if saved := state.load():
            arrays, facts = saved
            n = len(self.variables)
            for variable, value in zip(self.variables, arrays[:n], strict=True):
                variable.assign(value)
            self.best = arrays[n:]
            vars(self).update(facts)
            return
        for variable in model.optimizer.variables:  # a fresh optimiser, whatever was trained before
            variable.assign(np.zeros_like(_value(variable)))
        if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):  # a loss scale of 0 trains nothing
            model.optimizer.dynamic_scale.assign(model.optimizer.initial_scale)
        for number, variable in enumerate(_dropout_seeds(model)):
            word = np.random.SeedSequence([seed, number]).generate_state(1)[0]
            variable.assign(np.array([word, 0], dtype="uint32"))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Record the epoch, decide whether to stop, and save the state."""
        if not np.isfinite(logs["loss"]):
            last = f"; the last finite one was {self.history['loss'][-1]:.4g}" if self.history else ""
            raise NonFiniteLoss(
                f"Loss is {logs['loss']} in epoch {epoch + 1} at learning rate {logs['learning_rate']:g}{last}. Lower the rate.",
                self.history | {"loss": [*self.history.get("loss", []), float(logs["loss"])]},
            )
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        self.epoch = epoch + 1
        if self.patience:
            if logs["val_loss"] < self.best_loss:
                self.best_loss, self.best_epoch = float(logs["val_loss"]), self.epoch
                self.best = [_value(variable) for variable in self.weights]
            self.has_ended = self.epoch - self.best_epoch >= self.patience
            self.model.stop_training = self.has_ended
        is_last = self.has_ended or self.epoch == self.epochs
        if time.monotonic() - self.saved_at >= self.every_s or (is_last and self.keeps_last):
            facts = {name: getattr(self, name) for name in FACTS}
            self.state.save([*map(_value, self.variables), *self.best], facts)
            self.saved_at = time.monotonic()

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch, where early stopping kept them."""
        for variable, value in zip(self.weights, self.best, strict=bool(self.best)):
            variable.assign(value)


def _value(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value)


def _dropout_seeds(model: keras.Model) -> list[keras.Variable]:
    return [layer.seed_generator.state for layer in leaves(model) if getattr(layer, "seed_generator", None)]


def watched(labels: np.ndarray, rows: np.ndarray, validation_rows: np.ndarray) -> np.ndarray:
    """Return the validation rows, then as many training rows, evenly over the classes, so that both curves are as smooth."""
    by_class = rows[np.lexsort(np.atleast_2d(labels[rows].T))]
    n = min(len(validation_rows), len(rows))
    return np.concatenate([validation_rows, by_class[np.arange(n) * len(rows) // max(n, 1)]])


def epoch_metrics(labels: np.ndarray, scores: np.ndarray, n_validation: int) -> dict[str, float]:
    """Return val_loss, val_accuracy and val_auc of the first `n_validation` images, and auc of the others, from probabilities."""
    validation = slice(n_validation)
    if labels.ndim == 2:
        right, said = np.where(labels, scores, 1 - scores)[validation], scores > 0.5
    else:
        right, said = scores[np.arange(len(labels)), labels][validation], scores.argmax(axis=1)
    return {
        "val_loss": float(-np.log(np.clip(right, SMALLEST, 1)).mean()),
        "val_accuracy": float((said == labels)[validation].mean()),
        "val_auc": auc(labels[validation], scores[validation]),
        "auc": auc(labels[n_validation:], scores[n_validation:]),
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return `statistics.metrics.auc` of integers or findings, without its checks; NaN for one class or non-finite scores."""
    is_constant = not vary(labels).any() if labels.ndim == 2 else len(np.unique(labels)) < 2
    if is_constant or not np.isfinite(scores).all():
        return float("nan")
    return averaged(area, labels, scores, tuple(range(scores.shape[1])), "weighted")
