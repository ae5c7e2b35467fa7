"""Tidy tables of AUCs and transfer scores, one row per source, target, mode, fold and seed."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from catscans_lib.evaluation.by_fold import folds
from catscans_lib.statistics.auc import auc, per_class, transfer_score
from catscans_lib.statistics.calibration import metrics

KEYS = ["source", "target", "mode", "fold", "seed"]
LONGER = "fine_tune_long"  # the baseline with a longer budget: shown beside the others, never scored against


def aucs(predictions: pd.DataFrame, run_ids: Mapping[tuple[str, str], str], average: str = "weighted") -> pd.DataFrame:
    """AUC of every run, mode, fold and seed, in the order in which these begin.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions of transfer runs below each other: columns source, target, image_id, fold, seed, mode, label and one
        score_<class> per class, as `results.of_transfers` returns them.
    run_ids : mapping of (str, str) to str
        The run of every source and target, as `results.run_ids` returns them.
    average : str
        How AUCs of more than two classes are averaged, as in `auc`; two classes need none and say "binary".

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, average, auc, n_images, run_id.

    Raises
    ------
    ValueError
        If an image is predicted twice in one mode and seed, or the predictions of a fold give no AUC (names the run).
    """
    twice = predictions.duplicated(["source", "target", "image_id", "mode", "seed"])
    if twice.any():
        runs = predictions.loc[twice, ["source", "target"]].value_counts(sort=False)
        raise ValueError(
            f"{run_ids[runs.index[0]]}: {runs.iloc[0]} images are predicted twice; each belongs to one fold."
        )
    rows = []
    for one in folds(predictions, KEYS):
        source, target, mode, fold, seed = one.keys
        run_id = run_ids[source, target]
        try:
            value = auc(one.labels, one.scores, one.classes, average)
        except ValueError as error:
            raise ValueError(f"{run_id}, {mode}, fold {fold}, seed {seed}: {error}") from error
        rows.append((*one.keys, "binary" if len(one.classes) == 2 else average, value, len(one.labels), run_id))
    return pd.DataFrame(rows, columns=[*KEYS, "average", "auc", "n_images", "run_id"])


def class_aucs(predictions: pd.DataFrame) -> pd.DataFrame:
    """AUC of every class against the rest in every fold; a class that is absent there is a row without one.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Predictions of transfer runs below each other, with columns source and target.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, class, auc (NaN: the class is absent), n_positive, n_negative.
    """
    return _by_fold(predictions, per_class, ("class", "auc", "n_positive", "n_negative"))


def fold_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every other metric of every fold: columns source, target, mode, fold, seed, metric, value (see `calibration.metrics`)."""
    return _by_fold(predictions, lambda *given: metrics(*given).items(), ("metric", "value"))


def _by_fold(predictions: pd.DataFrame, of: Callable[..., Iterable[tuple]], names: tuple[str, ...]) -> pd.DataFrame:
    """The rows of `of(labels, scores, classes)` for every fold below each other, keys first."""
    rows = [
        (*fold.keys, *row) for fold in folds(predictions, KEYS) for row in of(fold.labels, fold.scores, fold.classes)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *names])


def completeness(planned: Iterable[tuple[str, str]], aucs: pd.DataFrame) -> pd.DataFrame:
    """Which runs of the grid have results?

    Parameters
    ----------
    planned : iterable of (str, str)
        Source and target of every transfer run of the grid.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, done, modes, n_folds, n_seeds, n_aucs; a run that is not done has zeros.
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
    """Modes in which sources are compared: all but the baseline's longer budget."""
    return [mode for mode in aucs["mode"].unique() if mode != LONGER]


def transfer_scores(aucs: pd.DataFrame) -> pd.DataFrame:
    """Transfer score of every source against random weights: same target, mode, fold and seed.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, fold, seed, auc, baseline_auc, transfer_score (per cent). A run whose baseline is
        absent has no row.
    """
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    pair = ["target", "mode", "fold", "seed"]
    baseline = shared[shared["source"] == "none"].set_index(pair)["auc"].rename("baseline_auc")
    scores = shared[shared["source"] != "none"].join(baseline, on=pair, how="inner")
    scores["transfer_score"] = transfer_score(scores["auc"], scores["baseline_auc"])
    return scores[[*KEYS, "auc", "baseline_auc", "transfer_score"]].reset_index(drop=True)


def summary(aucs: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over folds and seeds.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, auc_mean, auc_sd (ddof 1; NaN for one value), n.
    """
    groups = aucs.groupby(["source", "target", "mode"], sort=False)["auc"]
    return groups.agg(auc_mean="mean", auc_sd="std", n="count").reset_index()


def auc_table(summary: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """The summary as one reads it: a row per mode and source, a column per target, "mean ± sd" over folds and seeds."""
    text = summary["auc_mean"].map("{:.3f}".format) + " ± " + summary["auc_sd"].map("{:.3f}".format)
    named = summary.assign(text=text, source=summary["source"].map(titles), target=summary["target"].map(titles))
    wide = named.pivot(index=["mode", "source"], columns="target", values="text").fillna("–")
    rows = list(dict.fromkeys(zip(named["mode"], named["source"], strict=True)))
    return wide.reindex(index=rows, columns=list(dict.fromkeys(named["target"])))
