"""Print how long every measure of similarity takes.

    .venv/bin/python benchmarks/similarity.py [--rounds 3] [--textbook]

Medians over the rounds, one thread. `--textbook` also computes LogME of 100,000 images by a full SVD (up to 8 minutes).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs
from catscans_lib.similarity.measures.feature_based import logme

N, D, C = 1000, 512, 5
SIZES = (500, 1000, 2000)


def features(n: int, d: int, c: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes that differ in mean, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % c
    means = np.random.default_rng(99).normal(0, 0.5, (c, d))
    return means[labels] + rng.normal(size=(n, d)), labels


def inputs(n: int) -> Inputs:
    """Everything that a measure of features needs, for n images of both sets."""
    (x, y), (source_x, _) = features(n, D, C), features(n, D, C, seed=1)
    head = np.random.default_rng(2).dirichlet(np.ones(10), n)
    fisher = np.abs(np.random.default_rng(3).normal(size=(2, 5000)))
    return Inputs(
        features=x, labels=y, source_head=head,
        source_features=source_x, fisher=fisher[0], source_fisher=fisher[1],
    )  # fmt: skip


def seconds(job: Callable[[], object], rounds: int) -> float:
    """Median wall time."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        job()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measure_rows(rounds: int) -> list[dict]:
    """Seconds of every measure, and the power of n with which they grow."""
    given = {n: inputs(n) for n in SIZES}
    rows = []
    for name in [name for name, one in registry.MEASURES.items() if not one.missing(given[N])]:
        times = {n: seconds(lambda n=n, name=name: registry.get(name).compute(given[n]), rounds) for n in SIZES}
        power = np.polyfit(np.log(SIZES), np.log([times[n] for n in SIZES]), 1)[0]
        rows.append(
            {
                "what": name,
                "seconds": times[N],
                "grows with n to the": f"{power:.1f}",
                "stated": registry.get(name).cost,
            }
        )
        print(f"  {name}", file=sys.stderr)
    total = {"what": "all of these", "seconds": sum(row["seconds"] for row in rows)}
    return [*rows, total]


def textbook(x: np.ndarray, y: np.ndarray) -> float:
    """LogME as its paper writes it down: a full SVD, then the fixed point of alpha and beta for every class."""
    n, d = x.shape
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    evidences = []
    for label in range(y.max() + 1):
        target = (y == label).astype(float)
        along = (u.T @ target) ** 2
        rest, alpha, beta = target @ target - along.sum(), 1.0, 1.0
        for _ in range(200):
            t = alpha / beta
            gamma = (s**2 / (s**2 + t)).sum()
            weights = (s**2 * along / (t + s**2) ** 2).sum()
            error = rest + (along * t**2 / (t + s**2) ** 2).sum()
            alpha, beta = gamma / weights, (n - gamma) / error
            if abs(alpha / beta / t - 1) < 1e-12:
                break
        evidence = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - np.log(alpha + beta * s**2).sum() / 2
        evidences.append((evidence - beta / 2 * error - alpha / 2 * weights - n / 2 * np.log(2 * np.pi)) / n)
    return float(np.mean(evidences))


def logme_rows(with_textbook: bool) -> list[dict]:
    """LogME of 100,000 images, 2,048 features, 10 classes."""
    x, y = features(100_000, 2048, 10)
    start = time.perf_counter()
    ours = logme(x, y)
    taken = time.perf_counter() - start
    rows = [{"what": "LogME, 100,000 x 2,048, 10 classes", "seconds": taken, "stated": f"value {ours:.10f}"}]
    if with_textbook:
        start = time.perf_counter()
        theirs = textbook(x, y)
        other = time.perf_counter() - start
        note = f"{other / taken:.1f} times ours (target >= 5), {abs(theirs - ours):.1e} apart (target 1e-6)"
        rows.append({"what": "  by a full SVD", "seconds": other, "stated": note})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--textbook", action="store_true")
    given = parser.parse_args()
    with threadpool_limits(1):
        rows = measure_rows(given.rounds)
    rows += logme_rows(given.textbook)
    table = pd.DataFrame(rows).fillna("")
    table["seconds"] = table["seconds"].map("{:.3f}".format)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
