"""Shows a training while it runs: a line per epoch, and those logs of Keras that the settings ask for."""

import time
from datetime import datetime, timedelta

import keras

from catscans_lib.training import EPOCHS_LOG, Training
from catscans_lib.training.checkpoints import State


def callbacks(settings: Training, state: State, n_images: int, epochs: int) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show a training of `n_images` for at most `epochs`: a line per epoch, and `settings.logs`."""
    log, name, began = state.path.parent / EPOCHS_LOG, state.path.stem, []
    log.parent.mkdir(parents=True, exist_ok=True)

    def tell(epoch: int, logs: dict) -> None:
        seconds = time.monotonic() - began[-1]
        end = datetime.now() + timedelta(seconds=(epochs - epoch - 1) * seconds)
        auc = f", inner AUC {logs['val_auc']:.3f}" if "val_auc" in logs else ""
        line = (
            f"epoch {epoch + 1} of {epochs} of {name}, loss {logs['loss']:.4f}{auc}, "
            f"rate {logs['learning_rate']:.2g}, {n_images / seconds:,.0f} images/s, ends by {end:%a %H:%M}"
        )
        print(line, flush=True)
        with log.open("a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")

    made = [keras.callbacks.LambdaCallback(lambda epoch, logs: began.append(time.monotonic()), on_epoch_end=tell)]
    if "csv" in settings.logs:
        made.append(keras.callbacks.CSVLogger(log.with_name(f"{name}.csv"), append=True))
    if "tensorboard" in settings.logs:
        made.append(keras.callbacks.TensorBoard(log.with_name(name), write_graph=False))
    return made
