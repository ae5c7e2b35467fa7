"""What may spoil a result: images that occur twice, almost twice, or on both sides of a split, and odd files.

Everything is read off an image store; tables are tidy and empty where nothing was found.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from catscans_lib.images import perceptual_hash

BLOCK = 2048  # images at a time: memory does not grow with the dataset


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return class, split, n_images."""
    counts = table.groupby(["label", "split"]).size().rename("n_images").reset_index()
    return counts.rename(columns={"label": "class"})


def against_published(table: pd.DataFrame, published: Mapping[str, int]) -> pd.DataFrame:
    """Return class, n_images and n_published of every class that is there or was published; empty where no counts are known.

    Where one of the two does not know a class its number is 0.
    """
    if not published:
        return pd.DataFrame(columns=["class", "n_images", "n_published"])
    found = table["label"].value_counts()
    labels = [*published, *sorted(set(found.index) - set(published))]
    rows = [(label, int(found.get(label, 0)), published.get(label, 0)) for label in labels]
    return pd.DataFrame(rows, columns=["class", "n_images", "n_published"])


def examples(table: pd.DataFrame, max_classes: int = 60) -> pd.DataFrame:
    """Return the rows to show, class by class: the first 6 of each, or 4 where there are more than ten classes."""
    n_each = 6 if table["label"].nunique() <= 10 else 4
    shown = sorted(table["label"].unique())[:max_classes]
    rows = table[table["label"].isin(shown)].groupby("label").head(n_each)
    return rows.sort_values("label", kind="stable")


def formats(table: pd.DataFrame) -> pd.DataFrame:
    """Return mode (L: grey, RGB: colour, ...), size (width x height) and n_images, most frequent first."""
    return table.groupby(["mode", "size"]).size().rename("n_images").sort_values(ascending=False).reset_index()


def duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Byte-identical images.

    Returns
    -------
    pandas.DataFrame
        One row a set: sha256, paths (joined by " | ", ids where there is no path), across: what the images of the set differ
        in, of "label", "split" and "group" ("" for none; different labels mean that one of them is wrong).
    """
    twice = table[table["sha256"].duplicated(keep=False)]
    rows = [(sha256, " | ".join(names(part)), _across(part)) for sha256, part in twice.groupby("sha256")]
    return pd.DataFrame(rows, columns=["sha256", "paths", "across"], dtype=str)


def split_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Groups (patients, lesions, slides) with images in more than one published split: group, splits, n_images."""
    found = (
        table[table["split"] != ""]
        .groupby("group")["split"]
        .agg(["nunique", lambda s: ", ".join(sorted(set(s))), "size"])
    )
    found.columns = ["n_splits", "splits", "n_images"]
    return found[found["n_splits"] > 1].drop(columns="n_splits").reset_index()


def near_duplicates(images: np.ndarray, table: pd.DataFrame, max_bits: int = perceptual_hash.MAX_BITS) -> pd.DataFrame:
    """Images that look the same although their files differ, by perceptual hash.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n_images, size, size, 3)
    max_bits : int
        Largest number of the 64 bits in which two hashes differ; 0 to 3.

    Returns
    -------
    pandas.DataFrame
        One row a pair: one, other (paths, or ids where there is no path), bits (of difference), across (as in `duplicates`).
        Of images with one and the same hash each is paired with the first only.
    """
    hashes = perceptual_hash.perceptual_hashes(images)
    rows = []
    for first, second in perceptual_hash.close_pairs(hashes, max_bits):
        part = table.iloc[[first, second]]
        if part["sha256"].nunique() == 2:
            bits = int(np.bitwise_count(hashes[first] ^ hashes[second]))
            rows.append((*names(part), bits, _across(part)))
    return pd.DataFrame(rows, columns=["one", "other", "bits", "across"])


def channel_statistics(images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return channel, mean and sd (0 to 255, over all pixels of all images), and the mean image, uint8 (size, size, 3)."""
    total = np.zeros(images.shape[1:])
    squares = np.zeros(3)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].astype("float64")
        total += block.sum(axis=0)
        squares += (block**2).sum(axis=(0, 1, 2))
    mean_image = total / len(images)
    mean = mean_image.mean(axis=(0, 1))
    sd = np.sqrt(np.maximum(squares / (len(images) * mean_image[..., 0].size) - mean**2, 0))
    return pd.DataFrame({"channel": ["red", "green", "blue"], "mean": mean, "sd": sd}), mean_image.round().astype(
        np.uint8
    )


def names(table: pd.DataFrame) -> list[str]:
    """Return the path of every image, its id where there is no path."""
    return list(table["path"].where(table["path"] != "", table["image_id"]))


def _across(part: pd.DataFrame) -> str:
    return ", ".join(column for column in ("label", "split", "group") if part[column].nunique() > 1)
