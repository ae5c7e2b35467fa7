"""Tidy tables from saved predictions: AUCs, transfer scores, other metrics."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib.statistics import metrics

KEYS = ["source", "target", "mode", "fold", "seed"]
CELL = ["source", "target", "mode"]
LONGER = "fine_tune_long"  # the baseline with a longer budget: shown with the others, never used as their baseline


class Fold(NamedTuple):
    """Predictions of one fold, in the order of the table."""

    keys: tuple  # values of the key columns
    classes: tuple[str, ...]
    labels: np.ndarray  # class of every image, shape (n_images,); or findings, bool (n_images, n_classes)
    groups: np.ndarray | None  # patient, lesion or slide of every image; None if the table has none
    scores: np.ndarray  # shape (n_images, n_classes)


def with_categories(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with their texts as categories: half of the memory, and twice as fast to group."""
    return predictions.astype(dict.fromkeys(["source", "target", "mode", "image_id", "group", "label"], "category"))


def split_folds(predictions: pd.DataFrame, keys: list[str] = KEYS) -> Iterator[Fold]:
    """Yield the folds of predictions (columns `keys`, label, score_<class>, optionally group) in the order of the table.

    Slices sorted arrays, because a data frame per fold is slow. Rows with a missing key are skipped. The classes of a fold are
    those with a score in it, or all if no image has a score; columns true_<finding> say which findings an image has.
    """
    number = predictions.groupby(keys, sort=False).ngroup().fillna(-1).to_numpy()  # -1: a key is missing
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    stops = np.append(starts, len(order))[1:]
    labels = predictions["label"].to_numpy()[order]
    groups = predictions["group"].to_numpy()[order] if "group" in predictions else None
    scores = {name[6:]: predictions[name].to_numpy(float)[order] for name in predictions if name.startswith("score_")}
    truth = {name[5:]: predictions[name].to_numpy(float)[order] for name in predictions if name.startswith("true_")}
    scored = {name: np.logical_or.reduceat(~np.isnan(values), starts) for name, values in scores.items()}
    names = zip(*(predictions[key].to_numpy()[order[starts]].tolist() for key in keys), strict=True)
    for at, (of, start, stop) in enumerate(zip(names, starts.tolist(), stops.tolist(), strict=True)):
        classes = tuple(name for name in scores if scored[name][at]) or tuple(scores)
        values = np.column_stack([scores[name][start:stop] for name in classes] or [np.empty((stop - start, 0))])
        has = [truth[name][start:stop] for name in classes if name in truth]
        several = has and not np.isnan(has).any()
        of_images = np.stack(has, axis=1).astype(bool) if several else labels[start:stop]
        yield Fold(of, classes, of_images, None if groups is None else groups[start:stop], values)


def aucs(predictions: pd.DataFrame, run_ids: Mapping[tuple[str, str], str], average: str = "weighted") -> pd.DataFrame:
    """Compute the AUC of every source, target, mode, fold and seed, in the order in which these begin.

    Takes predictions and run ids (by source and target) as `results` returns them. average is "binary" for two classes, "macro"
    over findings. ValueError, naming the run, if an image is predicted twice in one mode and seed, or a fold gives no AUC.
    """
    if (twice := predictions.duplicated(["source", "target", "image_id", "mode", "seed"])).any():
        runs = predictions.loc[twice, ["source", "target"]].value_counts(sort=False)
        said = f"{runs.iloc[0]} images are predicted twice; each image belongs to one fold."
        raise ValueError(f"{run_ids[runs.index[0]]}: {said}")
    rows = []
    for one in split_folds(predictions):
        (source, target, mode, fold, seed), kind = one.keys, metrics.average_of(one.labels, one.classes, average)
        try:
            value = metrics.auc(one.labels, one.scores, one.classes, average)
        except ValueError as error:
            raise ValueError(f"{run_ids[source, target]}, {mode}, fold {fold}, seed {seed}: {error}") from error
        rows.append((*one.keys, kind, value, len(one.labels), run_ids[source, target]))
    return pd.DataFrame(rows, columns=[*KEYS, "average", "auc", "n_images", "run_id"])


def of_axis(variants: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Return the base runs and variants of one axis (`results.of_variants`), without the baseline's longer budget.

    For sizes and backbones, only pairs with such variants; for seeds, all sources of a target. Random weights get the seed 0.
    """
    here = variants[variants["axis"].isin(["", axis]) & (variants["mode"] != LONGER)]
    keys = ["target"] if axis == "seed" else ["source", "target"]
    varied = (here["axis"] == axis).groupby([here[key] for key in keys]).transform("any")
    return here[varied].fillna({"pretrain_seed": 0})


def fold_aucs(predictions: pd.DataFrame, keys: list[str], average: str = "weighted") -> pd.DataFrame:
    """Return the keys, auc and n_images of every value of `keys`, in the order in which these begin."""
    rows = [
        (*fold.keys, metrics.auc(fold.labels, fold.scores, fold.classes, average), len(fold.labels))
        for fold in split_folds(predictions, keys)
    ]
    return pd.DataFrame(rows, columns=[*keys, "auc", "n_images"])


def class_aucs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the keys of every fold, class, its auc (NaN if no or every image has it), n_positive, n_negative, multi_label."""
    rows = [
        (*fold.keys, *row, fold.labels.ndim == 2)
        for fold in split_folds(predictions)
        for row in metrics.per_class(fold.labels, fold.scores, fold.classes)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "class", "auc", "n_positive", "n_negative", "multi_label"])


def of_findings(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each image and finding that only some images of its fold have, as predictions of two classes."""
    parts = []
    for name in [name[5:] for name in predictions if name.startswith("true_")]:
        here = predictions[predictions[f"true_{name}"].notna()]
        has, score = here[f"true_{name}"].astype(bool), here[f"score_{name}"]
        part = here[[*KEYS, "image_id", "group"]].assign(label=np.where(has, "yes", "no"))
        part = part.assign(**{"class": name, "score_no": 1 - score, "score_yes": score})
        parts.append(part[has.groupby([here[key] for key in KEYS]).transform("nunique") == 2])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["class"])


def fold_metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the keys of every fold, metric and value, for all of `classification_metrics`."""
    rows = [
        (*fold.keys, *row)
        for fold in split_folds(predictions)
        for row in metrics.classification_metrics(fold.labels, fold.scores, fold.classes).items()
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "value"])


def completeness(planned: Iterable[tuple[str, str]], aucs: pd.DataFrame) -> pd.DataFrame:
    """Return source, target and done of all planned transfer runs (source, target)."""
    done = set(zip(aucs["source"], aucs["target"], strict=True))
    return pd.DataFrame([(*pair, pair in done) for pair in planned], columns=["source", "target", "done"])


def shared_modes(aucs: pd.DataFrame) -> list[str]:
    """Return the modes in which sources are compared: all but the baseline's longer budget."""
    return [mode for mode in aucs["mode"].unique() if mode != LONGER]


def transfer_scores(aucs: pd.DataFrame) -> pd.DataFrame:
    """Compare every source with random weights on the same target, mode, fold and seed.

    gain is the difference of the AUCs, transfer_score that in percent of baseline_auc, as in the original study; a source without
    a baseline has no row. `inference.gains` has the means.
    """
    shared = aucs[aucs["mode"].isin(shared_modes(aucs))]
    pair = ["target", "mode", "fold", "seed"]
    baseline = shared[shared["source"] == "none"].set_index(pair)["auc"].rename("baseline_auc")
    scores = shared[shared["source"] != "none"].join(baseline, on=pair, how="inner")
    scores["gain"] = scores["auc"] - scores["baseline_auc"]
    scores["transfer_score"] = metrics.transfer_score(scores["auc"], scores["baseline_auc"])
    return scores[[*KEYS, "auc", "baseline_auc", "gain", "transfer_score"]].reset_index(drop=True)
