"""Every measure of similarity for every source of one target, on subsets of its images and of the source's."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.images import folds, store
from catscans_lib.images.listing import read_csv
from catscans_lib.images.store import Subset
from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs, Measure
from catscans_lib.similarity.measures import meta_features
from catscans_lib.similarity.task2vec import fisher
from catscans_lib.transferability.settings import Similarity, Study
from catscans_lib.transferability.source_features import SourceFeatures

COLUMNS = ["source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed"]


@dataclass(frozen=True)
class Side:
    """What is known of one dataset's images apart from any source: features by the probe, meta-features, embeddings.

    Meta-features and embeddings are None where no measure asks for them; that of all filters takes a pass back.
    """

    images: Subset
    features: np.ndarray
    meta_features: pd.Series | None
    fisher: np.ndarray | None = None
    answers: pd.DataFrame | None = None


def of_target(study: Study, settings: Similarity) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute every measure for every source of a target, once per seed.

    A measure that compares two sets of images takes both by the probe network, on as many images of each where there are; what
    it gives for two disjoint subsets of the target, its noise floor, stands in rows whose source is the target. All others
    look at the target's images by the source's own network.

    Returns
    -------
    values : pandas.DataFrame
        Columns source, target, measure, value, larger_is_closer, probe ("" where the source's own network was used), n_images
        (of the target), seed. A measure for which something is not there has no row: a source that came as weights has
        no images and no head.
    seconds : pandas.DataFrame
        Columns measure, seconds (sum), n (times it was computed).
    """
    networks, rows, taken = SourceFeatures(study.profile, settings.probe), [], []
    answers = _answers(settings.answers)
    for seed in settings.seeds:
        for source, inputs, probe in _inputs(study, settings, networks, answers, seed):
            computable = set(registry.computable(inputs))
            for measure in registry.chosen(settings.measures):
                if measure.name in computable and _compares_images(measure) == bool(probe):
                    start = time.perf_counter()
                    value = measure.compute(inputs, seed)
                    taken.append((measure.name, time.perf_counter() - start))
                    n = len(inputs.features)
                    rows.append(
                        (source, settings.target, measure.name, value, measure.larger_is_closer, probe, n, seed)
                    )
    seconds = (
        pd.DataFrame(taken, columns=["measure", "seconds"]).groupby("measure")["seconds"].agg(seconds="sum", n="size")
    )
    return pd.DataFrame(rows, columns=COLUMNS), seconds.reset_index()


def _answers(file: str | None) -> dict[str, pd.DataFrame]:
    """What raters said of each dataset, out of a CSV with columns dataset, rater, question, answer."""
    if file is None:
        return {}
    table = read_csv(Path(file), ["dataset", "rater", "question", "answer"], "The book's questionnaire.csv has them.")
    return dict(iter(table.groupby("dataset")))


def _compares_images(measure: Measure) -> bool:
    """Whether it compares two sets of images, rather than look at the target's through the source's network."""
    return any(part.startswith("source_") and part != "source_head" for part in measure.needs)


def _inputs(
    study: Study, settings: Similarity, networks: SourceFeatures, answers: dict[str, pd.DataFrame], seed: int
) -> Iterator[tuple[str, Inputs, str]]:
    """Source, inputs, and the probe they were taken with ("": the source's own network), for every source and the noise floor."""
    needs = _needs(settings.measures)
    opened = store.open_store(_store_path(study, settings.target))
    in_folds = folds.read(paths.folds_path(study.profile, settings.target))["image_id"]
    rows = np.flatnonzero(opened.table["image_id"].isin(in_folds))
    target = store.subset(opened, rows, settings.n_images, seed)
    sides = {settings.target: _side(networks, target, seed, needs)}
    for source in settings.sources:
        if networks.parameters(source)["weights"] is None:
            images = _of_source(study, source, settings.n_images, seed)
            sides[source] = _side(networks, images, seed, needs)
    sides = {name: replace(side, answers=answers.get(name)) for name, side in sides.items()}
    described = [side.meta_features for side in sides.values() if side.meta_features is not None]
    scale = meta_features.scale(pd.DataFrame(described)) if len(described) > 1 else None
    parts = [store.half(opened, rows, seed, which) for which in (0, 1)]
    halves = [_side(networks, store.subset(opened, part, settings.n_images, seed), seed, needs) for part in parts]
    yield settings.target, _between(*halves, scale), settings.probe
    for source in settings.sources:
        if source in sides:
            yield source, _between(sides[settings.target], sides[source], scale), settings.probe
        yield source, _by_network(networks, source, sides[settings.target]), ""


def _store_path(study: Study, dataset: str) -> Path:
    return paths.store_path(study.profile, dataset, study.sizes_px[dataset])


def _of_source(study: Study, source: str, n_images: int, seed: int) -> Subset:
    opened = store.open_store(_store_path(study, source))
    return store.subset(opened, np.arange(len(opened.table)), n_images, seed)


def _side(networks: SourceFeatures, images: Subset, seed: int, needs: frozenset[str]) -> Side:
    found, described, embedding = networks.features(networks.probe, images), None, None
    if "meta_features" in needs:
        described = meta_features.describe(images.labels, images.images, found)
        described["log10_n_images"] = np.log10(images.n_available)  # of the dataset, not of what was drawn
    if "fisher" in needs:
        weights = fisher.balanced(images.labels)
        head = fisher.fit_head(found, images.labels, weights=weights)
        embedding = networks.fisher(images, found, head, weights, seed)
    return Side(images, found, described, embedding)


def _needs(measures: list[str] | None) -> frozenset[str]:
    return frozenset().union(*(measure.needs for measure in registry.chosen(measures)))


def _between(target: Side, source: Side, scale: pd.Series | None) -> Inputs:
    """What compares two sets of images, both seen by the probe."""
    return Inputs(
        features=target.features, labels=target.images.labels, groups=target.images.groups, images=target.images.images,
        fisher=target.fisher, meta_features=target.meta_features,
        source_features=source.features, source_labels=source.images.labels, source_groups=source.images.groups,
        source_images=source.images.images, source_fisher=source.fisher,
        source_meta_features=source.meta_features, meta_scale=scale,
        answers=target.answers, source_answers=source.answers,
    )  # fmt: skip


def _by_network(networks: SourceFeatures, source: str, target: Side) -> Inputs:
    """What the source's network makes of the target's images; the probe's features are the reference, except its own."""
    found = networks.features(source, target.images)
    reference = target.features if source != networks.probe else None
    return Inputs(
        features=found, labels=target.images.labels, groups=target.images.groups,
        source_head=networks.head(source, found), reference_features=reference,
    )  # fmt: skip


def of_images(
    study: Study, images: Subset, sources: list[str], measures: list[str], seed: int,
    files: Mapping[str, Path] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Compute measures of every source for images that are no dataset of the profile; as `of_target`, with target "own".

    Measures that compare two sets of images are computed for the sources whose images lie in their stores. `files` are
    further weights of the study's network, by the names that the table shows.
    """
    probe, rows, needs = study.probe, [], _needs(measures)
    networks = SourceFeatures(study.profile, probe, files, study.backbone)
    side, n_images = _side(networks, images, seed, needs), len(images.rows)
    for source in [*sources, *networks.files]:
        given = {"": _by_network(networks, source, side)}
        if source not in networks.files and _store_path(study, source).is_file():
            others = _of_source(study, source, n_images, seed)
            given[probe] = _between(side, _side(networks, others, seed, needs), None)
        for measure in registry.chosen(measures):
            name = probe if _compares_images(measure) else ""
            if name in given and measure.name in registry.computable(given[name]):
                value = measure.compute(given[name], seed)
                n = len(given[name].features)
                rows.append((source, "own", measure.name, value, measure.larger_is_closer, name, n, seed))
    return pd.DataFrame(rows, columns=COLUMNS)
