"""Pretraining on a source: what may be used of it, and the network that comes out."""

from collections.abc import Collection

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.experiment.settings import Pretrain
from catscans_lib.images.store import ImageStore
from catscans_lib.networks import build, weights
from catscans_lib.training import learning_curves, loop
from catscans_lib.training.checkpoints import Checkpoint


def usable_rows(
    source: ImageStore, targets: dict[str, pd.DataFrame], with_same_ids: Collection[str] = ()
) -> tuple[np.ndarray, pd.DataFrame]:
    """Leave out every source image that also lies in a target: it would be held out there and seen here.

    Parameters
    ----------
    targets : dict of pandas.DataFrame
        Per target the store's rows that are in its fold table (columns image_id, sha256).
    with_same_ids : collection of str
        Targets that are declared to be parts of the same dataset as the source: an equal id is enough there. In the others
        the file has to be the same.

    Returns
    -------
    rows : numpy.ndarray of int
        Rows of the source that may be trained on.
    counts : pandas.DataFrame
        Columns target, n_removed.
    """
    ids, hashes = source.table["image_id"], source.table["sha256"]
    removed = {
        target: hashes.isin(table["sha256"]) | (ids.isin(table["image_id"]) & (target in with_same_ids))
        for target, table in targets.items()
    }
    overlap = np.logical_or.reduce([*removed.values(), np.zeros(len(hashes), bool)])
    counts = pd.DataFrame(
        [(target, int(mask.sum())) for target, mask in removed.items()], columns=["target", "n_removed"]
    )
    return np.flatnonzero(~overlap), counts


def pretrain(
    source: ImageStore, rows: np.ndarray, settings: Pretrain, checkpoint: Checkpoint
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network from random weights on a source; return it with its history (as `history.csv`).

    With several learning rates the one with the lowest loss on the images held back is taken; the history is its own.
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
    return model, learning_curves.chosen_curves(curves, rates).assign(fold=0, seed=settings.seed, mode="pretrain")


def from_weights(settings: Pretrain) -> tuple[keras.Model, str]:
    """Return a network with the weights of a file (or Keras's own), and where they came from.

    Its head is random and has two classes: the transfer takes only the backbone.
    """
    backbone = build.backbone(settings.backbone, settings.size_px)
    folder = None if settings.weights == "keras" else paths.weights_dir()
    came_from = weights.load_weights(backbone, settings.backbone, settings.weights, folder)
    return build.build(backbone, 2, settings.dropout), came_from
