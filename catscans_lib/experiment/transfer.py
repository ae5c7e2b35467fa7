"""Transfer of a source to a target: fine-tuning all or some layers, or a linear probe on frozen features.

Every mode predicts each image of the target once, with a network that never saw it: fold by fold, on the saved folds.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from catscans_lib import results
from catscans_lib.errors import InputError
from catscans_lib.experiment import Transfer
from catscans_lib.images import draws, findings
from catscans_lib.images.folds import linked
from catscans_lib.images.store import ImageStore
from catscans_lib.networks import build, features
from catscans_lib.training import fine_tuning, loop
from catscans_lib.training.checkpoints import Checkpoint

PENALTIES = np.logspace(-4, 1, 6)  # candidates for C, the inverse strength of the L2 penalty
NETWORKS = "networks"  # folder of a run, and of its checkpoint
HISTORY = ["fold", "seed", "mode", "learning_rate", "epoch", "split", "metric", "value"]
RATES = ["fold", "seed", "mode", "learning_rate", "validation_loss", "chosen"]
Stores = Mapping[str, ImageStore]  # of external collections, by dataset key


def target_table(store: ImageStore, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the fold table with each image's `row` in the store and its `sha256`."""
    row = folds["image_id"].map(pd.Series(np.arange(len(store.table)), index=store.table["image_id"]))
    return folds.assign(row=row, sha256=store.table["sha256"].to_numpy()[row])


def source_backbone(settings: Transfer, seed: int, weights_path: Path | None) -> keras.Model:
    """Return the network before transfer: with the weights of the source's saved model, or with random ones by `seed`."""
    keras.utils.set_random_seed(seed)
    if weights_path is None:
        return build.backbone(settings.backbone, settings.size_px)
    return build.saved_backbone(weights_path, settings.backbone, settings.size_px)


def all_modes(
    settings: Transfer, weights_path: Path | None, store: ImageStore, target: pd.DataFrame, *, checkpoint: Checkpoint,
    features_dir: Path | None = None, external: Stores = MappingProxyType({}),
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Run every mode once per seed; the last network fine-tuned at the common budget is saved as `saved_model`.

    `weights_path` is the source's saved model (None: random weights), `target` a `target_table`, `checkpoint` has the finished
    folds, which are not repeated, and `features_dir` caches features of frozen networks. The networks of every fold also predict
    all images of `external`, which are never trained on.

    Returns predictions, history (the curves of every learning rate that was tried) and learning_rates (one row per rate: fold,
    seed, mode, learning_rate, validation_loss, chosen), as in the CSV files of those names; with `external`, also the table
    of that name: test, image_id, group, fold (the one left out of training), seed, mode, label (of the test set) and
    score_<class of the target>, without mode fine_tune_long.
    """
    check_findings(store, external)
    parts = []
    for seed in settings.seeds:
        for mode in settings.modes:
            folds = _held_out(target) if mode != "linear_probe" else [0]
            names = [f"{mode}-{seed}-{fold}" for fold in folds]
            if not all(checkpoint.tables(name) for name in names):
                backbone = source_backbone(settings, seed, weights_path)
                of, named = (backbone, store, target, settings), {"seed": seed, "external": external}
                if mode == "linear_probe":
                    checkpoint.finish(names[0], **linear_probe(*of, features_dir=features_dir, **named))
                else:
                    fine_tune(*of, mode=mode, checkpoint=checkpoint, **named)
            parts += [checkpoint.tables(name) for name in names]
    empty = {"history": pd.DataFrame(columns=HISTORY), "learning_rates": pd.DataFrame(columns=RATES)}
    found = {name: [part[name] for part in parts if name in part] for name in dict.fromkeys(chain(*parts))}
    return empty | {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}


def check_findings(store: ImageStore, external: Stores) -> None:
    """Raise InputError if an external collection has one class per image and the target has findings, or the reverse."""
    kinds = {True: "several findings", False: "one class"}
    for name, other in external.items():
        if (other.findings is None) != (store.findings is None):
            raise InputError(
                f"external: an image of '{name}' has {kinds[other.findings is not None]}, one of '{store.dataset}' "
                f"{kinds[store.findings is not None]}, so the classes do not correspond. Leave the pair out of external."
            )


def saved_model(checkpoint: Checkpoint) -> Path:
    """Return the path of the last network fine-tuned at the common budget, until the run is finished."""
    return checkpoint.folder / "model.keras"


def fine_tune(
    backbone: keras.Model, store: ImageStore, target: pd.DataFrame, settings: Transfer, *, seed: int, mode: str = "fine_tune",
    checkpoint: Checkpoint, external: Stores = MappingProxyType({}),
) -> keras.Model:  # fmt: skip
    """Train on each fold's training images from the same initial weights, and predict its held-out images.

    Saves each unfinished fold as a part of the checkpoint, with tables as `all_modes` returns them. Mode "fine_tune_long"
    differs in epochs alone (`long_epochs`). With fewer images, an epoch goes through them as often as it takes for as many
    updates as on all, and none is held back for curves that choose nothing. Returns the network of the last fold.
    """
    loop.freeze(backbone, settings.train_from, settings.batch_norm)
    has, labels = store.findings, store.labels
    model = build.build(backbone, len(store.classes), settings.dropout, multi_label=has is not None)
    model = loop.compiled(model, settings)
    keep_source = fine_tuning.keep_source(model, settings) if settings.source != "none" else []
    start = model.get_weights()
    folds = training_folds(target, store, settings, seed)
    ordered, rows = target.reset_index(drop=True), target["row"].to_numpy()
    chooses = settings.patience or settings.other_learning_rates
    share = settings.validation_share if chooses or not settings.takes_fewer else 0
    for fold, (train, held_out) in folds:
        name = f"{mode}-{seed}-{fold}"
        if checkpoint.tables(name):
            continue
        split = ordered, train.index.to_numpy(), share, seed, None if has is None else has[rows]
        kept, inner = loop.validation_split(*split)
        model.set_weights(start)
        n_all = round(len(kept) * (len(target) - len(held_out)) / len(train))
        curves, rates = loop.fit_best(
            model, store.images, labels, rows[kept], rows[inner], settings, n_classes=len(store.classes), seed=seed + 1000 * fold,
            states=lambda rate, name=name: checkpoint.state(f"{name}-{rate:g}"),
            epochs=settings.long_epochs if mode == "fine_tune_long" else None, keep_source=keep_source, n_per_epoch=n_all,
        )  # fmt: skip

        def scored(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return loop.probabilities(loop.predict(model, images, rows), multi_label=has is not None)

        scores = scored(store.images, held_out["row"].to_numpy())
        if mode == "fine_tune" and fold == folds[-1][0] and not (settings.variant or settings.takes_fewer):
            model.save(saved_model(checkpoint))  # before the fold counts as finished
        if mode == "fine_tune" and settings.keep_networks:
            (checkpoint.folder / NETWORKS).mkdir(exist_ok=True)
            without_optimiser = keras.Model(model.inputs, model.outputs)  # a third of the size
            without_optimiser.save(checkpoint.folder / NETWORKS / f"seed{seed}-fold{fold}.keras")
        keys = {"fold": fold, "seed": seed, "mode": mode}
        tables = {"predictions": _scored(held_out, scores, store, keys)}
        tables |= {"history": curves.assign(**keys)[HISTORY], "learning_rates": rates.assign(**keys)[RATES]}
        if external and mode != "fine_tune_long":
            found = {test: scored(other.images, np.arange(len(other.table))) for test, other in external.items()}
            tables["external"] = _outside(found, external, store, keys)
        checkpoint.finish(name, **tables)
        curve = results.chosen_curves(curves, rates)
        loss = curve.loc[(curve["split"] == "train") & (curve["metric"] == "loss"), "value"].iloc[-1]
        print(f"{mode}, seed {seed}, fold {fold}: {curve['epoch'].max()} epochs, training loss {loss:.3f}")
    return model


def linear_probe(
    backbone: keras.Model, store: ImageStore, target: pd.DataFrame, settings: Transfer, *, seed: int,
    features_dir: Path | None = None, external: Stores = MappingProxyType({}),
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Predict held-out and external images by logistic regression on the frozen network's features; tables as of `all_modes`.

    The penalty has the lowest log loss on inner folds of the training images, which keep the same units together as the outer
    ones. Each finding has a regression of its own; the score of one that all or no training images have is that share.
    """
    found = features.cached(backbone, store, target["row"].to_numpy(), features_dir)
    if n_wrong := int((~np.isfinite(found).all(axis=1)).sum()):
        raise InputError(f"The network has no finite features for {n_wrong} of {len(found)} images. Check its weights.")
    balance = "balanced" if settings.class_weights == "balanced" else None
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight=balance))
    units, predictions, outside, labels = linked(target), [], [], store.labels[target["row"]]
    others = [features.cached(backbone, one, np.arange(len(one.table)), features_dir) for one in external.values()]

    def scored(y: np.ndarray, fold: int, train: pd.Index, new: np.ndarray) -> np.ndarray:
        x, inner = found[train], _inner_folds(y, units[train], seed)
        if not inner:
            raise InputError(
                f"Linear probe, fold {fold}: too few groups to choose its penalty. Use more folds or groups."
            )
        how = {"cv": inner, "scoring": _minus_log_loss, "error_score": "raise"}
        probe = GridSearchCV(pipeline, {"logisticregression__C": PENALTIES}, **how).fit(x, y)
        scores = np.zeros((len(new), max(len(store.classes), 2)))
        scores[:, probe.classes_] = probe.predict_proba(new)
        return scores

    for fold, (train, held_out) in training_folds(target, store, settings, seed):
        new = np.concatenate([found[held_out.index], *others])
        y, of = labels[train.index], (fold, train.index, new)
        if labels.ndim == 1:
            scores = scored(y, *of)
        else:
            scores = np.tile(y.mean(axis=0), (len(new), 1))
            for number in np.flatnonzero(findings.vary(y)):
                scores[:, number] = scored(y[:, number].astype(int), *of)[:, 1]
        here, *elsewhere = np.split(scores, np.cumsum([len(held_out), *map(len, others)])[:-1])
        keys = {"fold": fold, "seed": seed, "mode": "linear_probe"}
        predictions.append(_scored(held_out, here, store, keys))
        if external:
            outside.append(_outside(dict(zip(external, elsewhere, strict=True)), external, store, keys))
    tables = {"predictions": predictions, "external": outside}
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}


def _inner_folds(y: np.ndarray, units: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Up to three inner folds as (training, held-out) rows; those without two classes for training are left out."""
    n_folds = min(3, len(np.unique(units)), np.bincount(y).max())
    if n_folds < 2:
        return []
    splits = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(y, y, units)
    return [split for split in splits if len(np.unique(y[split[0]])) > 1 and np.isin(y[split[1]], y[split[0]]).any()]


def _minus_log_loss(probe: Pipeline, x: np.ndarray, y: np.ndarray) -> float:
    """Minus the log loss of images whose class has training images; the others cost every penalty the same."""
    known = np.isin(y, probe.classes_)
    return -log_loss(y[known], probe.predict_proba(x[known]), labels=probe.classes_)


def _held_out(target: pd.DataFrame) -> list[int]:
    """Return the numbers of the folds; 0 is never held out (`folds.published`)."""
    return sorted(set(target["fold"]) - {0})


def training_folds(
    target: pd.DataFrame, store: ImageStore, settings: Transfer, seed: int
) -> list[tuple[int, tuple[pd.DataFrame, pd.DataFrame]]]:
    """Return number, training images and held-out images of every fold; InputError if there are fewer than the settings ask for.

    Fewer training images are drawn by seed and fold, the same for every source and mode.
    """
    target, found = target.reset_index(drop=True), []
    units, labels = linked(target), store.labels[target["row"]]
    for fold in _held_out(target):
        train = np.flatnonzero(target["fold"] != fold)
        if settings.takes_fewer:
            sizes = {"n_images": settings.n_images, "n_per_class": settings.n_per_class}
            try:
                train = train[draws.fewer(labels[train], units[train], seed + 1000 * fold, **sizes)]
            except InputError as error:
                raise InputError(f"Target '{settings.target}', fold {fold}: {error}") from None
        found.append((fold, (target.iloc[train], target[target["fold"] == fold])))
    return found


def training_images(target: pd.DataFrame, store: ImageStore, settings: Transfer) -> pd.DataFrame:
    """Return fold, seed and image_id of the images that each network was trained on."""
    parts = {
        (fold, seed): train["image_id"]
        for seed in settings.seeds
        for fold, (train, _) in training_folds(target, store, settings, seed)
    }
    return pd.concat(parts, names=["fold", "seed"]).reset_index(["fold", "seed"]).reset_index(drop=True)


def _scored(images: pd.DataFrame, scores: np.ndarray, store: ImageStore, keys: dict[str, Any]) -> pd.DataFrame:
    """Return image_id, group, fold, seed, mode, label, scores; with findings, for the target's own images true_<finding>, too."""
    columns = {f"score_{name}": scores[:, number] for number, name in enumerate(store.classes)}
    if store.findings is not None and "row" in images:
        has = store.findings[images["row"]].astype(int)
        columns |= {f"true_{name}": has[:, number] for number, name in enumerate(store.classes)}
    return images[["image_id", "group"]].assign(**keys, label=images["label"], **columns)


def _outside(
    scores: Mapping[str, np.ndarray], external: Stores, store: ImageStore, keys: dict[str, Any]
) -> pd.DataFrame:
    """Return the rows of `external.csv` of one network."""
    parts = {test: _scored(external[test].table, of, store, keys) for test, of in scores.items()}
    return pd.concat(parts, names=["test", None]).reset_index("test").reset_index(drop=True)
