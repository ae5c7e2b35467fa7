"""Tables of similarity: what the measures are, how they rank the sources, and the simple rules that they have to beat."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import demo
from catscans_lib.images.store import open_store
from catscans_lib.similarity import registry
from catscans_lib.statistics import ties

BASELINES = {
    "always_imagenet": "always ImageNet",
    "largest_source": "largest source",
    "most_classes": "most classes",
    "largest_network": "largest network",
    "best_elsewhere": "best on the other targets",
    "linear_probe": "linear probe",
    "mean_of_three": "mean of three scores",
    "random": "random choice",
    "declared_share": "declared share (truth)",  # of the demo
}
ABSENT = {  # why a rule has no row
    "always_imagenet": "ImageNet is no source, or the only one", "largest_source": "all sources are equally large, or unknown",
    "most_classes": "all sources have equally many classes, or unknown",
    "largest_network": "all sources are the same network", "best_elsewhere": "there is no second target",
    "linear_probe": "it was not run, or is itself the use of the source",
    "mean_of_three": "fewer than three of its scores have a value for every pair",
}  # fmt: skip
BEST_KNOWN = ("logme", "leep", "h_score", "nce", "n_leep", "nleep", "parc", "sfda")  # most used first
PAIR = ["source", "target"]


def titles() -> dict[str, str]:
    """Return the printed titles of all measures, and of the rules that they have to beat."""
    return {name: measure.title for name, measure in registry.MEASURES.items()} | BASELINES


def about(names: list[str] | None = None) -> pd.DataFrame:
    """Describe measures: columns measure, title, closer ("larger" or "smaller" values), low, high, cost, reference, blind to."""
    rows = []
    for measure in registry.chosen(names):
        closer, reference = "larger" if measure.larger_is_closer else "smaller", measure.reference.split(", ", 1)[-1]
        rows.append((measure.name, measure.title, closer, *measure.range, measure.cost, reference, measure.blind_to))
    columns = ["measure", "title", "closer", "low", "high", "cost", "reference", "blind to"]
    return pd.DataFrame(rows, columns=columns)


def between_datasets(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of similarity whose source is not the target."""
    return similarity[similarity["source"] != similarity["target"]]


def told(problems: pd.DataFrame) -> list[str]:
    """Return the problems of `compute.of_target` as sentences: what has no value, for which draws, and why."""
    keys = ["measure", "source", "target", "problem"]
    seeds = problems.groupby(keys, sort=False)["seed"].agg(lambda numbers: ", ".join(map(str, sorted(set(numbers)))))
    return [
        f"{titles().get(measure, measure)} of {source} and {target} has no value (seed {drawn}): {problem}"
        for (measure, source, target, problem), drawn in seeds.items()
    ]


def closer(similarity: pd.DataFrame) -> pd.Series:
    """Return the value of every measure, target and source: mean over seeds, larger is closer, for distances too.

    Values of a target that differ by rounding are equal (`statistics.ties`). Rows of a dataset with itself are left out.
    """
    here, keys = between_datasets(similarity), ["measure", "target", "source"]
    if here.empty:
        return pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[]] * 3, names=keys))
    signed = here["value"].where(here["larger_is_closer"].astype(bool), -here["value"])
    means = signed.groupby([here[name] for name in keys], sort=False).mean()
    scales = means.abs().groupby(level="measure").max()
    by_target = means.groupby(level=["measure", "target"], sort=False)
    return by_target.transform(lambda values: ties.merged(values, scales[values.name[0]]))


def noise(similarity: pd.DataFrame) -> pd.DataFrame:
    """Compare the spread over draws of images with the differences between sources, for every measure and target.

    n_draws are seeds; sd_draws is over the draws of a pair, root mean square over sources (NaN with one draw), sd_sources that of
    the sources' means, noise their ratio (NaN if all sources are equal); distance is a mean over sources, self_distance of two
    disjoint subsets of the target: the value where nothing differs but the images drawn.
    """
    keys = ["measure", "target"]
    pairs = between_datasets(similarity).groupby([*keys, "source"], sort=False)
    itself = similarity[similarity["source"] == similarity["target"]].groupby(keys)["value"].mean()
    table = pairs["seed"].nunique().groupby(keys, sort=False).max().to_frame("n_draws")
    table["sd_draws"] = np.sqrt(pairs["value"].var().groupby(keys, sort=False).mean())
    table["sd_sources"] = closer(similarity).groupby(keys, sort=False).std()
    table["noise"] = table["sd_draws"] / table["sd_sources"].where(table["sd_sources"] > 0)
    table["self_distance"] = itself
    table["distance"] = pairs["value"].mean().groupby(keys, sort=False).mean()
    return table.reset_index()


def ranks(values: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rank the sources of a target by the measures `names`, seeds averaged: columns measure, source, rank (1 is the closest)."""
    means = closer(values).droplevel("target")
    table = means.groupby("measure").rank(ascending=False).rename("rank").reset_index()
    return table.set_index("measure").loc[names].reset_index()


def uses_labels(measures: Sequence[str], similarity: pd.DataFrame) -> list[bool]:
    """Return whether each measure or rule needs the target's labels, by the column of `similarity` or by its record."""
    known = {name: measure.uses_labels for name, measure in registry.MEASURES.items()}
    known |= dict.fromkeys(("linear_probe", "mean_of_three"), True)
    if "uses_labels" in similarity:
        known |= similarity.groupby("measure")["uses_labels"].first().to_dict()
    return [bool(known.get(name, False)) for name in measures]


def baselines(aucs: pd.DataFrame, sources: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return simple rules as a table of similarity: they use no image of the target, or little more than a measure does.

    `aucs` has columns source, target, mode and auc; the mean AUC of its mode linear_probe, if any, is a rule, too. `sources` is
    as `facts_of_sources` returns it; columns may be absent. From `similarity` comes the mean of three scores. A rule that cannot
    tell two sources apart on any target is left out (see `ABSENT`). `random` has the same value for all sources: its regret and
    accuracy are those expected of a random choice.
    """
    pairs = aucs.loc[aucs["source"] != "none", PAIR].drop_duplicates()
    rules = {"always_imagenet": (pairs["source"] == "imagenet").astype(float)}
    facts = sources.set_index("source")
    columns = {"largest_source": "n_images", "most_classes": "n_classes", "largest_network": "n_parameters"}
    rules |= {name: pairs["source"].map(facts[column]) for name, column in columns.items() if column in facts}
    probes = aucs[aucs["mode"] == "linear_probe"].groupby(PAIR)["auc"].mean()
    if len(probes):
        rules["linear_probe"] = pairs.join(probes, on=PAIR)["auc"]
    if len(scores := _best_known(similarity)) == 3:
        rules["mean_of_three"] = pairs.join(sum(scores.values()).rename("value"), on=PAIR)["value"]
    rules = {name: v for name, v in rules.items() if (v.groupby(pairs["target"]).nunique() > 1).any()}
    rules["random"] = pd.Series(0.0, pairs.index)
    tables = [pairs.assign(measure=name, value=value, larger_is_closer=True) for name, value in rules.items()]
    return pd.concat(tables, ignore_index=True).dropna(subset="value")


def _best_known(similarity: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the first three of `BEST_KNOWN` with a value for every pair, in standard deviations from the target's mean."""
    means = closer(similarity[similarity["measure"].isin(BEST_KNOWN)])
    wide = means.unstack("measure").reorder_levels(PAIR).dropna(axis="columns")
    targets = wide.groupby("target")
    scaled = (wide - targets.transform("mean")) / targets.transform("std", ddof=0)
    found = [name for name in BEST_KNOWN if name in wide][:3]
    return {name: scaled[name].fillna(0) for name in found}  # all values equal: 0 / 0


def best_elsewhere(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rule to take the source that was best on the other targets: its mean AUC there, minus that of all sources."""
    means = results[results["source"] != "none"].groupby(PAIR)["auc"].mean().unstack("target")
    centred = means - means.mean()
    others = {target: centred.drop(columns=target).mean(axis=1) for target in centred}
    wide = pd.DataFrame(others, index=means.index).where(means.notna()).rename_axis(columns="target")
    table = wide.stack().rename("value").reset_index().dropna(subset="value")
    return table.assign(measure="best_elsewhere", larger_is_closer=True)


def declared_shares(similarity: pd.DataFrame, *, is_demo: bool) -> pd.DataFrame:
    """Return the demo's truth (`demo.shared_factors`) as a table of similarity, for the measured pairs; empty for real images."""
    shares = demo.shared_factors().rename(columns={"share": "value"})
    measured = shares.merge(similarity[PAIR].drop_duplicates() if is_demo else similarity[PAIR].head(0))
    return measured.assign(measure="declared_share", larger_is_closer=True)


def facts_of_sources(profile: str, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return source, n_images, n_classes (published, of one that came as weights), n_parameters (NaN: all are one network)."""
    rows = []
    for source in dict.fromkeys(between_datasets(similarity)["source"]):
        trained = results.record(profile, f"pretrain/{source}")
        if trained["parameters"]["weights"] is None:
            store = open_store(paths.store_path(profile, source, trained["parameters"]["size_px"]))
            facts = trained["n_images"], len(store.classes)
        else:
            card = datasets.get(source)
            facts = card.n_images, card.count_classes()
        rows.append((source, *facts, trained["parameters"]["backbone"], trained.get("n_parameters", np.nan)))
    table = pd.DataFrame(rows, columns=["source", "n_images", "n_classes", "backbone", "n_parameters"])
    if table["backbone"].nunique() < 2:  # heads differ in size
        table["n_parameters"] = np.nan
    return table.drop(columns="backbone").astype({"n_images": float, "n_classes": float})
