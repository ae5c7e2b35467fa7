"""Fine-tuning that keeps what the source taught: rates by block, gradual unfreezing, a penalty on the distance from the source.

A block is all layers of the backbone at one resolution, or a block of a transformer, with what comes before the first as one
more; the head is block 0, the last resolution block 1.
"""

import re

import keras
import numpy as np

from catscans_lib.training import KeepSource


def keep_source(model: keras.Model, settings: KeepSource) -> list[keras.callbacks.Callback]:
    """Change how a compiled model with the source's weights trains, as the settings say; return the callbacks for `fit`."""
    backbone = model.get_layer("backbone")
    found = blocks(backbone)
    known = {id(variable): found[layer.name] for layer in backbone.layers for variable in layer.weights}
    block_of = np.array([known.get(id(variable), 0) for variable in model.trainable_variables])
    for variable, block in zip(model.trainable_variables, block_of, strict=True):
        if settings.l2_sp and "kernel" in variable.name:
            start = keras.ops.convert_to_numpy(variable.value) if block else 0.0
            variable.regularizer = _Distance(settings.l2_sp.alpha if block else settings.l2_sp.beta, start)
    if settings.layer_decay == 1 and not settings.unfreeze_epochs:
        return []
    share = _scale_rates(model, block_of)
    steps = np.arange(block_of.max() + 1)

    def set_shares(epoch: int, logs: dict | None = None) -> None:
        share.assign(settings.layer_decay**steps * (epoch >= steps * settings.unfreeze_epochs))

    return [keras.callbacks.LambdaCallback(on_epoch_begin=set_shares)]


def blocks(backbone: keras.Model) -> dict[str, int]:
    """Return the block of every layer that has weights, counted from 1 at the last one, by name."""
    layers = [layer for layer in backbone.layers if layer.weights]
    if "positions" in (names := [layer.name for layer in layers]):  # a transformer: all its blocks have one resolution
        of = {name: int(re.match(r"block(\d+)", name)[1]) for name in names if name.startswith("block")}
        last = max(of.values())
        return {name: 1 + last - of.get(name, last if name == "norm" else 0) for name in names}
    heights = [layer.output.shape[1] if len(layer.output.shape) == 4 else 1 for layer in layers]
    # a layer that looks at the whole image (squeeze and excitation) belongs to the resolution that follows it
    stages = np.maximum.accumulate(heights[::-1])[::-1]
    order = np.unique(stages)
    return {layer.name: int(np.searchsorted(order, stage)) + 1 for layer, stage in zip(layers, stages, strict=True)}


class _Distance(keras.regularizers.Regularizer):
    """Half the squared distance of a weight from its start, times a strength."""

    def __init__(self, strength: float, start: np.ndarray | float) -> None:
        self.strength, self.start = strength, keras.ops.convert_to_tensor(start, "float32")

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return 0.5 * self.strength * keras.ops.sum(keras.ops.square(x - self.start))


def _scale_rates(model: keras.Model, block_of: np.ndarray) -> keras.Variable:
    """Make the optimiser multiply its learning rate by a share per block; return the shares, a variable of the optimiser."""
    optimiser = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 scales the loss around it
    share = optimiser.add_variable((block_of.max() + 1,), initializer="ones", name="share_of_rate")
    plain, decay = optimiser.update_step, optimiser.weight_decay

    def of(variable: keras.Variable) -> keras.KerasTensor:
        return share[block_of[optimiser._get_variable_index(variable)]]

    def shrink(variables: list[keras.Variable]) -> None:
        for variable in variables if decay else ():
            if optimiser._use_weight_decay(variable):
                variable.assign(variable - variable * (decay * optimiser.learning_rate * of(variable)))

    optimiser._apply_weight_decay = shrink
    optimiser.update_step = lambda gradient, variable, rate: plain(gradient, variable, rate * of(variable))
    return share
