"""Intervals and odds of the advice on simulated studies, by the benchmark of the same simulation."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SPEC = importlib.util.spec_from_file_location("advice", Path(__file__).parents[2] / "benchmarks" / "advice.py")
advice = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(advice)


def simulated(n_worlds, *cell, seed):
    rng = np.random.default_rng(seed)
    worlds = [advice.one(rng, *cell).assign(world=number) for number in range(n_worlds)]
    return pd.concat(worlds, ignore_index=True)


def test_a_simulated_world_has_its_missing_pairs_and_a_source_that_nobody_knows():
    old, news = advice.world(np.random.default_rng(0), 10, True, 0.3)
    assert 0.55 * 70 < len(old) < 0.85 * 70
    assert [set(new["source"]) - set(old["source"]) for new in news] == [{"mine"}] * advice.N_NEW
    assert old.groupby("target").size().min() >= 3


def test_odds_are_better_than_the_base_rate_and_intervals_cover():
    found = advice.summary(simulated(8, 3, True, 0.3, seed=1))
    assert found["coverage"] > 0.88
    assert found["log score"] > found["base rate"]
    assert found["advice lost"] < found["random lost"]


@pytest.mark.slow
@pytest.mark.parametrize("n_targets", [2, 5, 10])
def test_intervals_cover_95_percent_and_odds_are_calibrated(n_targets):
    parts = [simulated(40, n_targets, unequal, 0.3, seed=n_targets) for unequal in (False, True)]
    table = pd.concat(
        [part.assign(world=part["world"] + 1000 * number) for number, part in enumerate(parts)], ignore_index=True
    )
    found = advice.summary(table)
    assert 0.93 - 2 * found["se"] < found["coverage"] < 0.97 + 2 * found["se"]
    assert found["expected error"] < 0.05
    assert found["log score"] > found["base rate"] + 0.2
