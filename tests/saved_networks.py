"""A project with runs of two small "fine-tuned" networks, of sources dtd and none on chest; their weights are random."""

import json

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.images import store
from catscans_lib.networks import build
from catscans_lib.training import loop

SIZE = 16
CLASSES = ("NORMAL", "PNEUMONIA")
PARAMETERS = {
    "profile": "demo", "target": "chest", "backbone": "small_resnet", "precision": "float32", "size_px": SIZE, "epochs": 1,
    "batch_size": 8, "learning_rate": 1e-3, "optimiser": "adam", "schedule": "cosine", "dropout": 0.2,
    "class_weights": "balanced", "augmentation": None, "validation_share": 0.2, "modes": ["fine_tune"], "seeds": [0, 7],
    "long_epochs": None,
}  # fmt: skip


def make(folder):
    """Make the project in an empty folder, which is the root (0.7 s; tests that change it take a copy)."""
    opened = _store(folder)
    fold = np.arange(24) % 3 + 1
    paths.folds_path("demo", "chest").parent.mkdir(parents=True)
    table = opened.table[["image_id", "group", "label"]].assign(fold=fold)
    table.to_csv(paths.folds_path("demo", "chest"), index=False)
    network(1).save(record("pretrain", "dtd") / "model.keras")
    for number, source in enumerate(("dtd", "none"), start=2):
        place = record("transfer", f"{source}--chest", source=source, **PARAMETERS)
        model = network(number)
        model.save(place / "model.keras")
        predictions(model, opened, table).to_csv(place / "predictions.csv", index=False)


def _store(folder):
    images = np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE, 3)).astype("uint8")
    table = pd.DataFrame({"image_id": [f"i{number:02d}" for number in range(24)], "split": ""})
    table["label"] = np.array(CLASSES)[np.arange(24) // 3 % 2]
    table["group"] = [f"g{number // 2}" for number in range(24)]
    path = folder / "chest.h5"
    store.write_arrays(path, images, table, CLASSES, dataset="chest", size_px=SIZE)
    return store.open_store(path)


def record(step, name, **parameters):
    place = paths.run_dir("demo", step, name)
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps({"status": "completed", "parameters": parameters}))
    return place


def network(seed):
    """Return a classifier without special weights: no bias or mean is 0, no variance 1."""
    keras.utils.set_random_seed(seed)
    return randomised(build.build(build.backbone("small_resnet", SIZE), 2, 0.2), seed)


def randomised(model, seed):
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value * rng.uniform(0.7, 1.3, value.shape) + 0.02 * rng.normal(size=value.shape))
    return model


def predictions(model, opened, table):
    """Return predictions in every fold and seed: the model's own in the last fold of the last seed, else 0.5."""
    scores = loop.probabilities(np.asarray(model(opened.images.astype("float32"))))
    parts = []
    for seed in (0, 7):
        for fold in (1, 2, 3):
            here = scores if (seed, fold) == (7, 3) else np.full_like(scores, 0.5)
            part = table.assign(seed=seed, mode="fine_tune", score_NORMAL=here[:, 0], score_PNEUMONIA=here[:, 1])
            parts.append(part[part["fold"] == fold])
    return pd.concat(parts)
