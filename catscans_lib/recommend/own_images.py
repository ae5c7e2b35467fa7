"""The user's images for a recommendation: which are looked at, what was left out and why, what occurs twice."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.images import checks, duplicates, findings, inventory, store
from catscans_lib.images.listing import Listing
from catscans_lib.images.store import Subset

SMALLEST = 2  # images of a class; no measure compares classes with fewer


@dataclass
class OwnImages:
    """The images looked at, by `at` in any size; `left_out` has path and problem, `copies` and `near` are of `images.checks`."""

    listing: Listing  # all images found
    drawn: Listing  # those that were drawn of them
    folder: Path
    subset: Subset
    left_out: pd.DataFrame
    copies: pd.DataFrame
    near: pd.DataFrame
    opened: dict[int, store.ImageStore] = field(default_factory=dict)

    def at(self, size_px: int) -> Subset:
        """Return the same images with sides of `size_px`."""
        if size_px not in self.opened:
            self.opened[size_px] = _stored(self.drawn, size_px, self.folder)[0]
        return replace(self.subset, store=self.opened[size_px])

    @property
    def table(self) -> pd.DataFrame:
        """The rows of the images looked at: image_id, path, label, group and so on."""
        return self.subset.store.table.iloc[self.subset.rows]

    def described(self, group: str | None) -> dict[str, Any]:
        """Return `inventory.inventory` of the images looked at, n_found (before the draw) and n_copies."""
        told = inventory.inventory(self.table, self.left_out, group=group, near=self.near)
        return told | {"n_found": len(self.listing.images), "n_copies": len(self.copies)}


def look(listing: Listing, n_images: int, size_px: int, seed: int, folder: Path) -> OwnImages:
    """Draw about `n_images`, decode them at `size_px` into `folder`, and leave out what cannot be compared.

    Left out are files that cannot be decoded, equal files in two classes, and classes with fewer than two images; InputError if
    fewer than two classes are left.
    """
    labels = listing.images["label"].to_numpy()
    rows = store.draw(findings.matrix(labels) if listing.multi_label else labels, n_images, seed)
    drawn = replace(listing, images=listing.images.iloc[rows])
    opened, undecodable = _stored(drawn, size_px, folder)
    table, copies = opened.table, checks.duplicates(opened.table)
    contradictory = copies.loc[copies["across"].str.contains("label"), "sha256"]
    is_out = table["sha256"].isin(contradictory)
    left = [undecodable, _problems(table[is_out], "the same file lies in two classes, so one of them is wrong")]
    sizes = table.loc[~is_out, "label"].value_counts()
    for label in () if listing.multi_label else listing.classes:
        if (n := int(sizes.get(label, 0))) < SMALLEST:
            is_small = table["label"].eq(label) & ~is_out
            left.append(_problems(table[is_small], f"class '{label}' has too few usable images ({n} of {SMALLEST})"))
            is_out |= is_small
    kept = np.flatnonzero(~is_out)
    labels = store.occurring(opened.labels[kept])
    if not len(labels) or (labels == labels[0]).all():
        found = ", ".join(f"{name} {n}" for name, n in listing.images["label"].value_counts().items())
        lost = "".join(f"\n  {one.problem} ({one.path})" for one in pd.concat(left).head(3).itertuples())
        raise InputError(
            f"A comparison needs two classes with {SMALLEST} usable images; found: {found}.{lost}\n"
            "Give a folder with one folder per class, or a table whose label column has two values."
        )
    subset = Subset(opened, kept, labels)
    left_out = pd.concat([listing.problems, *left, opened.losses], ignore_index=True)
    near = checks.near_duplicates(opened.images[kept], table.iloc[kept].reset_index(drop=True))
    return OwnImages(listing, drawn, folder, subset, left_out, copies, near, {size_px: opened})


def _stored(listing: Listing, size_px: int, folder: Path) -> tuple[store.ImageStore, pd.DataFrame]:
    path = folder / f"own_{size_px}.h5"
    undecodable = store.write(path, listing, dataset="own", size_px=size_px)
    return store.open_store(path), undecodable


def _problems(table: pd.DataFrame, problem: str) -> pd.DataFrame:
    return pd.DataFrame({"path": duplicates.names(table), "problem": problem}, columns=["path", "problem"], dtype=str)
