"""A measure against the rules that it has to beat: intervals of their differences, on the same draws."""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import pandas as pd

from catscans_lib.statistics.bootstrap import interval
from catscans_lib.statistics.ranks import STATISTICS, known_mean
from catscans_lib.transferability import resampling
from catscans_lib.transferability.associations import LEVEL, REGRET, Panel, panels

COLUMNS = ["evidence", "mode", "measure", "uses_labels", "rule", "statistic", "value", "low", "high", "n", "verdict"]


def against_rules(
    results: pd.DataFrame, similarity: pd.DataFrame, baselines: pd.DataFrame, *, evidence: str, n_draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Compare every measure with every rule over all targets; arguments as for `associations`.

    A difference needs its own interval: two marginal intervals may overlap although one is better in nearly every draw. All
    statistics but regret use the pairs for which both have a value, in draws of sources and folds. Regret charges both against
    the best of all sources with results; its interval is Student's over targets.

    value is measure minus rule, low and high are 95 % (NaN for regret on a single target), n are pairs with both values; verdict:
    `better` or `worse` where the interval excludes 0, else `open`. A rule that treats all sources alike has no correlation.
    """
    rows = []
    for mode, arranged, kinds in panels(results, similarity, baselines):
        pairs = product(*(np.flatnonzero(kinds["kind"] == kind) for kind in ("measure", "baseline")))
        for number, rule, found, n in _compared(arranged, pairs, n_draws, seed):
            keys = (evidence, mode, arranged.measures[number], kinds["uses_labels"].iloc[number])
            for name, numbers in zip(STATISTICS, found, strict=True):
                low, high = sorted(numbers[1:] * (-1 if name == "regret" else 1))
                verdict = "better" if low > 0 else "worse" if high < 0 else "open"
                rows.append((*keys, arranged.measures[rule], name, *numbers, n, verdict))
    return pd.DataFrame(rows, columns=COLUMNS).dropna(subset="value", ignore_index=True)


def _compared(arranged: Panel, pairs: Iterable[tuple[int, int]], n_draws: int, seed: int) -> Iterator[tuple]:
    """Yield every pair of measures with value, low and high of the difference of each statistic, (5, 3), and n."""
    drawn, known = resampling.sample(arranged.results, n_draws, seed), {}
    masks = ~np.isnan(arranged.values) & ~np.isnan(arranged.results).all(axis=2)
    observed = [resampling.values(x, drawn.observed)[:-1, REGRET, 0] for x in arranged.values]

    def statistics(number: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = number, mask.tobytes()
        if key not in known:
            x = np.where(mask, arranged.values[number], np.nan)
            known[key] = tuple(resampling.values(x, d)[-1] for d in (drawn.observed, drawn.shared))
        return known[key]

    for one, other in pairs:
        mask = masks[one] & masks[other]
        (value, draws), (value_of_other, draws_of_other) = (statistics(number, mask) for number in (one, other))
        value, draws = (value - value_of_other)[:, 0], draws - draws_of_other
        lost = observed[one] - observed[other]
        limits = np.column_stack(interval(draws, LEVEL))
        value[REGRET], limits[REGRET] = known_mean(lost), resampling.mean_interval(lost, LEVEL)
        yield one, other, np.column_stack([value, limits]), int(mask.sum())
