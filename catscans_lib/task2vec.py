"""Task2Vec: one vector for each dataset under a probe network, and distances between datasets beside their noise.

A vector computed from some images is noisy, and the fewer the images the further it lies from any other. So every dataset
gives the same number of images, and two halves of it that share no group: distances between two datasets are measured from
a half of one to a half of the other, and that of a dataset to itself between its halves. It is never 0.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from catscans_lib import features, fisher
from catscans_lib.batches import Batches
from catscans_lib.errors import InputError, unknown
from catscans_lib.fast_inference import inference
from catscans_lib.similarity import task2vec as measures
from catscans_lib.squared_gradients import squared_gradients
from catscans_lib.store import ImageStore
from catscans_lib.training import PREDICT_BATCH

VERSION = 1  # raise it when the same images and weights would give another vector
KINDS = ("filters", "head")
KEYS = ["source", "target", "measure"]


class Subset(NamedTuple):
    """Which images of a dataset: half 0 or 1 of them under a seed. The halves of one seed share no group."""

    dataset: str
    seed: int
    half: int


@dataclass(frozen=True)
class Probe:
    """A network, images -> features, and its name in tables; its weights are those it has at the first embedding."""

    name: str
    network: keras.Model

    @cached_property
    def squares(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Squared gradients of its filters."""
        return squared_gradients(self.network)

    @cached_property
    def compute(self) -> Callable[[np.ndarray], np.ndarray]:
        """Its features, quickly."""
        return inference(self.network)

    def features(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the features of `images[rows]`, as `features.extract` does, but built once for all datasets."""
        return features.over(self.compute, Batches(images, np.zeros(len(images), int), rows, PREDICT_BATCH))


def draw(table: pd.DataFrame, n_images: int, seed: int, half: int) -> np.ndarray:
    """Draw images out of a half of a store's table: whole groups make a half, classes keep their shares.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns label and group.
    half : {0, 1}

    Returns
    -------
    numpy.ndarray of int, shape (n_images,)
        Rows, sorted. Of each class as many as its share of the half's images, give or take 1.

    Raises
    ------
    InputError
        If the half holds fewer images.
    """
    group = pd.factorize(table["group"])[0]
    rows = np.flatnonzero(np.random.default_rng(seed).permutation(group.max() + 1)[group] % 2 == half)
    if len(rows) < n_images:
        raise InputError(
            f"Half {half} of these {len(table)} images in {group.max() + 1} groups holds {len(rows)}; got n_images={n_images}. "
            "Lower n_images, for all datasets alike."
        )
    rng = np.random.default_rng([seed, half])
    rows = rng.permutation(rows)
    label = pd.factorize(table["label"].iloc[rows])[0]
    counts = np.bincount(label)
    nth = pd.Series(label).groupby(label).cumcount().to_numpy()
    place = (nth + rng.random(len(counts))[label]) / counts[label]  # each class spread evenly over 0..1
    return np.sort(rows[np.argsort(place, kind="stable")[:n_images]])


def embed(
    store: ImageStore, probe: Probe, n_images: int, seed: int, *, half: int = 0, kind: str = "filters",
    balanced: bool = True, n_draws: int = 1, c: float = fisher.C, folder: Path | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the vector of a dataset: the diagonal Fisher information of a probe with a head fitted to its classes.

    Parameters
    ----------
    store : ImageStore
        Of the size that the probe takes.
    n_images, seed, half
        As in `draw`.
    kind : {"filters", "head"}
        Of what: one number for each filter of the probe, as published; or, far cheaper, one for each of its features, the
        mean over classes of the head's own Fisher information in closed form.
    balanced : bool
        Whether every class weighs the same, in fitting the head and in the mean over images, as in the published code.
    n_draws, c
        As in `fisher.of_filters` and `fisher.fit_head`.
    folder : pathlib.Path, optional
        Where vectors are kept and looked up, under names that follow from weights, images and settings; None: nowhere.

    Returns
    -------
    numpy.ndarray of float64, shape (n_dims,)
        At least 0. The same arguments give the same bits on the same machine.

    Raises
    ------
    InputError
        If the kind is not known, the half is too small or has one class, or the backend is not TensorFlow (filters only).

    References
    ----------
    Achille et al. (2019), arXiv:1902.03545.
    """
    if kind not in KINDS:
        raise unknown("kind of embedding", kind, KINDS)
    rows = draw(store.table, n_images, seed, half)
    subset, how = Subset(store.dataset, seed, half), {"kind": kind, "balanced": balanced, "n_draws": n_draws, "c": c}
    if folder is None:
        return _embedded(store, probe, rows, subset, **how)
    settings = f"{features.key(probe.network, store, rows)} {VERSION} {subset} {how}"
    path = folder / f"{store.dataset}_{hashlib.sha256(settings.encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        save(path, {subset: _embedded(store, probe, rows, subset, **how)})
    return load(path)[subset]


def _embedded(
    store: ImageStore,
    probe: Probe,
    rows: np.ndarray,
    subset: Subset,
    *,
    kind: str,
    balanced: bool,
    n_draws: int,
    c: float,
) -> np.ndarray:
    labels = np.unique(store.table["label"].to_numpy(str)[rows], return_inverse=True)[1]
    weights = len(rows) / (labels.max() + 1) / np.bincount(labels)[labels] if balanced else np.ones(len(rows))
    found = probe.features(store.images, rows)
    head = fisher.fit_head(found, labels, weights=weights, c=c)
    if kind == "head":
        return fisher.of_head(head, found, weights).mean(axis=1)
    rng = np.random.default_rng([subset.seed, subset.half])
    return fisher.of_filters(probe.squares, head, store.images, rows, found, rng, weights=weights, n_draws=n_draws)


def embed_all(
    stores: Iterable[ImageStore], probe: Probe, n_images: int, seeds: Iterable[int], **how: object
) -> dict[Subset, np.ndarray]:
    """Embed both halves of every dataset, for every seed; `how` as in `embed`."""
    seeds = list(seeds)
    return {
        Subset(store.dataset, seed, half): embed(store, probe, n_images, seed, half=half, **how)
        for store in stores
        for seed in seeds
        for half in (0, 1)
    }


def distances(embeddings: Mapping[Subset, np.ndarray], *, probe: str, n_images: int) -> pd.DataFrame:
    """Measure from half 0 of every source to half 1 of every target under the same seed; a dataset to itself as well.

    Parameters
    ----------
    probe, n_images
        What the embeddings were made with; copied into the table.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, measure, value, larger_is_closer, probe, n_images, seed.

    Raises
    ------
    InputError
        If a dataset lacks a half; or from a measure, if two embeddings are of different probes.
    """
    rows = []
    for source in (subset for subset in embeddings if subset.half == 0):
        if source._replace(half=1) not in embeddings:
            raise InputError(f"No half 1 of '{source.dataset}' under seed {source.seed}. Embed both halves: embed_all.")
        for target in (subset for subset in embeddings if subset.half == 1 and subset.seed == source.seed):
            for measure in measures.MEASURES:
                value = measure.function(embeddings[target], embeddings[source], **measure.settings)
                rows.append(
                    (source.dataset, target.dataset, measure.name, value, measure.larger_is_closer, source.seed)
                )
    table = pd.DataFrame(rows, columns=[*KEYS, "value", "larger_is_closer", "seed"])
    table = table.assign(probe=probe, n_images=n_images)
    order = [*KEYS, "value", "larger_is_closer", "probe", "n_images", "seed"]
    return table[order]


def noise_floor(table: pd.DataFrame) -> pd.DataFrame:
    """Return how far datasets are from themselves, out of a table of `distances`.

    Returns
    -------
    pandas.DataFrame
        Columns dataset, measure, value (mean over seeds), n_seeds.
    """
    own = table[table["source"] == table["target"]].rename(columns={"source": "dataset"})
    return own.groupby(["dataset", "measure"], sort=False)["value"].agg(value="mean", n_seeds="size").reset_index()


def beside_noise_floor(table: pd.DataFrame) -> pd.DataFrame:
    """Add a column noise_floor to distances: how far the two datasets are from themselves, the larger of both.

    A distance that does not exceed it does not tell the datasets apart; measures differ much in how many do.
    """
    own = noise_floor(table).set_index(["dataset", "measure"])["value"]
    sides = [own.reindex(pd.MultiIndex.from_frame(table[[side, "measure"]])) for side in ("source", "target")]
    return table.assign(noise_floor=np.maximum(*(side.to_numpy() for side in sides)))


def save(path: Path, embeddings: Mapping[Subset, np.ndarray]) -> None:
    """Write embeddings of one probe to an .npz of plain arrays: datasets, seeds, halves and values (n, n_dims)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets, seeds, halves = zip(*embeddings, strict=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, datasets=list(datasets), seeds=seeds, halves=halves, values=np.stack(list(embeddings.values())))
    part.replace(path)


def load(path: Path) -> dict[Subset, np.ndarray]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        keys = zip(file["datasets"].tolist(), file["seeds"].tolist(), file["halves"].tolist(), strict=True)
        return dict(zip((Subset(*key) for key in keys), file["values"], strict=True))
