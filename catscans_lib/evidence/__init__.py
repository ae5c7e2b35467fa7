"""The published results, re-examined: AUCs and distances of the original study, and the scores of a later one."""

from catscans_lib.evidence.analyses import (
    correlations,
    draws,
    fold_tests,
    noise_floor,
    random_draws,
    ranks,
)
from catscans_lib.evidence.chapter import TITLES, numbers
from catscans_lib.evidence.tables import (
    aucs,
    baselines,
    committed_draws,
    medmnist,
    read,
    similarity,
)

__all__ = [
    "TITLES",
    "aucs",
    "baselines",
    "committed_draws",
    "correlations",
    "draws",
    "fold_tests",
    "medmnist",
    "noise_floor",
    "numbers",
    "random_draws",
    "ranks",
    "read",
    "similarity",
]
