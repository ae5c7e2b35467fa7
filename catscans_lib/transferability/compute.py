"""Compute the measures of similarity of every source to a target, on samples of their images."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.images import folds, store
from catscans_lib.images.listing import read_csv
from catscans_lib.images.store import Subset
from catscans_lib.networks import build, features
from catscans_lib.networks.features import Compute, inference
from catscans_lib.similarity import registry, task2vec
from catscans_lib.similarity.measure import Inputs, Measure
from catscans_lib.similarity.measures import descriptions
from catscans_lib.similarity.squared_gradients import squared_gradients
from catscans_lib.transferability import Similarity, Study

COLUMNS = ["source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed"]


@dataclass(frozen=True)
class Side:
    """One dataset's sample of images, its features by the probe network, and what the measures need besides."""

    images: Subset
    features: np.ndarray
    meta_features: pd.Series | None
    fisher: np.ndarray | None
    answers: pd.DataFrame | None = None


def of_target(study: Study, settings: Similarity) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute every measure for every source of a target, once per seed.

    Measures that compare two sets of images use the probe network's features, and equal numbers of images where there are
    enough. Their values for two disjoint subsets of the target are the noise floor: rows whose source is the target. All other
    measures use the features of the target's images by the source's own network.

    Returns a table with columns source, target, measure, value, larger_is_closer, probe ("" for the source's own network),
    n_images (of the target), seed, and one with columns measure, seconds (sum), n (times it was computed). Measures with missing
    inputs are omitted: a source that came as weights has no images and no head.
    """
    networks, answers, rows = SourceFeatures(study.profile, settings.probe), _answers(settings.answers), []
    for seed in settings.seeds:
        pairs = _pairs(study, settings, networks, answers, seed)
        rows += _rows(pairs, settings.target, settings.measures, seed)
    table = pd.DataFrame(rows, columns=[*COLUMNS, "seconds"])
    seconds = table.groupby("measure")["seconds"].agg(seconds="sum", n="size")
    return table[COLUMNS], seconds.reset_index()


def of_images(
    study: Study, images: Subset, sources: list[str], measures: list[str], seed: int,
    files: Mapping[str, Path] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Compute measures of every source for images outside the profile: the values of `of_target`, with target "own".

    Measures that compare two sets of images are computed for the sources whose images are stored. `files` are further weights
    of the study's network, by the names that the table shows.
    """
    networks = SourceFeatures(study.profile, study.probe, files, study.backbone)

    def pairs() -> Iterator[tuple[str, Inputs, str]]:
        needs = _needs(measures)
        own, n_images = _side(networks, images, seed, needs), len(images.rows)
        for source in [*sources, *networks.files]:
            yield source, _by_network(networks, source, own), ""
            if source not in networks.files and _store_path(study, source).is_file():
                others = _sample(study, source, n_images, seed)
                yield source, _between(own, _side(networks, others, seed, needs), None), study.probe

    return pd.DataFrame(_rows(pairs(), "own", measures, seed), columns=[*COLUMNS, "seconds"])[COLUMNS]


def _rows(pairs: Iterable[tuple[str, Inputs, str]], target: str, measures: list[str] | None, seed: int) -> list[tuple]:
    """Rows of `COLUMNS` and the seconds taken, for (source, inputs, probe) triples; probe "" is the source's own network."""
    rows = []
    for source, inputs, probe in pairs:
        computable = set(registry.computable(inputs))
        for measure in registry.chosen(measures):
            if measure.name in computable and _compares_images(measure) == bool(probe):
                start = time.perf_counter()
                value = measure.compute(inputs, seed)
                seconds, n = time.perf_counter() - start, len(inputs.features)
                rows.append((source, target, measure.name, value, measure.larger_is_closer, probe, n, seed, seconds))
    return rows


def _compares_images(measure: Measure) -> bool:
    """Whether a measure compares two sets of images; if not, it looks at the target through the source's network."""
    return any(part.startswith("source_") and part != "source_head" for part in measure.needs)


def _needs(measures: list[str] | None) -> frozenset[str]:
    return frozenset().union(*(measure.needs for measure in registry.chosen(measures)))


def _answers(file: str | None) -> dict[str, pd.DataFrame]:
    """Questionnaire answers about each dataset, from a CSV with columns dataset, rater, question, answer."""
    if file is None:
        return {}
    table = read_csv(Path(file), ["dataset", "rater", "question", "answer"], "The book's questionnaire.csv has them.")
    return dict(iter(table.groupby("dataset")))


def _pairs(
    study: Study, settings: Similarity, networks: "SourceFeatures", answers: dict[str, pd.DataFrame], seed: int
) -> Iterator[tuple[str, Inputs, str]]:
    """Yield (source, inputs, probe) for the noise floor and every source; probe "" is the source's own network."""
    needs, target, n_images = _needs(settings.measures), settings.target, settings.n_images
    opened = store.open_store(_store_path(study, target))
    rows = np.flatnonzero(
        opened.table["image_id"].isin(folds.read(paths.folds_path(study.profile, target))["image_id"])
    )
    sides = {target: _side(networks, store.subset(opened, rows, n_images, seed), seed, needs)}
    for source in settings.sources:
        if networks.parameters(source)["weights"] is None:
            sides[source] = _side(networks, _sample(study, source, n_images, seed), seed, needs)
    sides = {name: replace(side, answers=answers.get(name)) for name, side in sides.items()}
    described = [side.meta_features for side in sides.values() if side.meta_features is not None]
    scale = descriptions.scale(pd.DataFrame(described)) if len(described) > 1 else None
    halves = [store.half(opened, rows, seed, which) for which in (0, 1)]
    parts = [_side(networks, store.subset(opened, half, n_images, seed), seed, needs) for half in halves]
    yield target, _between(*parts, scale), settings.probe
    for source in settings.sources:
        if source in sides:
            yield source, _between(sides[target], sides[source], scale), settings.probe
        yield source, _by_network(networks, source, sides[target]), ""


def _store_path(study: Study, dataset: str) -> Path:
    return paths.store_path(study.profile, dataset, study.sizes_px[dataset])


def _sample(study: Study, source: str, n_images: int, seed: int) -> Subset:
    opened = store.open_store(_store_path(study, source))
    return store.subset(opened, np.arange(len(opened.table)), n_images, seed)


def _side(networks: "SourceFeatures", images: Subset, seed: int, needs: frozenset[str]) -> Side:
    found, described, embedding = networks.features(networks.probe, images), None, None
    if "meta_features" in needs:
        described = descriptions.describe(images.labels, images.images, found)
        described["log10_n_images"] = np.log10(images.n_available)  # of the dataset, not of the sample
    if "fisher" in needs:
        embedding = networks.fisher(images, found, seed)
    return Side(images, found, described, embedding)


def _between(target: Side, source: Side, scale: pd.Series | None) -> Inputs:
    """Inputs of measures that compare two sets of images by the probe's features."""
    return Inputs(
        features=target.features, labels=target.images.labels, groups=target.images.groups, images=target.images.images,
        fisher=target.fisher, meta_features=target.meta_features, answers=target.answers, meta_scale=scale,
        source_features=source.features, source_labels=source.images.labels, source_groups=source.images.groups,
        source_images=source.images.images, source_fisher=source.fisher, source_meta_features=source.meta_features,
        source_answers=source.answers,
    )  # fmt: skip


def _by_network(networks: "SourceFeatures", source: str, target: Side) -> Inputs:
    """Inputs of measures that look at the target through the source's network."""
    found = networks.features(source, target.images)
    return Inputs(
        features=found, labels=target.images.labels, groups=target.images.groups,
        source_head=networks.head(source, found),
    )  # fmt: skip


class SourceFeatures:
    """Features, head outputs and embeddings by the pretrained networks of a profile's sources.

    `probe` is the source whose network sees all images; `files` are further weights of the network `backbone`, by name.
    """

    def __init__(
        self, profile: str, probe: str, files: Mapping[str, Path] | None = None, backbone: str | None = None
    ) -> None:
        self.profile, self.probe, self.files, self.backbone = profile, probe, files or {}, backbone
        self.built: dict[tuple[str, int], keras.Model] = {}
        self.computing: dict[int, Compute] = {}
        self.squares: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {}

    def parameters(self, source: str) -> dict:
        """Return the settings of a source's pretraining; InputError if its run is not done."""
        if source in self.files:
            return {"backbone": self.backbone, "weights": self.files[source].name}
        return results.record(self.profile, f"pretrain/{source}")["parameters"]

    def features(self, source: str, images: Subset) -> np.ndarray:
        """Return pooled features of the source's network, shape (n_images, n_features), float64; cached on disk."""
        size_px = images.store.images.shape[1]
        if (source, size_px) not in self.built:
            # one at a time: memory does not grow with the number of sources
            self.built = {key: network for key, network in self.built.items() if key[0] == self.probe}
            name = self.parameters(source)["backbone"]
            self.built[source, size_px] = build.saved_backbone(self._path(source), name, size_px)
        network, folder = self.built[source, size_px], paths.features_dir(self.profile)

        def fast() -> Compute:
            """The network as a frozen function; that of the probe is kept."""
            if source != self.probe:
                return inference(network)
            if size_px not in self.computing:
                self.computing[size_px] = inference(network)
            return self.computing[size_px]

        return features.cached(network, images.store, images.rows, folder, fast).astype("float64")

    def fisher(self, images: Subset, found: np.ndarray, seed: int) -> np.ndarray | None:
        """Return the Task2Vec embedding of images by the probe, `found` being its features of them; None without TensorFlow."""
        if keras.backend.backend() != "tensorflow":
            return None
        size_px = images.store.images.shape[1]
        if size_px not in self.squares:
            self.squares[size_px] = squared_gradients(self.built[self.probe, size_px])
        rng = np.random.default_rng(seed)
        return task2vec.embed(self.squares[size_px], images.store.images, images.rows, found, images.labels, rng)

    def head(self, source: str, found: np.ndarray) -> np.ndarray | None:
        """Return the class probabilities of the source's own head for features; None if the source came as weights."""
        if self.parameters(source)["weights"] is not None:
            return None
        model = keras.models.load_model(self._path(source), compile=False)
        kernel, bias = (array.astype("float64") for array in model.get_layer("head").get_weights())
        outputs = found @ kernel + bias
        if outputs.shape[1] == 1:
            outputs = np.hstack([np.zeros_like(outputs), outputs])
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _path(self, source: str) -> Path:
        return self.files.get(source) or paths.run_dir(self.profile, "pretrain", source) / "model.keras"
