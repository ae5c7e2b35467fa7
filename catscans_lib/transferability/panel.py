"""From tidy tables to arrays: what every source reached on every target, and what every measure said before."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

BASELINES = {
    "always_imagenet": "always ImageNet",
    "largest_source": "largest source",
    "most_classes": "most classes",
    "source_auc": "best on its own task",
    "linear_probe": "linear probe",
    "random": "random choice",
    "declared_share": "declared share (truth)",  # of the demo world
}
PAIR = ["source", "target"]


@dataclass(frozen=True)
class Panel:
    """Results and measures of one way to use a source.

    Attributes
    ----------
    sources, targets, folds, measures : list
        The axes, in the order of the tables.
    results : numpy.ndarray of float, shape (n_targets, n_sources, n_folds)
        Mean over seeds; NaN where missing.
    values : numpy.ndarray of float, shape (n_measures, n_targets, n_sources)
        Larger is closer, for distances too; NaN where missing.
    """

    sources: list[str]
    targets: list[str]
    folds: list
    measures: list[str]
    results: np.ndarray
    values: np.ndarray


def panel(results: pd.DataFrame, similarity: pd.DataFrame, score: str = "auc") -> Panel:
    """Arrange tables as arrays; random weights (`none`) are no source, and a measure of other pairs is left out.

    Parameters
    ----------
    results : pandas.DataFrame
        Columns source, target, fold and `score`, of one mode; several rows of a fold are seeds.
    similarity : pandas.DataFrame
        Columns source, target, measure, value, larger_is_closer; where there are several, probe and seed. Seeds are
        averaged; a measure taken with several probes is one measure each.

    Raises
    ------
    ValueError
        If a column is missing, a measure has two values for the same pair, probe and seed, or two directions.
    """
    _check(results, [*PAIR, "fold", score])
    results = results[results["source"] != "none"]
    similarity = _named(similarity)
    sources, targets = list(results["source"].unique()), list(results["target"].unique())
    folds, measures = list(results["fold"].unique()), list(similarity["measure"].unique())
    means = results.groupby([*PAIR, "fold"])[score].mean()
    cells = pd.MultiIndex.from_product([targets, sources, folds], names=["target", "source", "fold"])
    y = means.reorder_levels(["target", "source", "fold"]).reindex(cells).to_numpy(float)
    signed = similarity["value"].where(similarity["larger_is_closer"].astype(bool), -similarity["value"])
    x = signed.groupby([similarity[name] for name in ("measure", "target", "source")]).mean()
    pairs = pd.MultiIndex.from_product([measures, targets, sources], names=["measure", "target", "source"])
    return Panel(
        sources, targets, folds, measures,
        y.reshape(len(targets), len(sources), len(folds)),
        x.reindex(pairs).to_numpy(float).reshape(len(measures), len(targets), len(sources)),
    )  # fmt: skip


def baselines(results: pd.DataFrame, sources: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rules that look at no image of the target, or at little more than a measure does: what every measure has to beat.

    Parameters
    ----------
    results : pandas.DataFrame
        Columns source, target, mode and auc. Where mode linear_probe is there, its mean AUC is a rule too: train the
        cheapest model on each source's features and take the best.
    sources : pandas.DataFrame, optional
        Columns source, n_images, n_classes, and auc (of the source's network on its own task) where that is known; NaN where not.

    Returns
    -------
    pandas.DataFrame
        As a table of similarity: source, target, measure (a key of `BASELINES`), value, larger_is_closer. `random` is
        the same for all: its regret and accuracy are those one expects of a random choice.
    """
    pairs = results.loc[results["source"] != "none", PAIR].drop_duplicates()
    rules = {"always_imagenet": (pairs["source"] == "imagenet").astype(float)}
    if sources is not None:
        facts = sources.set_index("source")
        rules["largest_source"] = pairs["source"].map(facts["n_images"])
        rules["most_classes"] = pairs["source"].map(facts["n_classes"])
        if "auc" in facts:
            rules["source_auc"] = pairs["source"].map(facts["auc"])
    probes = results[results["mode"] == "linear_probe"].groupby(PAIR)["auc"].mean()
    if len(probes):
        rules["linear_probe"] = pairs.join(probes, on=PAIR)["auc"]
    rules["random"] = pd.Series(0.0, pairs.index)
    tables = [pairs.assign(measure=name, value=value, larger_is_closer=True) for name, value in rules.items()]
    return pd.concat(tables, ignore_index=True).dropna(subset="value")


def _named(similarity: pd.DataFrame) -> pd.DataFrame:
    """Tell probes apart in the name of a measure, where it was taken with more than one; check that values are unique."""
    _check(similarity, [*PAIR, "measure", "value", "larger_is_closer"])
    if "probe" in similarity:
        n_probes = similarity.groupby("measure")["probe"].transform("nunique")
        full = similarity["measure"] + " (" + similarity["probe"].astype(str) + ")"
        similarity = similarity.assign(measure=similarity["measure"].where(n_probes < 2, full))
    keys = [*PAIR, "measure", *(["seed"] if "seed" in similarity else [])]
    if (twice := similarity.duplicated(keys)).any():
        row = similarity[twice].iloc[0]
        raise ValueError(
            f"Measure '{row['measure']}' of {row['source']} and {row['target']} has two values. Pass one n_images only."
        )
    directions = similarity.groupby("measure")["larger_is_closer"].nunique()
    if (directions > 1).any():
        raise ValueError(f"Measure '{directions.idxmax()}' is a distance in some rows and a similarity in others.")
    return similarity


def _check(table: pd.DataFrame, columns: list[str]) -> None:
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"The table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
