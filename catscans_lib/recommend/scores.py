"""Scores of every candidate: how well its features of the user's images separate their classes."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import store
from catscans_lib.recommend.candidates import Candidate
from catscans_lib.recommend.own_images import OwnImages
from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs, attempt

Say = Callable[[str], None]
KEYS = ["name", "source", "family", "backbone"]


class Scored(NamedTuple):
    """A table with a row per candidate, columns `KEYS` and one per measure, NaN without a value.

    `problems` are sentences on what could not be loaded or computed, `notes` on what was ignored.
    """

    all: pd.DataFrame
    problems: list[str]
    notes: list[str]


def of_candidates(
    candidates: Sequence[Candidate], images: OwnImages, measures: Sequence[str], seed: int, say: Say, *, may_fail: bool
) -> Scored:
    """Return the scores of every candidate; with `may_fail`, one whose network cannot be loaded becomes a problem."""
    groups, labels, problems, notes, rows = images.subset.groups, images.subset.labels, [], [], []
    with_features = [one for one in candidates if one.compute]
    for candidate in candidates:
        keys = {key: getattr(candidate, key) for key in KEYS}
        if candidate.compute is None:
            rows.append(keys)
            continue
        started = time.monotonic()
        place = f"{with_features.index(candidate) + 1} of {len(with_features)}, {candidate.name}"
        say(f"{place}: features")
        try:
            features, more = candidate.compute(images)
        except InputError as error:
            if not may_fail:
                raise
            problems.append(f"{candidate.name} is not ranked: {error}")
            continue
        notes += more
        gc.collect()  # Keras leaves cycles: memory must not grow with the number of candidates
        say(f"{place}: scores of {features.shape[1]:,} features (after {time.monotonic() - started:.0f} s)")
        values, failed = _scores(features, labels, groups, measures, seed)
        problems += [f"{candidate.name}: {failure}" for failure in failed]
        rows.append(keys | values)
    return Scored(pd.DataFrame(rows, columns=[*KEYS, *measures]), problems, notes)


def _scores(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, measures: Sequence[str], seed: int
) -> tuple[dict[str, float], list[str]]:
    inputs = Inputs(features=features, labels=store.occurring(labels), groups=groups)
    values, failed = {}, []
    for measure in registry.chosen(measures):
        value, problem = attempt(measure.compute, inputs, seed)
        if problem:
            failed.append(f"{measure.title} has no value: {problem}")
        else:
            values[measure.name] = value if measure.larger_is_closer else -value
    return values, failed
