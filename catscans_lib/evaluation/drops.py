"""How much worse networks are on another collection, whether sources keep their order there, calibration, and parts.

Takes predictions inside (held-out images of the training target) and outside (another collection) on the same classes, and
details of the images outside (sex, age, site). Groups of both collections are drawn, and seeds where there are several.
"""

from collections import defaultdict
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from catscans_lib.evaluation import inference, intervals, tables
from catscans_lib.evaluation.tables import CELL, KEYS, Fold
from catscans_lib.images.tables import NO_GROUP
from catscans_lib.statistics import bootstrap, metrics, paired_tests

AVERAGE = "macro"  # weighted by class, a change of class shares would be a part of the drop
APART = 10_000  # added to the seed of draws outside, which are independent of those inside
FEWEST = 10  # images with and without each class that a part needs to be judged
AGES = (30, 50, 70)  # years, edges of bands; other columns with more than `MANY` numbers are cut into thirds
MANY = 8
METRICS = ("brier", "overconfidence", "ece")
DROPS = [*CELL, "auc_inside", "auc_outside", "outside_low", "outside_high", "drop", "low", "high", "p", "below_chance"]
ORDERS = ["target", "mode", "tau", "low", "high", "n_sources", "best_inside", "best_outside"]
CALIBRATION = [*CELL, "metric", "inside", "outside", "change", "low", "high"]
PARTS = [*CELL, "column", "part", "auc", "low", "high", "n_images", "n_groups", "fewest"]
TABLES = {
    "drops": DROPS, "orders": ORDERS, "calibration": CALIBRATION, "parts": PARTS,
    "left_out": ["train", "dataset", "reason", "n_images"], "problems": ["train", "problem"],
}  # fmt: skip


def of_pair(
    inside: pd.DataFrame, outside: pd.DataFrame, details: pd.DataFrame, *, n_draws: int, draw_seed: int, margin: float
) -> dict[str, pd.DataFrame]:
    """Return the tables of a pair of collections: drops, orders, calibration and parts by the functions of these names; others.

    These are aucs (of the fold's held-out images and of all images outside) and `inference.comparisons` outside, by bootstrap.
    """
    aucs = [tables.fold_aucs(part, KEYS, AVERAGE) for part in (inside, outside)]
    drawn_inside = intervals.draws(inside, n_draws=n_draws, seed=draw_seed, average=AVERAGE)
    drawn_outside = _draws(outside, n_draws, draw_seed)
    means = [intervals.cell_means(of) for of in (drawn_inside, drawn_outside)]
    compared = inference.comparisons(aucs[1], drawn_outside, primary="bootstrap", margin=margin)
    return {
        "aucs": aucs[0].merge(aucs[1], on=KEYS, suffixes=("_inside", "_outside")),
        "drops": drops(inside, outside, aucs, means),
        "orders": orders(aucs, means),
        "comparisons": compared[compared["test"] == "bootstrap"],
        "calibration": calibration(inside, outside, n_draws=n_draws, seed=draw_seed),
        "parts": parts(outside, details, n_draws=n_draws, seed=draw_seed),
    }


def drops(inside: pd.DataFrame, outside: pd.DataFrame, aucs: list[pd.DataFrame], means: list[dict]) -> pd.DataFrame:
    """Return the macro AUC of every source inside and outside, mean over folds and seeds, and the drop with a 95 % interval.

    Both collections are drawn independently, so the interval describes these networks on other images of the same two
    collections, not of a third one. p_adjusted is Holm's over the sources of a mode; below_chance names the classes whose AUC
    outside is below .5.
    """
    classes = tables.class_aucs(outside).groupby([*CELL, "class"], sort=False)["auc"].mean()
    one, other = (of.groupby(CELL, sort=False)["auc"].mean() for of in aucs)
    rows = []
    for cell, drawn in means[0].items():
        apart, below = drawn - means[1][cell], classes[cell][classes[cell] < 0.5].index
        spread = [float(edge[0]) for part in (means[1][cell], apart) for edge in intervals.interval(part)]
        numbers = one[cell], other[cell], *spread[:2], one[cell] - other[cell], *spread[2:], bootstrap.p_value(apart)
        rows.append((*cell, *numbers, ", ".join(below)))
    table = pd.DataFrame(rows, columns=DROPS)
    table["p_adjusted"] = table.groupby("mode")["p"].transform(lambda p: paired_tests.holm(p.to_numpy()))
    for side, part in (("inside", inside), ("outside", outside)):
        table[f"n_images_{side}"], table[f"n_groups_{side}"] = part["image_id"].nunique(), part["group"].nunique()
    return table


def orders(aucs: list[pd.DataFrame], means: list[dict]) -> pd.DataFrame:
    """Return Kendall's tau between the orders of the sources inside and outside, with a 95 % interval over the draws.

    Random weights are no source. Noise of both orders lowers tau, and more so in the draws. Modes with fewer than three
    sources have no row.
    """
    found = [of.groupby(CELL, sort=False)["auc"].mean() for of in aucs]
    rows = []
    for target, mode in dict.fromkeys(cell[1:] for cell in means[0]):
        cells = [cell for cell in means[0] if cell[1:] == (target, mode) and cell[0] != "none"]
        if len(cells) < 3:
            continue
        sides = zip(found, means, strict=True)
        one, other = (np.array([[of[cell], *drawn[cell]] for cell in cells]) for of, drawn in sides)
        first, second = np.array(list(combinations(range(len(cells)), 2))).T
        tau = (np.sign(one[first] - one[second]) * np.sign(other[first] - other[second])).mean(axis=0)
        best = [cells[of[:, 0].argmax()][0] for of in (one, other)]
        rows.append((target, mode, tau[0], *bootstrap.interval(tau[1:]), len(cells), *best))
    return pd.DataFrame(rows, columns=ORDERS)


def calibration(inside: pd.DataFrame, outside: pd.DataFrame, *, n_draws: int, seed: int) -> pd.DataFrame:
    """Return how well probabilities are calibrated inside and outside, and the change with a 95 % interval.

    brier and ece as in `metrics.classification_metrics`; ece is never below 0, so few images make it larger. overconfidence: mean
    probability of the predicted class minus accuracy. Inside, the folds of a seed are pooled, so both sides have many images.
    """
    one, other = _calibration(inside.assign(fold=0), n_draws, seed), _calibration(outside, n_draws, seed + APART)
    rows = []
    for cell, (value, drawn) in one.items():
        low, high = bootstrap.interval(other[cell][1] - drawn)
        columns = METRICS, value, other[cell][0], other[cell][0] - value, low, high
        rows += [(*cell, *row) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=CALIBRATION)


def parts(outside: pd.DataFrame, details: pd.DataFrame, *, n_draws: int, seed: int) -> pd.DataFrame:
    """Return the macro AUC of every source in each part of the images outside, by the columns of `details` (image_id, ...).

    auc, low and high (95 %, over groups, and seeds where there are several) are NaN where a part has fewer than ten images
    with or without a class (`fewest`). Numbers are cut into bands (`bands`).
    """
    rows, by_id = [], details.drop_duplicates("image_id").set_index("image_id")
    for column in by_id:
        of_image = outside["image_id"].map(bands(by_id[column])).fillna("not known")
        for part, here in outside.groupby(of_image):
            counts = tables.class_aucs(here.drop_duplicates("image_id"))[["n_positive", "n_negative"]]
            fewest, cells = int(counts.min(axis=None)), here.groupby(CELL, sort=False)
            sizes = here["image_id"].nunique(), here["group"].nunique(), fewest
            if fewest < FEWEST:
                rows += [(*cell, column, part, np.nan, np.nan, np.nan, *sizes) for cell, _ in cells]
                continue
            mean = tables.fold_aucs(here, KEYS, AVERAGE).groupby(CELL, sort=False)["auc"].mean()
            for cell, drawn in intervals.cell_means(_draws(here, n_draws, seed)).items():
                low, high = intervals.interval(drawn)
                rows.append((*cell, column, part, mean[cell], low[0], high[0], *sizes))
    return pd.DataFrame(rows, columns=PARTS)


def bands(values: pd.Series) -> pd.Series:
    """Return the part that each image is in: the text of a column, or a band of its numbers; "not known" where it is blank.

    >>> bands(pd.Series(["29", "30", "71", "unknown", "4", "5", "6", "7", "8"], name="age")).tolist()[:4]
    ['below 30', '30 to below 50', '70 and above', 'not known']
    """
    is_known = ~values.astype(str).str.strip().str.lower().isin(NO_GROUP)
    numbers = pd.to_numeric(values.where(is_known), errors="coerce")
    if numbers[is_known].isna().any() or numbers.nunique() < MANY:
        return values.astype(str).where(is_known, "not known")
    edges = AGES if values.name == "age" else sorted(set(numbers.quantile([1 / 3, 2 / 3])))
    middle = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    names = np.array([f"below {edges[0]:g}", *middle, f"{edges[-1]:g} and above", "not known"])
    return pd.Series(names[np.where(is_known, np.searchsorted(edges, numbers, "right"), -1)], values.index)


def _draws(outside: pd.DataFrame, n_draws: int, seed: int) -> pd.DataFrame:
    """Return `intervals.draws` of networks that predict the same images: the draws of all folds are the same, too."""
    alike = outside.assign(of_fold=outside["fold"], fold=0)
    keys = [*CELL, "of_fold", "seed", "fold"]
    drawn = intervals.draws(alike, n_draws=n_draws, seed=seed + APART, average=AVERAGE, keys=keys)
    return drawn.droplevel("fold").rename_axis(KEYS)


def _calibration(predictions: pd.DataFrame, n_draws: int, seed: int) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
    """Return the means over networks of `METRICS`, shape (3,), and their draws, (3, n_draws), by source, target and mode."""
    found: dict[tuple, list[tuple[int, np.ndarray]]] = defaultdict(list)
    drawn: dict[int, np.ndarray] = {}
    for fold in tables.split_folds(predictions.sort_values("image_id", kind="stable")):
        codes = np.unique(fold.groups, return_inverse=True)[1]
        n, of_image = codes.max() + 1, _terms(fold)
        if n not in drawn:
            drawn[n] = np.vstack([np.ones(n), np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_draws)])
        of_group = np.zeros((n, of_image.shape[1]))
        np.add.at(of_group, codes, of_image)
        sums = (drawn[n] @ of_group).T
        values = np.vstack([sums[1:3], np.abs(sums[3:]).sum(axis=0)]) / sums[0]
        found[fold.keys[:3]].append((fold.keys[KEYS.index("seed")], values))
    means = {}
    for cell, runs in found.items():
        seeds, values = np.array([of for of, _ in runs]), np.stack([of for _, of in runs])
        means[cell] = values[:, :, 0].mean(axis=0), intervals.mean_over_runs(values[:, :, 1:], seeds)
    return means


def _terms(fold: Fold) -> np.ndarray:
    """Return what the sums of `_calibration` are made of, (n_images, 3 + n_bins): 1, squared error, surplus, surplus by bin."""
    if fold.labels.ndim == 2:
        confidence, squared = np.maximum(fold.scores, 1 - fold.scores), (fold.scores - fold.labels) ** 2
        correct = (fold.scores >= 0.5) == fold.labels
    else:
        is_class = fold.labels[:, None] == np.array(fold.classes)
        squared = ((fold.scores - is_class) ** 2).sum(axis=1, keepdims=True) / (1 + (len(fold.classes) == 2))
        confidence = fold.scores.max(axis=1, keepdims=True)
        correct = is_class[np.arange(len(is_class)), fold.scores.argmax(axis=1)][:, None]
    surplus, n_bins = confidence - correct, metrics.N_ECE_BINS
    in_bin = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)[:, :, None] == np.arange(n_bins)
    by_bin = (surplus[:, :, None] * in_bin).mean(axis=1)
    return np.column_stack([np.ones(len(squared)), squared.mean(axis=1), surplus.mean(axis=1), by_bin])
