"""What a study of this size could have found: the smallest correlation it can detect, and how high one can be."""

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib.statistics import ranks
from catscans_lib.transferability.associations import panel, panels

CORRELATIONS = ranks.STATISTICS[:3]
POWER, LEVEL = 0.8, 0.05
COLUMNS = [
    "mode", "statistic", "n_sources", "n_targets", "detectable_apart", "detectable_alike", "reliability", "ceiling", "repeats",
    "n_repeats",
]  # fmt: skip


def limits(results: pd.DataFrame, similarity: pd.DataFrame, statistic: str, *, seed: int = 0) -> pd.DataFrame:
    """Return, per mode, the smallest correlation that the study can show, and the highest that any measure can reach.

    `results` and `similarity` are as for `associations`; n_sources is the largest number of a target. See `detectable` and
    `ceiling` for the other columns; these are NaN for regret and accuracy, which are no correlations.
    """
    rows = []
    for mode, arranged, _ in panels(results, similarity, None):
        n = [int(count) for count in (~np.isnan(arranged.results).all(axis=2)).sum(axis=1) if count > 1]
        here = results[results["mode"] == mode]
        repeats = "folds" if here["fold"].nunique() > 1 or "seed" not in here else "seeds"
        by_repeat = here if repeats == "folds" else here.assign(fold=here["seed"])
        found = panel(by_repeat, similarity).results
        smallest = [detectable(n, statistic, alike=alike, seed=seed) for alike in (False, True)]
        highest = ceiling(found, statistic, seed=seed)
        rows.append((mode, statistic, max(n, default=0), len(n), *smallest, *highest, repeats, found.shape[2]))
    return pd.DataFrame(rows, columns=COLUMNS)


def detectable(n_sources: list[int], statistic: str, *, alike: bool, n_simulated: int = 2000, seed: int = 0) -> float:
    """Return the smallest true correlation that is significant at 5 % in 80 % of simulated studies; NaN if none below .995 is.

    Measure and AUC are bivariate normal within each target, `n_sources` per target. `alike`: the sources have the same values
    and AUCs on all targets; otherwise each target is an independent sample. A real study lies between the two. The critical
    value is the 95 % quantile of the absolute statistic without a relation.
    """
    if statistic not in CORRELATIONS or not n_sources or max(n_sources) < 3:
        return np.nan
    rng, place = np.random.default_rng(seed), ranks.STATISTICS.index(statistic)
    sizes = [max(n_sources)] if alike else n_sources
    # expected order statistics (Blom)
    scores = [special.ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25)) for n in sizes]
    noise = [rng.normal(size=(n_simulated, n)) for n in sizes]

    def simulated(r: float) -> np.ndarray:
        drawn = [r * x / x.std() + np.sqrt(1 - r**2) * e for x, e in zip(scores, noise, strict=True)]
        found = [ranks.on_target(x, ranks.draws(y, np.ones_like(y))) for x, y in zip(scores, drawn, strict=True)]
        return ranks.over_targets(found).values[place]

    critical = np.quantile(np.abs(simulated(0)), 1 - LEVEL)
    low, high = 0.0, 0.995
    if (simulated(high) > critical + 1e-9).mean() < POWER:
        return np.nan
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if (simulated(middle) > critical + 1e-9).mean() >= POWER else (middle, high)
    return high


def ceiling(results: np.ndarray, statistic: str, *, n_splits: int = 100, seed: int = 0) -> tuple[float, float]:
    """Return the reliability of the sources' AUCs within targets, and its square root; NaN with fewer than two repeats.

    `results` has shape (n_targets, n_sources, n_repeats). The repeats (folds or seeds) are split into two halves at random; the
    mean correlation of their AUCs, pooled over targets and at least 0, gives by Spearman and Brown's formula (1910, Br. J.
    Psychol. 3(3)) that of all repeats. A measure without any error correlates with the observed AUCs by its square root at most.
    Folds share training images, so the reliability is rather too high.
    """
    n = results.shape[2]
    if statistic not in CORRELATIONS or n < 2:
        return np.nan, np.nan
    rng, found = np.random.default_rng(seed), []
    for _ in range(n_splits):
        one, other = np.split(rng.permutation(n)[: n // 2 * 2], 2)
        halves = ranks.known_mean(results[:, :, one], axis=2), ranks.known_mean(results[:, :, other], axis=2)
        pairs = zip(*halves, strict=True)
        on_targets = [ranks.on_target(x, ranks.draws(y[None], np.ones((1, len(y))))) for x, y in pairs]
        found.append(ranks.over_targets(on_targets).values[ranks.STATISTICS.index(statistic), 0])
    known = np.array(found)[~np.isnan(found)]
    r, longer = max(known.mean(), 0.0) if len(known) else np.nan, n / (n // 2)
    reliability = longer * r / (1 + (longer - 1) * r)
    return float(reliability), float(np.sqrt(reliability))
