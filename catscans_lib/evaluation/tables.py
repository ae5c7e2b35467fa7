"""Tidy tables of AUCs, transfer scores and other metrics: one row per source, target, mode, fold and seed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib.statistics.auc import auc, per_class, transfer_score
from catscans_lib.statistics.calibration import metrics

KEYS = ["source", "target", "mode", "fold", "seed"]
CELL = ["source", "target", "mode"]
LONGER = "fine_tune_long"  # the baseline with a longer budget: shown beside the others, never used as their baseline


class Fold(NamedTuple):
    """Predictions of one fold, in the order of the table.

    Attributes
    ----------
    keys : tuple
        Values of the key columns.
    classes : tuple of str
    labels, groups : numpy.ndarray of object, shape (n_images,)
        Class, and patient, lesion or slide of every image; groups are None if the table has none.
    scores : numpy.ndarray of float, shape (n_images, n_classes)
    """

    keys: tuple
    classes: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray | None
    scores: np.ndarray


def split_folds(predictions: pd.DataFrame, keys: list[str] = KEYS) -> Iterator[Fold]:
    """Yield the folds of a table of predictions, in the order in which they begin; rows with a missing key are skipped.

    Sorts the table once and slices arrays, because a data frame per fold is slow. The classes of a fold are those with a
    score in it (targets differ in their classes), or all classes if no image has a score.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Columns `keys`, label, one score_<class> per class, and optionally group.
    """
    number = predictions.groupby(keys, sort=False).ngroup().fillna(-1).to_numpy()  # -1: a key is missing
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    stops = np.append(starts, len(order))[1:]
    labels = predictions["label"].to_numpy()[order]
    groups = predictions["group"].to_numpy()[order] if "group" in predictions else None
    scores = {name: predictions[name].to_numpy(float)[order] for name in predictions if name.startswith("score_")}
    scored = {name: np.logical_or.reduceat(~np.isnan(values), starts) for name, values in scores.items()}
    names = zip(*(predictions[key].to_numpy()[order[starts]].tolist() for key in keys), strict=True)
    for at, (of, start, stop) in enumerate(zip(names, starts.tolist(), stops.tolist(), strict=True)):
        here = [name for name in scores if scored[name][at]] or list(scores)
        values = np.stack([scores[name][start:stop] for name in here], axis=1) if here else np.empty((stop - start, 0))
        yield Fold(of, classes_of(here), labels[start:stop], None if groups is None else groups[start:stop], values)


def score_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the score columns of predictions on one target; those of other targets' classes are empty."""
    return [name for name in predictions if name.startswith("score_") and predictions[name].notna().any()]


def classes_of(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of score columns."""
    return tuple(column.removeprefix("score_") for column in columns)


def aucs(predictions: pd.DataFrame, run_ids: Mapping[tuple[str, str], str], average: str = "weighted") -> pd.DataFrame:
    """Compute the AUC of every source, target, mode, fold and seed, in the order in which these begin.

    Raises ValueError if an image is predicted twice in one mode and seed, or a fold gives no AUC; the message names the
    run.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions of all transfer runs, as `results.of_transfers` returns them.
    run_ids : mapping of (str, str) to str
        Run id by source and target, as `results.run_ids` returns them.
    average : str
        How AUCs of more than two classes are averaged, as in `auc`; the column says "binary" for two classes.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, average, auc, n_images, run_id.
    """
    twice = predictions.duplicated(["source", "target", "image_id", "mode", "seed"])
    if twice.any():
        runs = predictions.loc[twice, ["source", "target"]].value_counts(sort=False)
        raise ValueError(
            f"{run_ids[runs.index[0]]}: {runs.iloc[0]} images are predicted twice; each image belongs to one fold."
        )
    rows = []
    for one in split_folds(predictions):
        source, target, mode, fold, seed = one.keys
        run_id = run_ids[source, target]
        try:
            value = auc(one.labels, one.scores, one.classes, average)
        except ValueError as error:
            raise ValueError(f"{run_id}, {mode}, fold {fold}, seed {seed}: {error}") from error
        rows.append((*one.keys, "binary" if len(one.classes) == 2 else average, value, len(one.labels), run_id))
    return pd.DataFrame(rows, columns=[*KEYS, "average", "auc", "n_images", "run_id"])


def class_aucs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compute the one-vs-rest AUC of every class in every fold.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, class, auc (NaN if the class is absent), n_positive, n_negative.
    """
    return _by_fold(predictions, per_class, ("class", "auc", "n_positive", "n_negative"))


def fold_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compute the other metrics (`calibration.metrics`) of every fold: columns of the keys, metric, value."""
    return _by_fold(predictions, lambda *given: metrics(*given).items(), ("metric", "value"))


def _by_fold(predictions: pd.DataFrame, of: Callable[..., Iterable[tuple]], names: tuple[str, ...]) -> pd.DataFrame:
    """Concatenate the rows of `of(labels, scores, classes)` for every fold, keys first."""
    rows = [
        (*fold.keys, *row) for fold in split_folds(predictions) for row in of(fold.labels, fold.scores, fold.classes)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *names])


def completeness(planned: Iterable[tuple[str, str]], aucs: pd.DataFrame) -> pd.DataFrame:
    """Return which planned transfer runs, given as (source, target), have results.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, done, modes, n_folds, n_seeds, n_aucs; counts are 0 for a run without results.
    """
    found = aucs.groupby(["source", "target"], sort=False).agg(
        modes=("mode", lambda modes: " ".join(modes.unique())), n_folds=("fold", "nunique"),
        n_seeds=("seed", "nunique"), n_aucs=("auc", "size"),
    )  # fmt: skip
    table = found.reindex(pd.MultiIndex.from_tuples(planned, names=["source", "target"]))
    counts = ["n_folds", "n_seeds", "n_aucs"]
    table = table.assign(done=table["n_aucs"].notna(), modes=table["modes"].fillna(""))
    table[counts] = table[counts].fillna(0).astype(int)
    return table.reset_index()[["source", "target", "done", "modes", *counts]]


def shared_modes(aucs: pd.DataFrame) -> list[str]:
    """Return the modes in which sources are compared: all but the baseline's longer budget."""
    return [mode for mode in aucs["mode"].unique() if mode != LONGER]


def transfer_scores(aucs: pd.DataFrame) -> pd.DataFrame:
    """Compute the transfer score of every source against random weights on the same target, mode, fold and seed.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, auc, baseline_auc, transfer_score (percent). Without a baseline there is
        no row.
    """
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    pair = ["target", "mode", "fold", "seed"]
    baseline = shared[shared["source"] == "none"].set_index(pair)["auc"].rename("baseline_auc")
    scores = shared[shared["source"] != "none"].join(baseline, on=pair, how="inner")
    scores["transfer_score"] = transfer_score(scores["auc"], scores["baseline_auc"])
    return scores[[*KEYS, "auc", "baseline_auc", "transfer_score"]].reset_index(drop=True)


def summary(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return source, target, mode, auc_mean, auc_sd (ddof 1; NaN for one value) and n, over folds and seeds."""
    return aucs.groupby(CELL, sort=False)["auc"].agg(auc_mean="mean", auc_sd="std", n="count").reset_index()


def auc_table(summary: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Format the summary for readers: a row per mode and source, a column per target, cells "mean ± sd"."""
    text = summary["auc_mean"].map("{:.3f}".format) + " ± " + summary["auc_sd"].map("{:.3f}".format)
    named = summary.assign(text=text, source=summary["source"].map(titles), target=summary["target"].map(titles))
    wide = named.pivot(index=["mode", "source"], columns="target", values="text").fillna("–")
    rows = list(dict.fromkeys(zip(named["mode"], named["source"], strict=True)))
    return wide.reindex(index=rows, columns=list(dict.fromkeys(named["target"])))
