"""Images that occur twice: near duplicates by perceptual hash, and images that two datasets share."""

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from catscans_lib.images.store import ImageStore

N_BITS = 64
MAX_BITS = 3  # near duplicates differ in at most so many bits; the search of `_close` allows no more
BLOCK = 2048  # images at a time: memory does not grow with the dataset
IDENTICAL = ["dataset", "other", "sha256", "path", "other_path", "label", "other_label"]
ALIKE = ["dataset", "other", "bits", "path", "other_path", "label", "other_label"]


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Return the signs of the 64 lowest cosine frequencies of grey 32 x 32 blocks around their median, uint64 (Zauner 2010)."""
    from scipy.fft import dctn  # half a second that other runs need not wait

    hashes = np.empty(len(images), np.uint64)
    for start in range(0, len(images), BLOCK):
        waves = dctn(_block_means(images[start : start + BLOCK]), axes=(1, 2))[:, :8, :8].reshape(-1, N_BITS)
        bits = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
        hashes[start : start + BLOCK] = np.packbits(bits, axis=1).view(">u8").ravel()
    return hashes


def close_pairs(hashes: np.ndarray) -> np.ndarray:
    """Return pairs of rows whose hashes differ in at most 3 bits, shape (n_pairs, 2), sorted, first < second.

    Rows with equal hashes are paired with the first of them only: a thousand blank images give 999 pairs, not half a million.
    """
    _, first, same = np.unique(hashes, return_index=True, return_inverse=True)
    rows = np.arange(len(hashes))
    equal = np.stack([first[same], rows], axis=1)[first[same] != rows]
    distinct = np.sort(first)
    return np.unique(np.concatenate([equal, distinct[_close(hashes[distinct])]]), axis=0)


def near(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mark the hashes that equal one of `others` or differ from it in at most 3 bits, shape (n_images,)."""
    distinct, code = np.unique(np.concatenate([hashes, others]), return_inverse=True)
    there = np.zeros(len(distinct), bool)
    there[code[len(hashes) :]] = True
    pairs = _close(distinct)
    close = np.concatenate([pairs[there[pairs[:, 1]], 0], pairs[there[pairs[:, 0]], 1]])
    return (there | np.isin(np.arange(len(distinct)), close))[code[: len(hashes)]]


def groups(hashes: np.ndarray) -> np.ndarray:
    """Return for each row the first row linked with it through close pairs, shape (n_images,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = close_pairs(hashes)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(hashes), len(hashes)))
    component = connected_components(edges, directed=False)[1]
    return np.unique(component, return_index=True)[1][component]


def read(datasets: list[str], open_store: Callable[[str], "ImageStore"]) -> pd.DataFrame:
    """Read the stores; return dataset (ordered as given), row, path (or id), label, sha256, hash, blank (all pixels equal)."""
    parts = []
    for dataset in datasets:
        opened = open_store(dataset)
        values = opened.images.reshape(len(opened.images), -1)
        blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
        is_blank = np.concatenate([(block[:, 3:] == block[:, :-3]).all(axis=1) for block in blocks])
        name = pd.Categorical([dataset], datasets, ordered=True).repeat(len(values))
        part = opened.table[["label", "sha256"]].assign(dataset=name, row=range(len(values)), path=names(opened.table))
        parts.append(part.assign(hash=perceptual_hashes(opened.images), blank=is_blank))
    return pd.concat(parts, ignore_index=True)


def identical(images: pd.DataFrame) -> pd.DataFrame:
    """Return each file that two datasets share, in the columns `IDENTICAL`; of copies in a dataset the first."""
    seen = images.drop_duplicates(["dataset", "sha256"])
    seen = seen[seen["sha256"].duplicated(keep=False)]
    pairs = seen.merge(_as_other(seen), left_on="sha256", right_on="other_sha256")
    return _sorted(pairs[pairs["dataset"] < pairs["other"]])


def alike(images: pd.DataFrame) -> pd.DataFrame:
    """Return near duplicates that are different files of two datasets, in the columns `ALIKE`; bits of difference.

    One row per pair of hashes and of datasets: of several images with one hash, the first two different files; no blank images.
    """
    seen = images[~images["blank"]].drop_duplicates(["dataset", "hash", "sha256"])
    # Two files per hash are enough: if any pair of files differs, one of the first two differs from the other's first.
    seen = seen[seen.groupby(["dataset", "hash"]).cumcount() < 2]
    hashes = seen["hash"].unique()
    close = hashes[close_pairs(hashes)]
    both_ways = np.concatenate([np.stack([hashes, hashes], axis=1), close, close[:, ::-1]])
    links = pd.DataFrame(both_ways, columns=["hash", "other_hash"])
    pairs = seen.merge(links, on="hash").merge(_as_other(seen), on="other_hash")
    pairs = pairs[(pairs["dataset"] < pairs["other"]) & (pairs["sha256"] != pairs["other_sha256"])]
    pairs = _sorted(pairs).drop_duplicates(["dataset", "other", "hash", "other_hash"], ignore_index=True)
    return pairs.assign(bits=np.bitwise_count(pairs["hash"] ^ pairs["other_hash"]))


def names(table: pd.DataFrame) -> list[str]:
    """Return the path of each image, or its id where it has no path."""
    return list(table["path"].where(table["path"] != "", table["image_id"]))


def counts(datasets: list[str], identical: pd.DataFrame, alike: pd.DataFrame) -> pd.DataFrame:
    """Return dataset, other, n_identical, n_alike for every pair of datasets."""
    rows = []
    for one, other in combinations(datasets, 2):
        found = (((pairs["dataset"] == one) & (pairs["other"] == other)).sum() for pairs in (identical, alike))
        rows.append((one, other, *map(int, found)))
    return pd.DataFrame(rows, columns=["dataset", "other", "n_identical", "n_alike"])


def _block_means(images: np.ndarray) -> np.ndarray:
    """Means of 32 x 32 blocks of the grey image, shape (n, 32, 32), float32; smaller images stay as they are."""
    n_blocks = min(32, images.shape[1])
    edges = np.arange(n_blocks) * images.shape[1] // n_blocks
    grey = images.mean(axis=3, dtype="float32")
    sums = np.add.reduceat(np.add.reduceat(grey, edges, axis=1), edges, axis=2)
    lengths = np.diff(np.append(edges, images.shape[1]))
    return sums / (lengths[:, None] * lengths[None, :])


def _close(hashes: np.ndarray) -> np.ndarray:
    """Pairs of rows of distinct hashes, shape (n_pairs, 2), first < second."""
    found = [np.empty((0, 2), int)]
    # Close hashes agree in at least one of four 16-bit quarters. Rows are sorted by a quarter, then each row is compared
    # with the next, the one after it, and so on while the quarter is equal.
    for quarter in range(4):
        keys = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")  # keeps rows with an equal quarter in order
        keys = keys[order]
        at, step = np.arange(len(keys)), 0
        while len(at):
            step += 1
            at = at[at + step < len(keys)]
            at = at[keys[at] == keys[at + step]]
            pairs = np.stack([order[at], order[at + step]], axis=1)
            found.append(pairs[np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= MAX_BITS])
    return np.concatenate(found)


def _as_other(images: pd.DataFrame) -> pd.DataFrame:
    return images.add_prefix("other_").rename(columns={"other_dataset": "other"})


def _sorted(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.sort_values(["dataset", "other", "row", "other_row"], ignore_index=True)
