"""How often does the ranking of sources find differences that are not there, if results are missing? Prints two tables.

    .venv/bin/python benchmarks/ranking.py [--tables 2000] [--permutations 499]

AUCs are random numbers. A random share of them is missing. A design is drawn again if a target has fewer than two results, or if
the targets do not connect all sources. Rejected: share of the tables in which Skillings and Mack's test has p at most .05,
by permutation and by the chi-squared distribution, and in which a pair of sources has (max-T). In the second table, the first
half of the sources is better than the second half by 5 standard deviations; counted are tables in which a pair within a half
differs.
"""

import argparse

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.statistics.paired_tests import skillings_mack

MISSING = 0.3
TARGETS, SOURCES = (3, 4, 5, 6, 9, 12), (5, 7, 10)


def designs(n_targets: int, n_sources: int, n_tables: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return masks of known results, shape (n_targets, n_sources), that connect all sources."""
    found: list[np.ndarray] = []
    while len(found) < n_tables:
        known = rng.random((n_targets, n_sources)) >= MISSING
        if known.any(axis=0).all() and (known.sum(axis=1) > 1).all():
            matrix = np.where(known, 0.0, np.nan)
            if not skillings_mack(matrix, n_draws=0).parts.any():
                found.append(known)
    return found


def rejected(n_targets: int, n_sources: int, n_tables: int, n_draws: int, *, apart: float) -> dict[str, float]:
    """Return the shares of tables with a difference, found in `n_tables` random ones."""
    rng = np.random.default_rng([n_targets, n_sources])
    half = n_sources // 2
    better = np.arange(n_sources) < half
    within = better[:, None] == better
    rows = []
    for known in designs(n_targets, n_sources, n_tables, rng):
        values = rng.normal(size=known.shape) + apart * better
        found = skillings_mack(np.where(known, values, np.nan), n_draws=n_draws)
        chi_squared = stats.chi2.sf(found.statistic, n_sources - 1)
        pair = found.p_pairs[within].min() if apart else found.p_pairs.min()
        rows.append((found.p <= 0.05, chi_squared <= 0.05, pair <= 0.05))
    shares = np.mean(rows, axis=0).round(4)
    names = ("permutation", "chi_squared", "a pair (max-T)")
    if apart:
        return {"targets": n_targets, "sources": n_sources, "a pair within a half": shares[2]}
    return {"targets": n_targets, "sources": n_sources, **dict(zip(names, shares, strict=True))}


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--permutations", type=int, default=499)
    given = parser.parse_args()
    for apart in (0.0, 5.0):
        rows = [rejected(n, k, given.tables, given.permutations, apart=apart) for n in TARGETS for k in SOURCES]
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    error = np.sqrt(0.05 * 0.95 / given.tables)
    print(f"{given.tables:,} tables each, {MISSING:.0%} missing; a share of .05 has a standard error of {error:.4f}.")


if __name__ == "__main__":
    main()
