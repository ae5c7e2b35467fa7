"""AUC and gain of every source against the number of training images, and where the curves cross.

A seed draws its own training images and its own training; held-out images are the same at all sizes.
"""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evaluation.intervals import LEVEL
from catscans_lib.evaluation.tables import CELL
from catscans_lib.statistics import bootstrap

TINY = 1e-12
RUN = [*CELL, "n_train", "fold", "seed"]
CURVES = [
    *CELL, "n_train", "auc", "low", "high", "gain", "gain_low", "gain_high", "se_images", "se_seeds", "n_seeds", "covers",
]  # fmt: skip
CROSSINGS = [*CELL, "other", "margin", "n_train", "low", "high", "share_within", "where"]


def curves(aucs: pd.DataFrame, draws: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return the mean AUC of every source at every size, and its gain over random weights, with 95 % intervals.

    `aucs` has the columns `RUN` and auc, `draws` the same runs (index) in bootstrap draws of groups of held-out images. The gain
    is NaN without random weights at the same sizes. Intervals cover what `covers` says: other held-out images, and with several
    seeds other draws of training images (none at the full size) and other trainings (`_of_seeds`); se_images and se_seeds are
    the standard errors of both parts.
    """
    rows = []
    for key, sizes, values, images, drawn in _drawn(aucs, draws, seed):
        for source in values:
            n = len(values[source])
            low, high = bootstrap.interval(drawn[source], LEVEL)
            gain = np.full((3, len(sizes)), np.nan)
            if source != "none" and "none" in values:
                gain[0] = values[source].mean(axis=(0, 1)) - values["none"].mean(axis=(0, 1))
                gain[1:] = bootstrap.interval(drawn[source, "none"], LEVEL)
            errors = np.nanstd(images[source], axis=1), _of_seeds(values[source]) ** 0.5
            columns = [sizes, values[source].mean(axis=(0, 1)), low.clip(0, 1), high.clip(0, 1), *gain, *errors]
            covers = "images and seeds" if n > 1 else "images"
            rows += [(source, *key, *row, n, covers) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=CURVES).astype({"n_train": int})


def crossings(aucs: pd.DataFrame, draws: pd.DataFrame, margin: float, *, seed: int = 0) -> pd.DataFrame:
    """Return from how many training images on a source adds less than `margin` to `other`: random weights, or a source.

    Takes what `curves` does. A pair of sources has margin 0, and a row only if the order of their means at the largest size is
    not that at the smallest. n_train, low and high (95 %) are NaN beyond the largest size tried, which `where` calls "never";
    "always" is the smallest size, where the gain may have been small before. share_within: of draws, those that cross within.
    """
    rows = []
    for key, sizes, values, _, drawn in _drawn(aucs, draws, seed):
        means = {source: of_source.mean(axis=(0, 1)) for source, of_source in values.items()}
        for source, other in (name for name in drawn if isinstance(name, tuple)):
            apart, limit = means[source] - means[other], margin if other == "none" else 0.0
            if other != "none" and not (apart[0] > 0 >= apart[-1]):
                continue
            of_draws = drawn[source, other]
            of_draws = of_draws[:, ~np.isnan(of_draws).any(axis=0)]  # without those that lack a class
            at, *found = crossing(sizes, np.hstack([apart[:, None], of_draws]), limit)
            found = np.array(found or [at])
            low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
            where = "never" if np.isinf(at) else "always" if at == sizes[0] else "within"
            within = (np.isfinite(found) & (found > sizes[0])).mean()
            numbers = [np.nan if np.isinf(one) else one for one in (at, low, high)]
            rows.append((source, *key, other, limit, *numbers, within, where))
    return pd.DataFrame(rows, columns=CROSSINGS)


def crossing(sizes: np.ndarray, gains: np.ndarray, margin: float) -> np.ndarray:
    """Return the size from which on the gain is at most `margin`, for every column of `gains`, shape (n_sizes, n_draws).

    It is the last crossing, interpolated between neighbouring sizes on a logarithmic scale; the smallest size if all gains are
    at most the margin, and infinity if that of the largest size is above it.

    >>> crossing(np.array([10.0, 100.0, 1000.0]), np.array([[0.04], [0.02], [0.0]]), 0.01).round(1)
    array([316.2])
    """
    n, above = len(sizes), gains > margin
    last = np.where(above.any(axis=0), n - 1 - above[::-1].argmax(axis=0), -1)
    here, after = np.clip(last, 0, n - 1), np.clip(last + 1, 0, n - 1)
    columns = np.arange(gains.shape[1])
    upper, lower = gains[here, columns], gains[after, columns]
    with np.errstate(divide="ignore", invalid="ignore"):  # at both ends, which follow
        share = (upper - margin) / (upper - lower)
        found = np.exp(np.log(sizes[here]) + share * np.log(sizes[after] / sizes[here]))
    return np.where(last == n - 1, np.inf, np.where(last < 0, sizes[0], found))


def _drawn(aucs: pd.DataFrame, draws: pd.DataFrame, seed: int) -> Iterator[tuple]:
    """Yield target and mode, sizes, AUCs by source, their mean over images drawn, and `_means`.

    AUCs have the shape (n_seeds, n_folds, n_sizes), of the seeds that ran everywhere. The last also has every ordered pair of
    sources, and every source with `none`: the first minus the second.
    """
    for key, here in aucs.groupby(["target", "mode"], sort=False):
        sizes = np.sort(here["n_train"].unique())
        wide = here.pivot(index=["source", "seed"], columns=["fold", "n_train"], values="auc")
        wide = wide.sort_index(axis=1).dropna()
        names = [name for name in here["source"].unique() if name in wide.index.get_level_values("source")]
        of = draws.xs(key, level=["target", "mode"]).groupby(["source", "n_train", "seed"]).mean()
        images = {name: of.loc[name].groupby("n_train").mean().to_numpy() for name in names}
        values = {name: wide.loc[name].to_numpy().reshape(-1, here["fold"].nunique(), len(sizes)) for name in names}
        found = {name: _means(values[name], images[name], seed) for name in names}
        for one, other in ((one, other) for one, other in permutations(names, 2) if one != "none"):
            apart = (wide.loc[one] - wide.loc[other]).dropna().to_numpy().reshape(-1, *values[one].shape[1:])
            found[one, other] = _means(apart, images[one] - images[other], seed)
        yield key, sizes.astype(float), values, images, found


def _means(values: np.ndarray, images: np.ndarray, seed: int) -> np.ndarray:
    """Return draws of means over seeds, shape (n_sizes, n_draws): held-out images drawn, and normal deviations of seeds.

    `images` are bootstrap draws of the means of `values` over held-out images. Few seeds widen the draws, as far as their part
    of the variance goes: to the quantiles of Student's t with Satterthwaite's degrees of freedom.
    """
    n, n_sizes, mean = len(values), len(images), values.mean(axis=(0, 1))[:, None]
    if n < 2:
        return images
    variance = _of_seeds(values)
    share = variance / np.maximum(variance + np.nanvar(images, axis=1), TINY)
    wider = stats.t.ppf(0.975, (n - 1) * n_sizes / np.maximum(share, TINY) ** 2) / stats.norm.ppf(0.975)
    moved = np.sqrt(variance)[:, None] * np.random.default_rng(seed).standard_normal(images.shape)
    return mean + wider[:, None] * (images - mean + moved)


def _of_seeds(values: np.ndarray) -> np.ndarray:
    """Return the variance of the mean over seeds at every size, shape (n_sizes,); NaN with one seed.

    How far a seed acts alike in all folds, the mean square of whole seeds divided by that of single trainings, is taken to be
    the same at all sizes: with two or three seeds, a size alone tells too little.
    """
    n, n_folds, n_sizes = values.shape
    if n < 2:
        return np.full(n_sizes, np.nan)
    apart = values - values.mean(axis=0)
    single = (apart**2).sum(axis=(0, 1)) / (n_folds * (n - 1))
    whole = n_folds * (apart.mean(axis=1) ** 2).sum(axis=0) / (n - 1)
    return whole.sum() / max(single.sum(), TINY) * single / (n * n_folds)
