"""Compute the measures of similarity of every source to a target, on samples of their images."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib import paths
from catscans_lib.images import folds, store
from catscans_lib.images.store import ImageStore, Subset, open_store
from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs, attempt
from catscans_lib.transferability import Similarity, Study
from catscans_lib.transferability.source_features import SourceFeatures

# probe "": the source's own network
COLUMNS = ["source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed"]
PROBLEMS = ["source", "target", "measure", "probe", "n_images", "seed", "problem"]


class Pair(NamedTuple):
    """A source, inputs of measures, the probe ("": the source's own network), and the reasons why fields are missing."""

    source: str
    inputs: Inputs
    probe: str
    missing: dict[str, str]


class Side(NamedTuple):
    """A dataset's sample of images, its features and Task2Vec embedding by the probe; `missing`: why there is no embedding."""

    images: Subset
    features: np.ndarray
    fisher: np.ndarray | None
    missing: dict[str, str]


def of_target(study: Study, settings: Similarity) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute every measure for every source of a target, once per seed; return values and problems.

    Measures that compare two sets of images use the probe network's features, all others those of the target's images by the
    source's own network. Rows whose source is the target are for two disjoint subsets of it (self distance). Measures with
    missing inputs are omitted: a source that came as weights has no images and no head. One that fails is a row of the problems.
    """
    networks, rows = SourceFeatures(study.profile, settings.probe), []
    for seed in settings.seeds:
        rows += _rows(_pairs(study, settings, networks, seed), settings, seed)
    table = pd.DataFrame(rows, columns=[*COLUMNS, "problem"]).astype({"value": float})
    has_value = table["problem"] == ""
    values, problems = table[has_value].reset_index(drop=True), table[~has_value].reset_index(drop=True)
    return values[COLUMNS], problems[PROBLEMS]


def _rows(pairs: Iterable[Pair], settings: Similarity, seed: int) -> list[tuple]:
    """Rows of `COLUMNS`, and problem ("" if there is a value)."""
    rows = []
    for pair in pairs:
        for measure in registry.chosen(settings.measures):
            value = None
            compares_images = any(part.startswith("source_") and part != "source_head" for part in measure.arguments)
            if compares_images != bool(pair.probe):  # if not, it looks at the target through the source's network
                continue
            if not measure.missing(pair.inputs):
                value, problem = attempt(measure.compute, pair.inputs, seed)
            elif not (problem := "; ".join(pair.missing[part] for part in measure.arguments if part in pair.missing)):
                continue
            of_value = value, measure.larger_is_closer, pair.probe, len(pair.inputs.features), seed
            rows.append((pair.source, settings.target, measure.name, *of_value, problem))
    return rows


def _pairs(study: Study, settings: Similarity, networks: SourceFeatures, seed: int) -> Iterator[Pair]:
    """Yield two halves of the target, and the target with every source."""
    needs = frozenset().union(*(measure.arguments for measure in registry.chosen(settings.measures)))
    target, n_images = settings.target, settings.n_images

    def stored(dataset: str) -> ImageStore:
        return open_store(paths.store_path(study.profile, dataset, study.sizes_px[dataset]))

    opened = stored(target)
    in_folds = folds.read(paths.folds_path(study.profile, target))["image_id"]
    rows = np.flatnonzero(opened.table["image_id"].isin(in_folds))
    sides = {target: _side(networks, store.subset(opened, rows, n_images, seed), seed, needs)}
    # Targets begin with different sources, so that runs at the same time find features and embeddings of each other.
    for source in sorted(settings.sources, key=lambda source: (source < target, source)):
        if networks.parameters(source)["weights"] is None:
            of_source = stored(source)
            images = store.subset(of_source, np.arange(len(of_source.table)), n_images, seed)
            sides[source] = _side(networks, images, seed, needs)
    halves = [store.half(opened, rows, seed, which) for which in (0, 1)]
    parts = [_side(networks, store.subset(opened, half, n_images, seed), seed, needs) for half in halves]
    yield _between(target, *parts, settings.probe)
    for source in settings.sources:
        if source in sides:
            yield _between(source, sides[target], sides[source], settings.probe)
        yield _by_network(networks, source, sides[target])


def _side(networks: SourceFeatures, images: Subset, seed: int, needs: frozenset[str]) -> Side:
    found, embedding, reason = networks.features(networks.probe, images), None, ""
    if "fisher" in needs:
        embedding, reason = attempt(networks.fisher, images, found, seed)
    return Side(images, found, embedding, {"fisher": reason} if reason else {})


def _between(name: str, target: Side, source: Side, probe: str) -> Pair:
    """Inputs of measures that compare two sets of images by the probe's features; `name` is that of the source."""
    of_source = {"source_features": source.features, "source_fisher": source.fisher}
    inputs = Inputs(features=target.features, labels=target.images.labels, fisher=target.fisher, **of_source)
    missing = {f"source_{field}": f"{reason} (source)" for field, reason in source.missing.items()}
    return Pair(name, inputs, probe, target.missing | missing)


def _by_network(networks: SourceFeatures, source: str, target: Side) -> Pair:
    """Inputs of measures that look at the target through the source's network."""
    found = networks.features(source, target.images)
    head, reason = attempt(networks.head, source, found)
    inputs = Inputs(features=found, labels=target.images.labels, groups=target.images.groups, source_head=head)
    return Pair(source, inputs, "", {"source_head": reason} if reason else {})
