"""Where in an image a fine-tuned network found what it answered: Grad-CAM on images that it never saw."""

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.images.store import ImageStore
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks.weights import leaves
from catscans_lib.training import loop

TOLERANCE = (
    0.05  # by which a probability may differ from the saved one: bfloat16 in a batch of another size was 0.012 off
)


def held_out(networks: SourceNetworks) -> pd.DataFrame:
    """Return what the saved networks predicted for the images they never saw: those of the last fold, by the last seed.

    Returns
    -------
    pandas.DataFrame
        Columns source, and those of `predictions.csv`.

    Raises
    ------
    InputError
        If a network was trained on other folds than those saved now.
    """
    folds = results.read_table(paths.folds_path(networks.profile, networks.target))
    unseen = set(folds.loc[folds["fold"] == folds["fold"].max(), "image_id"])
    parts = []
    for source in networks.sources:
        name = f"{source}--{networks.target}"
        predictions = results.table(networks.profile, "transfer", name, "predictions").query("mode == 'fine_tune'")
        last = predictions.iloc[-1]  # seed by seed, fold by fold: the network that was saved comes last
        part = predictions[(predictions["fold"] == last["fold"]) & (predictions["seed"] == last["seed"])]
        if set(part["image_id"]) != unseen:
            raise InputError(
                f"transfer/{name} held out {len(part)} images in its last fold, which are not the {len(unseen)} of the fold "
                f"table. Make it again: .venv/bin/catscans sweep --profile {networks.profile} transfer/{name}"
            )
        parts.append(part.assign(source=source))
    return pd.concat(parts, ignore_index=True)


def examples(predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """Choose images on which the networks, by the mean of their scores, were most sure: `n` they got right and `n` wrong.

    Of each outcome first the surest image of every class, then the second surest, and so on.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `held_out` returns it.

    Returns
    -------
    pandas.DataFrame
        Columns image_id, label, predicted, score (mean over the networks of the predicted class), right; those that are
        right first. Fewer than `n` rows of an outcome where it happened less often.
    """
    scores = _scores(predictions).groupby(predictions["image_id"]).mean()
    table = predictions.groupby("image_id")[["label"]].first()
    table = table.assign(predicted=scores.idxmax(axis=1), score=scores.max(axis=1)).reset_index()
    table["right"] = table["label"] == table["predicted"]
    table = table.sort_values("score", ascending=False, kind="stable")
    turn = table.groupby(["right", "label"]).cumcount()
    table = table.assign(turn=turn).sort_values(["right", "turn", "score"], ascending=[False, True, False])
    return table.groupby("right", sort=False).head(n).drop(columns="turn").reset_index(drop=True)


def of_sources(
    networks: SourceNetworks, images: ImageStore, shown: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Explain, network by network, the class it takes each image for.

    Parameters
    ----------
    shown : pandas.DataFrame
        Column image_id, as `examples` returns it.
    predictions : pandas.DataFrame
        As `held_out` returns it.

    Returns
    -------
    heats : dict of numpy.ndarray, shape (n_images, map_height, map_width)
        As `heat` returns it, source by source.
    answers : pandas.DataFrame
        Columns source, image_id, label, predicted, score, right, and hot_share: the share of the last maps with at least
        half of the largest heat (0 where no place speaks for the class).

    Raises
    ------
    InputError
        If a network gives other scores than were saved: it is not the one that predicted these images.
    """
    pixels = images.images[pd.Index(images.table["image_id"]).get_indexer(shown["image_id"])]
    heats, rows = {}, []
    for source in networks.sources:
        model = keras.models.load_model(networks.model_path(source))
        saved = predictions[predictions["source"] == source].set_index("image_id").loc[shown["image_id"]]
        scores = _checked(model, pixels, _scores(saved), source)
        answer = scores.argmax(axis=1)
        heats[source] = heat(model, pixels, answer)
        rows += [
            (
                source,
                image_id,
                label,
                images.classes[code],
                score[code],
                label == images.classes[code],
                _hot_share(here),
            )
            for (image_id, label), code, score, here in zip(
                saved["label"].items(), answer, scores, heats[source], strict=True
            )
        ]
    columns = ["source", "image_id", "label", "predicted", "score", "right", "hot_share"]
    return heats, pd.DataFrame(rows, columns=columns)


def _scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """The score columns, each called by its class."""
    columns = [column for column in predictions if column.startswith("score_")]
    return predictions[columns].rename(columns=lambda column: column.removeprefix("score_"))


def _checked(model: keras.Model, pixels: np.ndarray, saved: pd.DataFrame, source: str) -> np.ndarray:
    """The model's probabilities, shape (n_images, n_classes), if they are those that were saved."""
    outputs = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))
    scores = loop.probabilities(outputs)
    if scores.shape != saved.shape or (gap := np.abs(scores - saved.to_numpy()).max()) > TOLERANCE:
        how = f"up to {gap:.3f} from" if scores.shape == saved.shape else f"of {scores.shape[1]} classes, not of"
        raise InputError(
            f"The saved network of source '{source}' gives probabilities {how} those in predictions.csv, so it is not the "
            "one that made them. Make that transfer again."
        )
    return scores


def _hot_share(heat: np.ndarray) -> float:
    return float((heat >= heat.max() / 2).mean()) if heat.max() > 0 else 0.0


def heat(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how much each place of the last maps speaks for a class, before negative values are cut off.

    A network ends in: last maps A (height, width, n_channels), their mean over all places, a dense layer. The gradient of
    a class's logit with respect to A is then known in closed form: the same vector g / (height * width) at every place,
    with g the class's weights. So this is ``A @ g``; Grad-CAM is its positive part, and equals CAM (Zhou et al., 2016). A
    layer normalisation in between (ConvNeXt) makes g depend on the image. No automatic differentiation is needed, and
    every backend gives the same numbers.

    Parameters
    ----------
    model : keras.Model
        A classifier as `models.build` makes it; its backbone may also lie flat in it.
    images : numpy.ndarray, shape (n_images, height, width, 3), 0..255
    classes : numpy.ndarray of int, shape (n_images,)
        The class that is explained. Where a single sigmoid unit gives the probability of class 1, the logit of class 0 is
        its negative.

    Returns
    -------
    numpy.ndarray of float32, shape (n_images, map_height, map_width)
        In units of the logit: where nothing stands between mean and dense layer, the mean over all places is the class's
        logit less its bias.

    Raises
    ------
    InputError
        If the network ends in another way.

    References
    ----------
    Selvaraju et al. (2017), arXiv:1610.02391, section 3.1; Zhou et al. (2016), arXiv:1512.04150.
    """
    pooling, norm, head = _end(model)
    backbone = next((layer for layer in model.layers if layer.name == "backbone"), model)
    outputs = keras.Model(backbone.input, pooling.input)(images.astype("float32"), training=False)
    maps = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    kernel = head.get_weights()[0]
    gradient = np.hstack([-kernel, kernel]).T[classes] if kernel.shape[1] == 1 else kernel.T[classes]
    if norm:
        gradient = _through_norm(gradient, maps.mean(axis=(1, 2)), norm)
    return np.einsum("nhwc,nc->nhw", maps, gradient)


def _end(model: keras.Model) -> tuple[keras.layers.Layer, keras.layers.Layer | None, keras.layers.Dense]:
    """Return the pooling layer, the normalisation after it if there is one, and the dense layer."""
    layers = [layer for layer in leaves(model) if not isinstance(layer, keras.layers.Dropout)]
    *before, head = layers
    norm = before.pop() if isinstance(before[-1], keras.layers.LayerNormalization) else None
    if not (isinstance(head, keras.layers.Dense) and isinstance(before[-1], keras.layers.GlobalAveragePooling2D)):
        names = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers[-3:])
        raise InputError(
            f"Grad-CAM knows networks that end in average pooling and a dense layer; this ends in {names}."
        )
    return before[-1], norm, head


def _through_norm(gradient: np.ndarray, pooled: np.ndarray, norm: keras.layers.LayerNormalization) -> np.ndarray:
    """Gradient before a layer normalisation, from that after it; all of shape (n_images, n_channels)."""
    deviation = np.sqrt(pooled.var(axis=1, keepdims=True) + norm.epsilon)
    centred = (pooled - pooled.mean(axis=1, keepdims=True)) / deviation
    scaled = gradient * keras.ops.convert_to_numpy(norm.gamma)
    along = centred * (scaled * centred).mean(axis=1, keepdims=True)
    return (scaled - scaled.mean(axis=1, keepdims=True) - along) / deviation
