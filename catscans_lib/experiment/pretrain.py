"""Pretraining on a source: excludes images and groups of the targets, then trains a network or loads published weights."""

from collections.abc import Collection

import keras
import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.errors import InputError
from catscans_lib.experiment import Pretrain
from catscans_lib.images import findings, folds
from catscans_lib.images.store import ImageStore
from catscans_lib.networks import build, registry, weights
from catscans_lib.training import loop
from catscans_lib.training.checkpoints import Checkpoint


def usable_rows(
    source: ImageStore, targets: dict[str, pd.DataFrame], of_common_origin: Collection[str] = ()
) -> tuple[np.ndarray, pd.DataFrame]:
    """Exclude every source image that shares a group with a target, since transfer holds the target's images out.

    `targets` has, by name, the rows of each target's store that are in its fold table. A source image is excluded if its unit
    (`images.folds`) has an image of a target. For the targets `of_common_origin`, which are parts of the same dataset as the
    source, equal ids and equal groups are the same, too. All targets of a profile share one pretraining. Returns the source's
    rows for training, and a table: target, n_removed (images), n_groups. InputError if a class loses all its images, or groups
    that could be shared are not known.
    """
    kept, counts = np.ones(len(source.table), bool), []
    for target, table in targets.items():
        is_part = target in of_common_origin
        if is_part and not datasets.separable(source.dataset, target):
            raise InputError(
                f"Source '{source.dataset}' and target '{target}' have the same images under different names, which cannot be "
                "found and left out. Leave out source or target."
            )
        for name, images in ((source.dataset, source.table), (target, table)) if is_part else ():
            group = datasets.get(name).group
            if group and (images["group"] == images["image_id"]).any():
                raise InputError(
                    f"Source '{source.dataset}' and target '{target}' are parts of one dataset, and the {group} of images of "
                    f"'{name}' is not known, so both may have images of one {group}. Add the files that tell it, or leave out "
                    "source or target."
                )
        mask = folds.shared(source.table, table, of_common_origin=is_part)
        kept &= ~mask
        counts.append((target, int(mask.sum()), source.table.loc[mask, "group"].nunique()))
    each = findings.each(source.table["label"])
    if lost := sorted(set(each) - set(each[kept[each.index]])):
        why = ", ".join(f"{target} ({n_removed} images)" for target, n_removed, _ in counts if n_removed)
        raise InputError(
            f"Source '{source.dataset}' has no image of class '{lost[0]}' left without the images that share a group with a "
            f"target: {why}. Take another source, or leave these targets out."
        )
    return np.flatnonzero(kept), pd.DataFrame(counts, columns=["target", "n_removed", "n_groups"])


def pretrain(
    source: ImageStore, rows: np.ndarray, settings: Pretrain, checkpoint: Checkpoint
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network from random weights on a source; return it with its learning curves (as in `history.csv`).

    Of several learning rates, the one with the lowest loss on the inner validation images counts; the curves are its own.
    """
    keras.utils.set_random_seed(settings.seed)
    backbone = build.backbone(settings.backbone, settings.size_px)
    model = build.build(backbone, len(source.classes), settings.dropout, multi_label=source.findings is not None)
    model = loop.compiled(model, settings)
    split = source.table, rows, settings.validation_share, settings.seed, source.findings
    train, held_back = loop.validation_split(*split)
    curves, rates = loop.fit_best(
        model, source.images, source.labels, train, held_back, settings, n_classes=len(source.classes), seed=settings.seed,
        states=lambda rate: checkpoint.state(f"pretrain-{rate:g}"),
    )  # fmt: skip
    return model, results.chosen_curves(curves, rates).assign(fold=0, seed=settings.seed, mode="pretrain")


def from_weights(settings: Pretrain) -> tuple[keras.Model, str]:
    """Return a network with published weights (`weights.load_weights`) and their origin.

    Its head is random by the seed and has two classes, as transfer uses the backbone alone. InputError if the weights belong
    to a dataset that a target is a part of: they have seen its images.
    """
    if seen := datasets.parts_of_the_same(settings.source, settings.exclude):
        raise InputError(
            f"Published weights of '{settings.source}' were trained on images of the target '{seen[0]}', a part of the same "
            "dataset. Leave out source or target."
        )
    keras.utils.set_random_seed(settings.seed)
    backbone = build.backbone(settings.backbone, settings.size_px)
    folder = paths.given_dir("CATSCANS_WEIGHTS") if registry.is_file(settings.weights) else None
    origin = weights.load_weights(backbone, settings.backbone, settings.weights, folder)
    return build.build(backbone, 2, settings.dropout), origin
