"""The ways to use a source on a target: fine-tuning all layers, or a linear probe on frozen features.

Both predict every image of the target once, by a network that never saw it: fold by fold, on the saved folds.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catscans_lib import models, training
from catscans_lib.settings import Transfer
from catscans_lib.store import ImageStore

PENALTIES = np.logspace(-4, 1, 6)  # candidates for C, the inverse strength of the L2 penalty
HISTORY = ["fold", "seed", "mode", "learning_rate", "epoch", "split", "metric", "value"]
Tables = tuple[pd.DataFrame, pd.DataFrame]


def target_table(store: ImageStore, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the fold table with `row`, the place of each image in the store, and `code`, its class as a number."""
    row = pd.Series(np.arange(len(store.table)), index=store.table["image_id"])
    code = {label: number for number, label in enumerate(store.classes)}
    return folds.assign(row=folds["image_id"].map(row), code=folds["label"].map(code))


def source_backbone(settings: Transfer, seed: int, weights_path: Path | None) -> keras.Model:
    """Return the network to start from: random weights by `seed`, or those of the source's saved model."""
    keras.utils.set_random_seed(seed)
    if weights_path is None:
        return models.backbone(settings.backbone, settings.size_px)
    return models.saved_backbone(weights_path, settings.backbone, settings.size_px)


def all_modes(
    settings: Transfer, weights_path: Path | None, store: ImageStore, target: pd.DataFrame, *, model_path: Path
) -> Tables:
    """Run every mode of the settings once per seed; save the last network fine-tuned at the common budget.

    Parameters
    ----------
    weights_path : pathlib.Path or None
        The source's saved model; None: random weights.
    target : pandas.DataFrame
        As `target_table` returns it.

    Returns
    -------
    predictions, history : pandas.DataFrame
        Columns as in `predictions.csv` and `history.csv`.
    """
    predictions, histories = [], []
    for seed in settings.seeds:
        for mode in settings.modes:
            backbone = source_backbone(settings, seed, weights_path)
            if mode == "linear_probe":
                predictions.append(linear_probe(backbone, store, target, settings, seed=seed))
                continue
            model, predicted, history = fine_tune(
                backbone, store, target, settings, seed=seed, long=mode == "fine_tune_long"
            )
            predictions.append(predicted)
            histories.append(history)
            if mode == "fine_tune":
                model.save(model_path)
    history = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=HISTORY)
    return pd.concat(predictions, ignore_index=True), history[HISTORY]


def fine_tune(
    backbone: keras.Model, store: ImageStore, target: pd.DataFrame, settings: Transfer, *, seed: int, long: bool = False
) -> tuple[keras.Model, pd.DataFrame, pd.DataFrame]:
    """Train all layers on each fold's training images, from the same start, and predict its held-out images.

    Parameters
    ----------
    target : pandas.DataFrame
        As `target_table` returns it.
    long : bool
        Take the longer budget (`long_epochs`, `long_learning_rate`).

    Returns
    -------
    model, predictions, history
        The network of the last fold, and tables as in `predictions.csv` and `history.csv`.
    """
    mode = "fine_tune_long" if long else "fine_tune"
    epochs, rate = (
        (settings.long_epochs, settings.long_learning_rate) if long else (settings.epochs, settings.learning_rate)
    )
    model = training.compiled(models.build(backbone, len(store.classes), settings.dropout))
    start = model.get_weights()
    labels = np.full(len(store.images), -1)
    labels[target["row"]] = target["code"]
    predictions, history = [], []
    for fold, (train, held_out) in _folds(target):
        model.set_weights(start)
        rows, inner = _inner_split(target, train, settings, seed)
        curve = training.fit(
            model, store.images, labels, rows, inner, settings,
            n_classes=len(store.classes), seed=seed + 1000 * fold, epochs=epochs, start_rate=rate,
        )  # fmt: skip
        history.append(curve.assign(fold=fold, seed=seed, mode=mode, learning_rate=rate))
        scores = training.probabilities(training.predict(model, store.images, held_out["row"].to_numpy()))
        predictions.append(_scored(held_out, scores, store.classes, seed, mode))
        print(f"{mode}, seed {seed}, fold {fold}: {epochs} epochs, training loss {_last(curve):.3f}")
    return model, pd.concat(predictions, ignore_index=True), pd.concat(history, ignore_index=True)


def linear_probe(
    backbone: keras.Model, store: ImageStore, target: pd.DataFrame, settings: Transfer, *, seed: int
) -> pd.DataFrame:
    """Predict held-out images by logistic regression on the frozen network's features.

    The penalty is chosen on grouped inner folds of the training images, never on the held-out fold.

    Returns
    -------
    pandas.DataFrame
        Columns as in `predictions.csv`.
    """
    features = extract_features(backbone, store.images, target["row"].to_numpy())
    predictions = []
    for _, (train, held_out) in _folds(target):
        probe = _probe(settings.class_weights == "balanced", seed, train)
        probe.fit(features[train.index], train["code"])
        scores = np.zeros((len(held_out), len(store.classes)))
        scores[:, probe.classes_] = probe.predict_proba(features[held_out.index])
        predictions.append(_scored(held_out, scores, store.classes, seed, "linear_probe"))
    return pd.concat(predictions, ignore_index=True)


def extract_features(backbone: keras.Model, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the pooled features of `images[rows]`, shape (n_rows, n_features), float32, in inference mode."""
    return training.predict(backbone, images, rows)


def _probe(balanced: bool, seed: int, train: pd.DataFrame) -> GridSearchCV:
    regression = LogisticRegression(max_iter=2000, class_weight="balanced" if balanced else None)
    inner = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(train, train["code"], train["group"])
    grid = {"logisticregression__C": PENALTIES}
    return GridSearchCV(make_pipeline(StandardScaler(), regression), grid, cv=list(inner), scoring="neg_log_loss")


def _folds(target: pd.DataFrame) -> list[tuple[int, tuple[pd.DataFrame, pd.DataFrame]]]:
    target = target.reset_index(drop=True)
    numbers = sorted(target["fold"].unique())
    return [(fold, (target[target["fold"] != fold], target[target["fold"] == fold])) for fold in numbers]


def _inner_split(
    target: pd.DataFrame, train: pd.DataFrame, settings: Transfer, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    places = train.index.to_numpy()
    kept, held_back = training.validation_split(target.reset_index(drop=True), places, settings.validation_share, seed)
    rows = target["row"].to_numpy()
    return rows[kept], rows[held_back]


def _scored(held_out: pd.DataFrame, scores: np.ndarray, classes: tuple[str, ...], seed: int, mode: str) -> pd.DataFrame:
    table = held_out[["image_id", "group", "fold"]].assign(seed=seed, mode=mode, label=held_out["label"])
    return table.assign(**{f"score_{name}": scores[:, number] for number, name in enumerate(classes)})


def _last(curve: pd.DataFrame) -> float:
    loss = curve[(curve["split"] == "train") & (curve["metric"] == "loss")]
    return loss["value"].iloc[-1]
