"""Where a training run stands, epoch by epoch: what it was judged by, what is saved, and how it goes on after a kill."""

from collections.abc import Iterator

import keras
import numpy as np

from catscans_lib.training.checkpoints import State


class LossIsNoNumber(FloatingPointError):
    """Training ended there; `history` holds the values of every epoch by name, and the loss of the last one too."""

    def __init__(self, message: str, history: dict[str, list[float]]) -> None:
        super().__init__(message)
        self.history = history


class Progress(keras.callbacks.Callback):
    """Follows a training run: ends it when the loss is no number or falls no more, keeps the best epoch, saves every epoch."""

    def __init__(self, model: keras.Model, patience: int | None, state: State, seed: int) -> None:
        super().__init__()
        self.patience, self.state = patience, state
        self.history: dict[str, list[float]] = {}
        self.best: list[np.ndarray] = []
        self.epoch, self.best_loss, self.best_epoch, self.has_ended = 0, np.inf, 0, False
        self.variables = _variables(model)
        self.weights = model.weights
        if saved := state.load():
            self._go_on_from(*saved)
        else:
            _reset(model, seed)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Note the epoch, judge it, and save where training stands."""
        if not np.isfinite(logs["loss"]):
            last = f"; the last finite one was {self.history['loss'][-1]:.4g}" if self.history else ""
            raise LossIsNoNumber(
                f"Loss is {logs['loss']} in epoch {epoch + 1} at learning rate {logs['learning_rate']:g}{last}. Lower the rate.",
                self.history | {"loss": [*self.history.get("loss", []), float(logs["loss"])]},
            )
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        self.epoch = epoch + 1
        if self.patience:
            self._judge(logs["val_loss"])
        facts = {name: getattr(self, name) for name in ("epoch", "best_loss", "best_epoch", "has_ended", "history")}
        self.state.save([*map(_value, self.variables), *self.best], facts)

    def _judge(self, loss: float) -> None:
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = float(loss), self.epoch
            self.best = [_value(variable) for variable in self.weights]
        self.has_ended = self.epoch - self.best_epoch >= self.patience
        self.model.stop_training = self.has_ended

    def take_best(self) -> None:
        """Give the model the weights of the best epoch, where one was kept."""
        for variable, value in zip(self.weights, self.best, strict=bool(self.best)):
            variable.assign(value)

    def _go_on_from(self, arrays: list[np.ndarray], facts: dict) -> None:
        n = len(self.variables)
        for variable, value in zip(self.variables, arrays[:n], strict=True):
            variable.assign(value)
        self.best = arrays[n:]
        for name, value in facts.items():
            setattr(self, name, value)


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers, also those of models inside."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All that an epoch changes: weights, optimiser, and where the random numbers of dropout stand."""
    return [*model.weights, *model.optimizer.variables, *_random_states(model)]


def _value(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable.value)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    return [layer.seed_generator.state for layer in _layers(model) if getattr(layer, "seed_generator", None)]


def _reset(model: keras.Model, seed: int) -> None:
    """Set optimiser and dropout to what follows from the seed alone, whatever was trained before."""
    for variable in model.optimizer.variables:
        variable.assign(np.zeros_like(_value(variable)))
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):  # of float16; a scale of 0 would train nothing
        model.optimizer.dynamic_scale.assign(model.optimizer.initial_scale)
    for number, variable in enumerate(_random_states(model)):
        state = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        variable.assign(np.array([state, 0], dtype="uint32"))
