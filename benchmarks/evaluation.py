"""Measure the speed of the bootstrap of an AUC, against scikit-learn in a loop; print one table.

    .venv/bin/python benchmarks/evaluation.py [--rounds 5] [--loop-draws 60]

Scores and groups are generated. The compared methods alternate, round by round; a value is the median over the rounds, and a
ratio is the median of the ratios within a round. The loop draws the same groups and calls roc_auc_score on their rows. It is
timed on fewer draws and scaled to all of them, because every draw costs the same. Before timing, the script checks that both
methods give the same AUCs.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import sklearn
from sklearn.metrics import roc_auc_score

from catscans_lib.statistics.bootstrap import auc_draws

N_IMAGES, N_DRAWS = 10_000, 2_000
SHARES = (0.11, 0.67, 0.05, 0.03, 0.11, 0.01, 0.02)  # of the seven classes of ISIC 2018


def predictions(n_classes: int, per_group: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Return labels, probabilities, classes and groups."""
    rng = np.random.default_rng(0)
    classes = tuple(f"class_{number}" for number in range(n_classes))
    number = rng.choice(n_classes, N_IMAGES, p=SHARES if n_classes == len(SHARES) else None)
    logits = 1.5 * np.eye(n_classes)[number] + rng.normal(size=(N_IMAGES, n_classes))
    scores = np.exp(logits)
    groups = np.arange(N_IMAGES) // per_group
    return np.array(classes)[number], scores / scores.sum(axis=1, keepdims=True), classes, groups


def loop(
    labels: np.ndarray, scores: np.ndarray, classes: tuple[str, ...], groups: np.ndarray, n_draws: int
) -> np.ndarray:
    """Bootstrap in the obvious way: draw groups, concatenate their rows, call roc_auc_score."""
    rng = np.random.default_rng(0)
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    numbers, draws = np.argmax(labels[:, None] == np.array(classes), axis=1), []
    options = {} if len(classes) == 2 else {"multi_class": "ovr", "average": "weighted"}
    given = scores[:, 1] if len(classes) == 2 else scores
    for _ in range(n_draws):
        rows = np.concatenate([rows_of[code] for code in rng.integers(len(names), size=len(names))])
        draws.append(roc_auc_score(numbers[rows], given[rows], **options))
    return np.array(draws)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def take_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the wall times (s) of every method; the methods alternate."""
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(seconds(work))
    return taken


def row(what: str, values: list[float], unit: str, target: str = "") -> dict:
    """Return one line of the table."""
    return {
        "what": what,
        "median": f"{statistics.median(values):.4g}",
        "range": f"{min(values):.4g}-{max(values):.4g}",
        "unit": unit,
        "target": target,
    }


def bootstrap_rows(n_classes: int, per_group: int, rounds: int, n_loop: int) -> list[dict]:
    """Return the seconds of our bootstrap and of the loop, and their ratio."""
    given = predictions(n_classes, per_group)
    labels, scores, *rest = given
    ours = partial(auc_draws, labels, [scores], *rest, seed=0)
    np.testing.assert_allclose(ours(n_draws=5)[0], loop(*given, 5), atol=1e-12)
    ways = {"ours": partial(ours, n_draws=N_DRAWS), "loop": lambda: loop(*given, n_loop)}
    taken = take_turns(ways, rounds)
    scaled = [one * N_DRAWS / n_loop for one in taken["loop"]]
    ratios = [slow / fast for slow, fast in zip(scaled, taken["ours"], strict=True)]
    return [
        row(f"bootstrap, {n_classes} classes, groups of {per_group}", taken["ours"], "s", "< 10"),
        row(f"  roc_auc_score in a loop, from {n_loop} draws", scaled, "s"),
        row("  ratio", ratios, "x", ">= 20"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-draws", type=int, default=60)
    given = parser.parse_args()
    rows = []
    for n_classes in (2, len(SHARES)):
        for per_group in (1, 3):
            rows += bootstrap_rows(n_classes, per_group, given.rounds, given.loop_draws)
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"Bootstrap: {N_DRAWS:,} draws of {N_IMAGES:,} predictions; the loop is timed on fewer and scaled.")
    versions = f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
    print(f"Medians of {given.rounds} rounds; {os.cpu_count()} cores; {versions}.")


if __name__ == "__main__":
    main()
