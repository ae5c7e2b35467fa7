"""Properties of an image store that may spoil a result: duplicates, groups across splits, unusual files."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from catscans_lib.images import findings
from catscans_lib.images.duplicates import close_pairs, names, perceptual_hashes


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return class, split, n_images; an image with several findings counts in each of them."""
    each = table[["split"]].join(findings.each(table["label"]).rename("class"))
    return each.groupby(["class", "split"]).size().reset_index(name="n_images")


def against_published(table: pd.DataFrame, published: Mapping[str, int]) -> pd.DataFrame:
    """Return class, n_images and n_published (0: unknown class) of every class; empty where no counts were published."""
    if not published:
        return pd.DataFrame(columns=["class", "n_images", "n_published"])
    found = findings.each(table["label"]).value_counts()
    labels = [*published, *sorted(set(found.index) - set(published))]
    rows = [(label, int(found.get(label, 0)), published.get(label, 0)) for label in labels]
    return pd.DataFrame(rows, columns=["class", "n_images", "n_published"])


def examples(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows to show, sorted by class: the first 6 of each, or 4 of the first 60 if there are more than ten classes."""
    n_each = 6 if table["label"].nunique() <= 10 else 4
    shown = table[table["label"].isin(sorted(table["label"].unique())[:60])]
    return shown.groupby("label").head(n_each).sort_values("label", kind="stable")


def duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Return the sets of byte-identical images: sha256, paths, across: which of label, split and group differ."""
    twice = table[table["sha256"].duplicated(keep=False)]
    rows = [(sha256, " | ".join(names(part)), _across(part)) for sha256, part in twice.groupby("sha256")]
    return pd.DataFrame(rows, columns=["sha256", "paths", "across"], dtype=str)


def split_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Return groups (patients, lesions, slides) with images in several published splits: group, splits, n_images."""
    splits = table[table["split"] != ""].groupby("group")["split"]
    found = splits.agg(splits=lambda names: ", ".join(sorted(set(names))), n_images="size")
    return found[splits.nunique() > 1].reset_index()


def near_duplicates(images: np.ndarray, table: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of different files whose perceptual hashes differ in at most 3 bits: one, other, bits, across."""
    hashes = perceptual_hashes(images)
    rows = []
    for first, second in close_pairs(hashes):
        part = table.iloc[[first, second]]
        if part["sha256"].nunique() == 2:
            bits = int(np.bitwise_count(hashes[first] ^ hashes[second]))
            rows.append((*names(part), bits, _across(part)))
    return pd.DataFrame(rows, columns=["one", "other", "bits", "across"])


def _across(part: pd.DataFrame) -> str:
    return ", ".join(column for column in ("label", "split", "group") if part[column].nunique() > 1)
