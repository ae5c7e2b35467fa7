"""Every measure of similarity for every source of one target, on subsets of its images and of the source's."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from catscans_lib import features, fisher, models, params, paths, results
from catscans_lib.datasets import demo
from catscans_lib.datasets.listing import read_csv
from catscans_lib.fast_inference import inference
from catscans_lib.features import Compute
from catscans_lib.settings import Similarity
from catscans_lib.similarity import meta_features, registry
from catscans_lib.similarity.measure import Inputs, Measure
from catscans_lib.squared_gradients import squared_gradients
from catscans_lib.store import ImageStore, open_store
from catscans_lib.transferability import BASELINES

COLUMNS = ["source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed"]


@dataclass(frozen=True)
class Subset:
    """Some images of one dataset.

    Attributes
    ----------
    store : ImageStore
    rows : numpy.ndarray of int
        Their places in the store.
    labels : numpy.ndarray of int, shape (n_images,)
        Classes, numbered from 0 among those that occur.
    n_available : int
        Images that could have been drawn.
    """

    store: ImageStore
    rows: np.ndarray
    labels: np.ndarray
    n_available: int

    @property
    def groups(self) -> np.ndarray:
        """Patient, lesion or slide of every image."""
        return self.store.table["group"].to_numpy()[self.rows]

    @property
    def images(self) -> np.ndarray:
        """The images, uint8."""
        return self.store.images[self.rows]


def subset(store: ImageStore, rows: np.ndarray, n_images: int, seed: int) -> Subset:
    """Draw about `n_images` images, every class by its share and with at least two images where it has them.

    Parameters
    ----------
    rows : numpy.ndarray of int
        Places in the store that may be drawn from.
    """
    chosen = rows[draw(store.table["label"].to_numpy()[rows], n_images, seed)]
    labels = np.unique(store.table["label"].to_numpy()[chosen], return_inverse=True)[1]
    return Subset(store, chosen, labels, len(rows))


def draw(labels: np.ndarray, n_images: int, seed: int) -> np.ndarray:
    """Return places of about `n_images` of the labels, sorted: every class by its share, at least two where it has them."""
    rng, drawn = np.random.default_rng(seed), []
    for name in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == name))
        drawn.append(members[: max(2, round(n_images * len(members) / len(labels)))])
    return np.sort(np.concatenate(drawn))


def half(store: ImageStore, rows: np.ndarray, seed: int, which: int) -> np.ndarray:
    """Return the rows of one half (0 or 1) of the groups, drawn by seed: no patient, lesion or slide is in both."""
    codes = pd.factorize(store.table["group"].iloc[rows])[0]
    return rows[np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % 2 == which]


class Networks:
    """Pretrained networks of a profile's sources: features and answers of their heads, computed once per network and images.

    `probe` is the source whose network sees all images.
    """

    def __init__(self, profile: str, probe: str) -> None:
        self.profile, self.probe = profile, probe
        self.built: dict[tuple[str, int], keras.Model] = {}
        self.computing: dict[int, Compute] = {}
        self.squares: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {}

    def parameters(self, source: str) -> dict:
        """Return the settings of a source's pretraining; InputError where it is not done."""
        return results.record(self.profile, f"pretrain/{source}")["parameters"]

    def features(self, source: str, images: Subset) -> np.ndarray:
        """Return pooled features of the source's network, shape (n_images, n_features), float64."""
        size_px = images.store.images.shape[1]
        if (source, size_px) not in self.built:
            for key in [key for key in self.built if key[0] != self.probe]:
                del self.built[key]  # one at a time: memory does not grow with the number of sources
            name = self.parameters(source)["backbone"]
            self.built[source, size_px] = models.saved_backbone(self._path(source), name, size_px)
        network, folder = self.built[source, size_px], paths.features_dir(self.profile)
        fast = partial(self._fast, source, size_px)
        return features.cached(network, images.store, images.rows, folder, fast).astype("float64")

    def _fast(self, source: str, size_px: int) -> Compute:
        """What computes features quickly; the probe's is made once."""
        if source != self.probe:
            return inference(self.built[source, size_px])
        if size_px not in self.computing:
            self.computing[size_px] = inference(self.built[source, size_px])
        return self.computing[size_px]

    def fisher(self, images: Subset, found: np.ndarray, seed: int) -> np.ndarray | None:
        """Return the Task2Vec embedding of images under the probe, whose features of them are `found`; None on other backends."""
        if keras.backend.backend() != "tensorflow":
            return None
        size_px = images.store.images.shape[1]
        if size_px not in self.squares:
            self.squares[size_px] = squared_gradients(self.built[self.probe, size_px])
        weights = len(images.rows) / np.bincount(images.labels)[images.labels]  # every class weighs the same
        head = fisher.fit_head(found, images.labels, weights=weights)
        rng = np.random.default_rng(seed)
        return fisher.of_filters(
            self.squares[size_px], head, images.store.images, images.rows, found, rng, weights=weights
        )

    def head(self, source: str, found: np.ndarray) -> np.ndarray | None:
        """Return the probabilities that the source's own head gives for features; None where it came without one."""
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
        return paths.run_dir(self.profile, "pretrain", source) / "model.keras"


@dataclass(frozen=True)
class Side:
    """What is known of one dataset's images apart from any source: features by the probe, meta-features, embedding.

    Meta-features and the embedding are None where no measure asks for them: an embedding takes a pass back through the network.
    """

    images: Subset
    features: np.ndarray
    meta_features: pd.Series | None
    fisher: np.ndarray | None
    answers: pd.DataFrame | None = None


def of_target(profile: str, settings: Similarity) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    networks, rows, taken = Networks(profile, settings.probe), [], []
    answers = _answers(settings.answers)
    for seed in settings.seeds:
        for source, inputs, probe in _inputs(profile, settings, networks, answers, seed):
            computable = set(registry.computable(inputs))
            for measure in _chosen(settings.measures):
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


def _chosen(names: list[str] | None) -> list[Measure]:
    return [registry.get(name) for name in names or registry.known()]


def _compares_images(measure: Measure) -> bool:
    """Whether it compares two sets of images, rather than look at the target's through the source's network."""
    return any(part.startswith("source_") and part != "source_head" for part in measure.needs)


def _inputs(
    profile: str, settings: Similarity, networks: Networks, answers: dict[str, pd.DataFrame], seed: int
) -> Iterator[tuple[str, Inputs, str]]:
    """Source, inputs, and the probe they were taken with ("": the source's own network), for every source and the noise floor."""
    needs = _needs(settings.measures)
    target = _subset_of(profile, settings.target, settings.n_images, seed, is_target=True)
    sides = {settings.target: _side(networks, target, seed, needs)}
    for source in settings.sources:
        if networks.parameters(source)["weights"] is None:
            images = _subset_of(profile, source, settings.n_images, seed)
            sides[source] = _side(networks, images, seed, needs)
    sides = {name: replace(side, answers=answers.get(name)) for name, side in sides.items()}
    described = [side.meta_features for side in sides.values() if side.meta_features is not None]
    scale = meta_features.scale(pd.DataFrame(described)) if len(described) > 1 else None
    rows = _rows_of(profile, settings.target, target.store, is_target=True)
    parts = [subset(target.store, half(target.store, rows, seed, which), settings.n_images, seed) for which in (0, 1)]
    halves = [_side(networks, part, seed, needs) for part in parts]
    yield settings.target, _between(*halves, scale), settings.probe
    for source in settings.sources:
        if source in sides:
            yield source, _between(sides[settings.target], sides[source], scale), settings.probe
        yield source, _by_network(networks, source, sides[settings.target]), ""


def _subset_of(profile: str, dataset: str, n_images: int, seed: int, is_target: bool = False) -> Subset:
    store = open_store(paths.store_path(profile, dataset, params.load(profile).datasets[dataset].size_px))
    return subset(store, _rows_of(profile, dataset, store, is_target), n_images, seed)


def _rows_of(profile: str, dataset: str, store: ImageStore, is_target: bool) -> np.ndarray:
    """Places of a dataset's images in its store; of a target only those in its fold table."""
    rows = np.arange(len(store.table))
    if not is_target:
        return rows
    return rows[store.table["image_id"].isin(results.read_table(paths.folds_path(profile, dataset))["image_id"])]


def _side(networks: Networks, images: Subset, seed: int, needs: frozenset[str]) -> Side:
    found, described, embedding = networks.features(networks.probe, images), None, None
    if "meta_features" in needs:
        described = meta_features.describe(images.labels, images.images, found)
        described["log10_n_images"] = np.log10(images.n_available)  # of the dataset, not of what was drawn
    if "fisher" in needs:
        embedding = networks.fisher(images, found, seed)
    return Side(images, found, described, embedding)


def _needs(measures: list[str] | None) -> frozenset[str]:
    return frozenset().union(*(measure.needs for measure in _chosen(measures)))


def _between(target: Side, source: Side, scale: pd.Series | None) -> Inputs:
    """What compares two sets of images, both seen by the probe."""
    return Inputs(
        features=target.features, labels=target.images.labels, groups=target.images.groups, images=target.images.images,
        fisher=target.fisher, meta_features=target.meta_features, source_features=source.features,
        source_labels=source.images.labels, source_groups=source.images.groups, source_images=source.images.images,
        source_fisher=source.fisher, source_meta_features=source.meta_features, meta_scale=scale,
        answers=target.answers, source_answers=source.answers,
    )  # fmt: skip


def _by_network(networks: Networks, source: str, target: Side) -> Inputs:
    """What the source's network makes of the target's images; the probe's features are the reference, except its own."""
    found = networks.features(source, target.images)
    reference = target.features if source != networks.probe else None
    return Inputs(
        features=found, labels=target.images.labels, groups=target.images.groups,
        source_head=networks.head(source, found), reference_features=reference,
    )  # fmt: skip


def titles() -> dict[str, str]:
    """Return the printed title of every measure, and of the rules that it has to beat."""
    return {name: measure.title for name, measure in registry.MEASURES.items()} | BASELINES


def between_datasets(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return a table of similarity without its noise floors: rows of a target and itself."""
    return similarity[similarity["source"] != similarity["target"]]


def declared_shares(profile: str, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the truth of the demo world as a table of similarity, for the pairs that were measured; empty in other profiles.

    It is the share of a target's class factors that the source's labels exercise.
    """
    columns = ["source", "target", "measure", "value", "larger_is_closer"]
    if profile.split("/")[0] != "demo":
        return pd.DataFrame(columns=columns)
    shares = demo.shared_factors().rename(columns={"share": "value"})
    measured = shares.merge(similarity[["source", "target"]].drop_duplicates())
    return measured.assign(measure="declared_share", larger_is_closer=True)[columns]


def facts_of_sources(profile: str, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return what simple rules know of a source: columns source, n_images, n_classes; NaN for one that came as weights."""
    rows = []
    for source in dict.fromkeys(between_datasets(similarity)["source"]):
        trained = results.record(profile, f"pretrain/{source}")
        if trained["parameters"]["weights"] is None:
            store = open_store(paths.store_path(profile, source, trained["parameters"]["size_px"]))
            rows.append((source, trained["n_images"], len(store.classes)))
        else:
            rows.append((source, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["source", "n_images", "n_classes"])


def about(names: list[str] | None = None) -> pd.DataFrame:
    """What measures are: columns measure, title, closer ("larger" or "smaller" values), low, high, cost, reference, blind to."""
    rows = [
        (
            measure.name, measure.title, "larger" if measure.larger_is_closer else "smaller", *measure.range, measure.cost,
            measure.reference.split(", ", 1)[-1], measure.blind_to,
        )
        for measure in _chosen(names)
    ]  # fmt: skip
    columns = ["measure", "title", "closer", "low", "high", "cost", "reference", "blind to"]
    return pd.DataFrame(rows, columns=columns)


def ranks(values: pd.DataFrame) -> pd.DataFrame:
    """Rank the sources by every measure, 1 being the closest, ties averaged; the mean over seeds counts.

    Parameters
    ----------
    values : pandas.DataFrame
        As `of_target` returns it; the noise floor is left out.

    Returns
    -------
    pandas.DataFrame
        Columns measure, source, rank; measures that rank alike stand beside each other.
    """
    closer = values["value"].where(values["larger_is_closer"].astype(bool), -values["value"])
    here = values.assign(closer=closer)[values["source"] != values["target"]]
    means = here.groupby(["measure", "source"], sort=False)["closer"].mean()
    table = means.groupby("measure").rank(ascending=False).rename("rank").reset_index()
    wide = table.pivot(index="measure", columns="source", values="rank")
    filled = wide.T.fillna(wide.T.mean()).T  # a source that a measure cannot see takes no side
    order = filled.index[leaves_list(linkage(filled, "average"))] if len(filled) > 2 else filled.index
    place = {name: number for number, name in enumerate(order)}
    return table.sort_values("measure", key=lambda names: names.map(place), kind="stable", ignore_index=True)


def of_images(
    profile: str, images: Subset, sources: list[str], measures: list[str], probe: str, seed: int
) -> pd.DataFrame:
    """Compute measures of every source for images that are no dataset of the profile; as `of_target`, with target "own".

    Measures that compare two sets of images are computed for the sources whose images lie in their stores.
    """
    networks, rows, needs = Networks(profile, probe), [], _needs(measures)
    side, n_images = _side(networks, images, seed, needs), len(images.rows)
    for source in sources:
        given = {"": _by_network(networks, source, side)}
        if (others := _if_stored(profile, source, n_images, seed)) is not None:
            given[probe] = _between(side, _side(networks, others, seed, needs), None)
        for measure in _chosen(measures):
            name = probe if _compares_images(measure) else ""
            if name in given and measure.name in registry.computable(given[name]):
                value = measure.compute(given[name], seed)
                n = len(given[name].features)
                rows.append((source, "own", measure.name, value, measure.larger_is_closer, name, n, seed))
    return pd.DataFrame(rows, columns=COLUMNS)


def _if_stored(profile: str, source: str, n_images: int, seed: int) -> Subset | None:
    size_px = params.load(profile).datasets[source].size_px
    return _subset_of(profile, source, n_images, seed) if paths.store_path(profile, source, size_px).is_file() else None
