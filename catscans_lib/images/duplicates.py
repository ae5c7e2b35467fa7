"""Which images lie in two datasets, as the same file or by their look?

An image is a few numbers here (its dataset, its row there, its file, its hash), so that many datasets can be compared;
paths and labels are read again for the pairs that were found.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image

from catscans_lib.images import checks, perceptual_hash
from catscans_lib.images.store import ImageStore

IDENTICAL = ["dataset", "other", "sha256", "path", "other_path", "label", "other_label"]
ALIKE = ["dataset", "other", "bits", "path", "other_path", "label", "other_label"]
PLACES = ["dataset", "row", "other", "other_row"]
OpenStore = Callable[[str], ImageStore]  # the image store of a dataset, by its key


def read(datasets: list[str], open_store: OpenStore) -> pd.DataFrame:
    """Read the stores, one after another.

    Returns
    -------
    pandas.DataFrame
        One row per image: dataset (ordered as given), row (in its store), hash (see `likeness.perceptual_hashes`), blank
        (whether it is of one colour), file (a number per SHA-256).
    """
    parts, sha256s = [], []
    for dataset in datasets:
        opened = open_store(dataset)
        hashes, blank = _looks(opened.images)
        name = pd.Categorical([dataset], datasets, ordered=True).repeat(len(hashes))
        parts.append(pd.DataFrame({"dataset": name, "row": np.arange(len(hashes)), "hash": hashes, "blank": blank}))
        sha256s.append(opened.table["sha256"].to_numpy(dtype="S64"))
    files = np.unique(np.concatenate(sha256s), return_inverse=True)[1]
    return pd.concat(parts, ignore_index=True).assign(file=files)


def summary(images: pd.DataFrame) -> pd.DataFrame:
    """Return dataset, n_images, n_blank."""
    return images.groupby("dataset").agg(n_images=("row", "size"), n_blank=("blank", "sum")).reset_index()


def identical(images: pd.DataFrame) -> pd.DataFrame:
    """Files that lie in two datasets: dataset, row, other, other_row.

    One row per file and two datasets that hold it; where a dataset holds it several times, its first image stands for it.
    """
    seen = images.drop_duplicates(["dataset", "file"])
    seen = seen[seen["file"].duplicated(keep=False)]
    pairs = seen.merge(_as_other(seen), left_on="file", right_on="other_file")
    return _sorted(pairs[pairs["dataset"] < pairs["other"]])[PLACES]


def alike(images: pd.DataFrame, max_bits: int = perceptual_hash.MAX_BITS) -> pd.DataFrame:
    """Images of two datasets that look the same in different files: dataset, row, other, other_row, bits (of difference).

    One row per two hashes and two datasets that hold them: however many images of a dataset have one and the same hash, the
    first that make a pair of different files stand for them. Blank images are left out, for their hashes are the same.

    Parameters
    ----------
    images : pandas.DataFrame
        As `read` returns it.
    max_bits : int
        Largest number of the 64 bits in which two hashes differ; 0 to 3.
    """
    seen = images[~images["blank"]].drop_duplicates(["dataset", "hash", "file"])
    # Two files a hash are enough: where any pair of files differs, one of the first two differs from the other's first.
    seen = seen[seen.groupby(["dataset", "hash"]).cumcount() < 2]
    hashes = seen["hash"].unique()
    close = hashes[perceptual_hash.close_pairs(hashes, max_bits)]
    both_ways = np.concatenate([np.stack([hashes, hashes], axis=1), close, close[:, ::-1]])
    links = pd.DataFrame(both_ways, columns=["hash", "other_hash"])
    pairs = seen.merge(links, on="hash").merge(_as_other(seen), on="other_hash")
    pairs = pairs[(pairs["dataset"] < pairs["other"]) & (pairs["file"] != pairs["other_file"])]
    pairs = _sorted(pairs).drop_duplicates(["dataset", "other", "hash", "other_hash"], ignore_index=True)
    return pairs.assign(bits=np.bitwise_count(pairs["hash"] ^ pairs["other_hash"]))[[*PLACES, "bits"]]


def described(pairs: pd.DataFrame, open_store: OpenStore) -> pd.DataFrame:
    """Add what the stores say of the images: path (id where there is none), label, sha256, each also with `other_`."""
    texts = ["path", "label", "sha256"]
    found = pairs.assign(**dict.fromkeys([*texts, *(f"other_{text}" for text in texts)], ""))
    for dataset in _named(pairs):
        table = open_store(dataset).table
        for side, prefix in (("dataset", ""), ("other", "other_")):
            here = found[side] == dataset
            part = table.iloc[found.loc[here, f"{prefix}row"]]
            part = part.assign(path=checks.names(part))
            found.loc[here, [prefix + text for text in texts]] = part[texts].to_numpy()
    return found


def counts(datasets: list[str], identical: pd.DataFrame, alike: pd.DataFrame) -> pd.DataFrame:
    """Return dataset, other, n_identical, n_alike: the rows of both tables for every two datasets."""
    rows = [
        (one, other, _between(identical, one, other), _between(alike, one, other))
        for one, other in combinations(datasets, 2)
    ]
    return pd.DataFrame(rows, columns=["dataset", "other", "n_identical", "n_alike"])


def examples(identical: pd.DataFrame, alike: pd.DataFrame, n_pairs: int = 12) -> pd.DataFrame:
    """Return pairs to look at: one of every two datasets in turn, those that are only alike first."""
    pairs = pd.concat([alike, identical], ignore_index=True)
    turn = pairs.groupby(["dataset", "other"]).cumcount().to_numpy()
    return pairs.iloc[np.argsort(turn, kind="stable")[:n_pairs]]


def pictures(pairs: pd.DataFrame, open_store: OpenStore) -> tuple[np.ndarray, list[str]]:
    """Return the images of pairs, each beside its other, at the size of the largest, and a label for each.

    The images are uint8, shape (2 * n_pairs, size, size, 3); a label is the pair's number, the dataset and the class.
    """
    stores = {dataset: open_store(dataset).images for dataset in _named(pairs)}
    size = max(images.shape[1] for images in stores.values())
    pixels, labels = [], []
    for number, pair in enumerate(pairs.itertuples(), start=1):
        for dataset, row, label in (
            (pair.dataset, pair.row, pair.label),
            (pair.other, pair.other_row, pair.other_label),
        ):
            pixels.append(np.asarray(Image.fromarray(stores[dataset][row]).resize((size, size))))
            labels.append(f"{number}: {dataset}\n{label}")
    return np.stack(pixels), labels


def _looks(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the images, and which are blank; every block is read once."""
    blocks = range(0, len(images), perceptual_hash.BLOCK)
    found = [
        (perceptual_hash.perceptual_hashes(block), perceptual_hash.blank(block))
        for block in (images[start : start + perceptual_hash.BLOCK] for start in blocks)
    ]
    hashes, blank = zip(*found, strict=True)
    return np.concatenate(hashes), np.concatenate(blank)


def _as_other(images: pd.DataFrame) -> pd.DataFrame:
    return images.add_prefix("other_").rename(columns={"other_dataset": "other"})


def _sorted(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.sort_values(["dataset", "other", "row", "other_row"], ignore_index=True)


def _named(pairs: pd.DataFrame) -> list[str]:
    """The datasets that have a part in a pair."""
    return sorted({*pairs["dataset"], *pairs["other"]})


def _between(pairs: pd.DataFrame, one: str, other: str) -> int:
    return int(((pairs["dataset"] == one) & (pairs["other"] == other)).sum())
