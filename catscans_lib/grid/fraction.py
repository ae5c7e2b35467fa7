"""A balanced part of the pairs of sources and targets: an incomplete block design whose blocks are the targets."""

from collections.abc import Collection
from functools import lru_cache

from catscans_lib.errors import InputError

Pair = tuple[str, str]


def pairs(sources: Collection[str], targets: Collection[str], fraction: float, seed: int) -> Collection[Pair]:
    """Return about this share of the pairs of a source with another target; a smaller share lies within a larger one.

    Targets differ by at most one in their number of sources, sources about as little in theirs, and any two sources share
    about as many targets as any other two. InputError if a source or a target would have no pair.
    """
    order = _order(tuple(sources), tuple(targets), seed)
    n, lowest = round(fraction * len(order)), least(sources, targets)
    if n < round(lowest * len(order)):
        raise InputError(
            f"fraction {fraction:g} leaves {n} of {len(order)} pairs, and some source or target without any. The smallest "
            f"one is {lowest:.3g}."
        )
    return frozenset(order[:n])


def least(sources: Collection[str], targets: Collection[str]) -> float:
    """Return the smallest share in which every source and every target has a pair."""
    n_pairs = len(sources) * len(targets) - len(set(sources) & set(targets))
    return min(1.0, max(len(sources), len(targets)) / max(n_pairs, 1))


@lru_cache(maxsize=8)
def _order(sources: tuple[str, ...], targets: tuple[str, ...], seed: int) -> list[Pair]:
    """Return all pairs in the order in which they are added: every target in turn gets the source that is rarest so far.

    Of equally rare sources, it is the one that has met the target's sources least often.
    """
    import numpy as np

    rng, n = np.random.default_rng(seed), len(sources)
    free = np.array([[source != target for target in targets] for source in sources])
    met, count, found = np.zeros((n, n), int), np.zeros(n, int), []
    for _ in range(n):
        for target in rng.permutation(len(targets)):
            here = free[:, target]
            if here.any():
                has = ~here & np.array([source != targets[target] for source in sources])
                keys = np.lexsort((rng.random(n), met[:, has].sum(axis=1), count, ~here))
                source = keys[0]
                met[source, has] += 1
                met[has, source] += 1
                count[source] += 1
                free[source, target] = False
                found.append((sources[source], targets[target]))
    return found
