"""Pretraining on a source: excludes images of the targets, then trains a network or loads published weights."""

from collections.abc import Collection

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.experiment import Pretrain
from catscans_lib.images.store import ImageStore
from catscans_lib.networks import build, weights
from catscans_lib.training import loop
from catscans_lib.training.checkpoints import Checkpoint


def usable_rows(
    source: ImageStore, targets: dict[str, pd.DataFrame], with_same_ids: Collection[str] = ()
) -> tuple[np.ndarray, pd.DataFrame]:
    """Exclude every source image that a target also contains, since transfer holds it out.

    `targets` has, by name, the rows of each target's store that are in its fold table (columns image_id, sha256). A source
    image is excluded if its file is equal, or its id, for the targets `with_same_ids`, which are declared to be parts of the
    same dataset as the source. Returns the source's rows for training, and a table with columns target, n_removed.
    """
    ids, hashes = source.table["image_id"], source.table["sha256"]
    removed = {
        target: hashes.isin(table["sha256"]) | (ids.isin(table["image_id"]) & (target in with_same_ids))
        for target, table in targets.items()
    }
    overlap = np.logical_or.reduce([*removed.values(), np.zeros(len(hashes), bool)])
    counts = [(target, int(mask.sum())) for target, mask in removed.items()]
    return np.flatnonzero(~overlap), pd.DataFrame(counts, columns=["target", "n_removed"])


def pretrain(
    source: ImageStore, rows: np.ndarray, settings: Pretrain, checkpoint: Checkpoint
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network from random weights on a source; return it with its learning curves (as in `history.csv`).

    Of several learning rates, the one with the lowest loss on the inner validation images counts; the curves are its own.
    """
    keras.utils.set_random_seed(settings.seed)
    backbone = build.backbone(settings.backbone, settings.size_px)
    model = build.build(backbone, len(source.classes), settings.dropout)
    model = loop.compiled(model, settings.optimiser, settings.weight_decay)
    labels = source.table["label"].map({name: number for number, name in enumerate(source.classes)}).to_numpy()
    train, held_back = loop.validation_split(source.table, rows, settings.validation_share, settings.seed)
    curves, rates = loop.fit_best(
        model, source.images, labels, train, held_back, settings, n_classes=len(source.classes), seed=settings.seed,
        states=lambda rate: checkpoint.state(f"pretrain-{rate:g}"),
    )  # fmt: skip
    return model, results.chosen_curves(curves, rates).assign(fold=0, seed=settings.seed, mode="pretrain")


def from_weights(settings: Pretrain) -> tuple[keras.Model, str]:
    """Return a network with the weights of a file (or Keras's own) and their origin.

    Its head is random and has two classes, as transfer uses the backbone alone.
    """
    backbone = build.backbone(settings.backbone, settings.size_px)
    folder = None if settings.weights == "keras" else paths.weights_dir()
    origin = weights.load_weights(backbone, settings.backbone, settings.weights, folder)
    return build.build(backbone, 2, settings.dropout), origin
