"""Shows a training while it runs: a line per epoch, and those logs of Keras that the settings ask for."""

import time
from datetime import datetime, timedelta

import keras

from catscans_lib.training import Training
from catscans_lib.training.checkpoints import State


def callbacks(settings: Training, state: State, n_images: int, epochs: int) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show a training of `n_images` for at most `epochs`.

    Their files lie in one folder for all trainings of a run. Those of `settings.logs` are named after the training; a killed
    training that is continued writes the epochs after its last checkpoint again.
    """
    folder, name = state.log.parent, state.path.stem
    folder.mkdir(parents=True, exist_ok=True)
    made: list[keras.callbacks.Callback] = [EpochLine(state, n_images, epochs)]
    if "csv" in settings.logs:
        made.append(keras.callbacks.CSVLogger(folder / f"{name}.csv", append=True))
    if "tensorboard" in settings.logs:
        made.append(keras.callbacks.TensorBoard(folder / name, write_graph=False))
    return made


class EpochLine(keras.callbacks.Callback):
    """Prints a line after every epoch and appends it to the log of the run."""

    def __init__(self, state: State, n_images: int, epochs: int) -> None:
        super().__init__()
        self.state, self.n_images, self.epochs = state, n_images, epochs

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tell loss, AUC of the inner validation images, rate, speed and expected end, if all epochs take as long."""
        seconds = time.monotonic() - self.began
        end = datetime.now() + timedelta(seconds=(self.epochs - epoch - 1) * seconds)
        auc = f", inner AUC {logs['val_auc']:.3f}" if "val_auc" in logs else ""
        line = (
            f"epoch {epoch + 1} of {self.epochs} of {self.state.path.stem}, loss {logs['loss']:.4f}{auc}, "
            f"rate {logs['learning_rate']:.2g}, {self.n_images / seconds:,.0f} images/s, ends by {end:%a %H:%M}"
        )
        print(line, flush=True)
        with self.state.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
