"""Grad-CAM: where a fine-tuned network found its answer, on images it was not trained on."""

from collections.abc import Iterable

import keras
import numpy as np
import pandas as pd

from catscans_lib import results
from catscans_lib.errors import InputError
from catscans_lib.images.findings import SEPARATOR
from catscans_lib.images.store import ImageStore
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks.weights import leaves
from catscans_lib.training import loop

TOLERANCE = 0.05  # difference allowed to a saved probability: bfloat16 in batches of another size differed by 0.012


def held_out(networks: SourceNetworks) -> pd.DataFrame:
    """Return what the saved networks predicted for their held-out images: those of the last fold, with the last seed.

    Columns source, and those of `predictions.csv`.
    """
    parts = []
    for source in networks.sources:
        table = results.table(networks.profile, "transfer", f"{source}--{networks.target}", "predictions")
        table = table[table["mode"] == "fine_tune"].assign(source=source)
        last = table.iloc[-1]  # seed by seed, fold by fold: the network that was saved comes last
        parts.append(table[(table["fold"] == last["fold"]) & (table["seed"] == last["seed"])])
    return pd.concat(parts, ignore_index=True)


def examples(predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """Choose the images with the highest mean score over the networks: `n` predicted right and `n` predicted wrong.

    Of each outcome first the highest-scoring image of every class, then the second highest, and so on. `predictions` are from
    `held_out`. Columns image_id, label, predicted, score (mean over the networks, of the predicted class), right.
    """
    scores = _scores(predictions).groupby(predictions["image_id"]).mean()
    table = predictions.groupby("image_id")[["label"]].first()
    table = table.assign(predicted=scores.idxmax(axis=1), score=scores.max(axis=1)).reset_index()
    table["right"] = _is_right(table)
    table = table.sort_values("score", ascending=False, kind="stable")
    turn = table.groupby(["right", "label"]).cumcount()
    table = table.assign(turn=turn).sort_values(["right", "turn", "score"], ascending=[False, True, False])
    return table.groupby("right", sort=False).head(n).drop(columns="turn").reset_index(drop=True)


def of_sources(
    networks: SourceNetworks, images: ImageStore, shown: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Explain the class that each network predicts for the images `shown`; tables from `examples` and `held_out`.

    Returns `heat` by source, shape (n_images, map_height, map_width), and a table: source, image_id, label, predicted, score,
    right, and hot_share (of the map with at least half of its largest heat). Networks that
    `heat` refuses are left out. InputError if other scores are saved.
    """
    pixels = images.images[pd.Index(images.table["image_id"]).get_indexer(shown["image_id"])]
    heats, answers = {}, []
    for source in networks.sources:
        model = keras.models.load_model(networks.model_path(source))
        saved = predictions[predictions["source"] == source].set_index("image_id").loc[shown["image_id"]]
        outputs = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))
        scores = loop.probabilities(outputs, multi_label=images.findings is not None)
        if np.abs(scores - _scores(saved).to_numpy()).max() > TOLERANCE:
            name = f"transfer/{source}--{networks.target}"
            raise InputError(f"The saved network of {name} gives other scores than its predictions. Make {name} again.")
        answer = scores.argmax(axis=1)
        try:
            heats[source] = heat(model, pixels, answer)
        except InputError as error:
            print(f"Left out: {source}. {error}")
            continue
        given = {"predicted": np.array(images.classes)[answer], "score": scores.max(axis=1)}
        table = saved[["label"]].reset_index().assign(**given)
        table["right"] = _is_right(table)
        hot = [float((here >= here.max() / 2).mean()) if here.max() > 0 else 0.0 for here in heats[source]]
        answers.append(table.assign(hot_share=hot))
        answers[-1].insert(0, "source", source)
    return heats, pd.concat(answers, ignore_index=True) if answers else pd.DataFrame({"source": []})


def of_ensemble(networks: Iterable[keras.Model], images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the mean heat (`heat`) of several networks, which is that of their mean logit."""
    parts = np.array_split(np.arange(len(images)), -(-len(images) // 32))  # images at a time
    maps = ([heat(network, images[rows], classes[rows]) for rows in parts] for network in networks)
    return np.mean([np.concatenate(found) for found in maps], axis=0)


def _scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the score columns, named by class."""
    return predictions.filter(regex="^score_").rename(columns=lambda column: column.removeprefix("score_"))


def _is_right(table: pd.DataFrame) -> list[bool]:  # of several findings, the one with the highest score counts
    return [one in label.split(SEPARATOR) for one, label in zip(table["predicted"], table["label"], strict=True)]


def heat(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return Grad-CAM before its ReLU: how much each place of the last feature maps speaks for a class.

    For feature maps A (height, width, n_channels), their mean over places, and a dense layer with weights g for the class, it is
    ``A @ g``, which equals CAM. A layer normalisation before the dense layer (ConvNeXt) makes g depend on the image. Selvaraju
    et al. (2017), arXiv:1610.02391, section 3.1; Zhou et al. (2016), arXiv:1512.04150.

    `model` is a classifier from `networks.build`; `images` are in 0..255, shape (n_images, height, width, 3); `classes` are
    (n_images,). Returns float32, shape (n_images, map_height, map_width), in units of the logit.
    """
    *before, head = (layer for layer in leaves(model) if not isinstance(layer, keras.layers.Dropout))
    if not any(isinstance(layer, keras.layers.GlobalAveragePooling2D) for layer in before[-2:]):
        raise InputError("Grad-CAM needs a network that takes the mean of maps; a transformer takes its class token.")
    norm = before.pop() if isinstance(before[-1], keras.layers.LayerNormalization) else None
    outputs = keras.Model(model.get_layer("backbone").input, before[-1].input)(images.astype("float32"), training=False)
    maps = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    kernel = head.get_weights()[0]
    gradient = np.hstack([-kernel, kernel]).T[classes] if kernel.shape[1] == 1 else kernel.T[classes]
    if norm:
        gradient = _through_norm(gradient, maps.mean(axis=(1, 2)), norm)
    return np.einsum("nhwc,nc->nhw", maps, gradient)


def _through_norm(gradient: np.ndarray, pooled: np.ndarray, norm: keras.layers.LayerNormalization) -> np.ndarray:
    """Return the gradient before a layer normalisation from that after it; all of shape (n_images, n_channels)."""
    deviation = np.sqrt(pooled.var(axis=1, keepdims=True) + norm.epsilon)
    centred = (pooled - pooled.mean(axis=1, keepdims=True)) / deviation
    scaled = gradient * keras.ops.convert_to_numpy(norm.gamma)
    along = centred * (scaled * centred).mean(axis=1, keepdims=True)
    return (scaled - scaled.mean(axis=1, keepdims=True) - along) / deviation
