"""Folds for cross-validation, and other splits by unit: seeded, stratified; folds are saved as a table.

A unit is a set of images linked by a common group or by equal bytes. No split divides a unit.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from catscans_lib.errors import InputError
from catscans_lib.images import findings

COLUMNS = ["image_id", "group", "label", "fold"]
N_TRIES = 10  # derived seeds to try until every class is in every fold
MAX_PARTS = 20  # a share of the images is made of at most so many equal parts


def make(
    table: pd.DataFrame, *, n_folds: int, seed: int, max_images: int | None = None, multi_label: bool = False
) -> pd.DataFrame:
    """Divide the images of a table (unique image_id, label, group, sha256) into folds, whatever the order of its rows.

    Returns image_id (sorted), group, label, fold (1 to `n_folds`); InputError if a class has too few groups for the folds.
    `max_images`: use about so many images, whole groups, class shares kept, at least one group per class and fold. With
    `multi_label`, every finding is spread as evenly as its groups allow, and a rare one may be missing in some folds.
    """
    table = table.sort_values("image_id", ignore_index=True)
    units = linked(table)
    if multi_label:
        return _of_findings(table, units, n_folds, seed, max_images)
    _check_units(table["label"], units, n_folds, "")
    if max_images is not None and max_images < len(table):
        keep = subset(table["label"], units, n_folds, seed, max_images)
        table, units = table[keep].reset_index(drop=True), units[keep]
        _check_units(table["label"], units, n_folds, f" among the max_images={max_images} drawn")
    return table.assign(fold=_split(table["label"], units, n_folds, seed))[COLUMNS]


def published(table: pd.DataFrame) -> pd.DataFrame:
    """Return the published split as folds: test images are fold 1, all others fold 0, which is trained on and never held out.

    Other images in a unit with a test image have no row. InputError without a split, or with test images of one class.
    """
    table = table.sort_values("image_id", ignore_index=True)
    is_test, units = table["split"].str.lower().eq("test"), linked(table)
    if not is_test.any() or is_test.all() or table.loc[is_test, "label"].nunique() < 2:
        found = ", ".join(f"'{name}' ({n})" for name, n in table["split"].value_counts().items())
        raise InputError(f"No published split with test images of two classes; found: {found}. Set folds.split: drawn.")
    kept = is_test | ~np.isin(units, units[is_test])
    return table.assign(fold=is_test.astype(int))[kept][COLUMNS].reset_index(drop=True)


def _of_findings(
    table: pd.DataFrame, units: np.ndarray, n_folds: int, seed: int, max_images: int | None
) -> pd.DataFrame:
    has, where = findings.matrix(table["label"]), ""
    if max_images is not None and max_images < len(table):
        share, where = max_images / len(table), f" among the max_images={max_images} drawn"
        keep = findings.stratified(has, units, (share, 1 - share), seed, least=n_folds) == 0
        table, units, has = table[keep].reset_index(drop=True), units[keep], has[keep]
    fold = findings.stratified(has, units, [1 / n_folds] * n_folds, seed) + 1
    if len(set(fold)) < n_folds or not has.any():
        found = f"{len(set(units))} groups with {has.any(axis=0).sum()} findings"
        raise InputError(f"{found}{where} do not fill {n_folds} folds. Use fewer folds or more images.")
    return table.assign(fold=fold)[COLUMNS]


def linked(table: pd.DataFrame, by: Sequence[str] = ("group", "sha256")) -> np.ndarray:
    """Number the units of a table: images with an equal value in a column of `by`, also in a chain; shape (n_images,)."""
    values = [pd.factorize(table[column])[0] for column in by]
    n_values = [codes.max(initial=-1) + 1 for codes in values]
    starts = len(table) + np.cumsum([0, *n_values])
    ends = np.concatenate([start + codes for start, codes in zip(starts, values, strict=False)])
    images = np.tile(np.arange(len(table)), len(values))  # a graph whose edges join images and values
    edges = coo_array((np.ones(len(ends)), (images, ends)), shape=(starts[-1], starts[-1]))
    return connected_components(edges, directed=False)[1][: len(table)]


def shared(one: pd.DataFrame, other: pd.DataFrame, *, of_common_origin: bool) -> np.ndarray:
    """Mark the images of one dataset whose unit has an image of the other, shape (n_images,), bool.

    Equal files are the same image; in parts of one dataset, equal ids are, too, and equal groups are the same group.
    """
    both = pd.concat([one, other], ignore_index=True)
    is_other = np.arange(len(both)) >= len(one)
    by = ["group", "sha256", "image_id"] if of_common_origin else ["group", "sha256"]
    if not of_common_origin:
        both["group"] = np.where(is_other, "other ", "one ") + both["group"].astype(str)
    units = linked(both, by)
    return np.isin(units[: len(one)], units[is_other])


def part(label: np.ndarray, units: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mark about a share of the images (0.05 to 0.95): whole units, class shares kept; shape (n_images,), bool.

    The unmarked side keeps every class; InputError if the units do not allow that. `label`: class or findings of each image.
    """
    if label.ndim == 2:
        marked = findings.stratified(label, units, (1 - share, share), seed, least=1) == 1
        if marked.all() or not marked.any():
            raise InputError(f"{len(label)} images in {len(set(units))} group(s) cannot be split. Use more of them.")
        return marked
    label, n_units = pd.factorize(label)[0], len(np.unique(units))  # numbers, as np.isin is quadratic for text
    totals = np.bincount(label)
    n_parts = min(MAX_PARTS, n_units, int(totals.max()))  # of NumPy's integers, fractions overflow in Python 3.11
    if n_parts < 2:
        raise InputError(f"{len(label)} images in {n_units} group(s) cannot be split. Use more images or groups.")
    wanted = Fraction(share).limit_denominator(n_parts)
    wanted = min(max(wanted, Fraction(1, n_parts)), Fraction(n_parts - 1, n_parts))
    # Both are stratified; the one with groups takes a thousand times as long.
    splitter, groups = (StratifiedKFold, None) if n_units == len(label) else (StratifiedGroupKFold, units)
    splits = splitter(wanted.denominator, shuffle=True, random_state=seed).split(label, label, groups)
    size, marked = float(wanted) * len(label), np.zeros(len(label), bool)

    def cost(rows: np.ndarray) -> tuple[int, float]:
        """Classes that lie in this part alone, difference to an equal part."""
        alone = (np.bincount(label[rows], minlength=len(totals)) == totals).sum()
        return int(alone), abs(len(rows) - len(label) / wanted.denominator)

    for rows in sorted((rows for _, rows in splits if len(rows)), key=cost):
        if not marked.any() or abs(marked.sum() + len(rows) - size) < abs(marked.sum() - size):
            marked[rows] = True
    lost = ~np.isin(label, label[~marked])
    marked &= ~np.isin(units, units[lost])
    if not marked.any():
        raise InputError(f"No part of {len(label)} images leaves every class in the rest. Use more groups of each.")
    return marked


def read(path: Path) -> pd.DataFrame:
    """Read saved folds: image_id, group and label as text (also "NA" and "001"), fold as integer."""
    if not path.is_file():
        raise InputError(f"No folds '{path}'. Run the ingest notebook of this target first.")
    return pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:3], str) | {"fold": int}, keep_default_na=False)


def _check_units(label: pd.Series, units: np.ndarray, n_folds: int, where: str) -> None:
    n_units = pd.Series(units).groupby(label).nunique().reindex(label.unique(), fill_value=0)
    for name, count in n_units.sort_index().items():
        if count < n_folds:
            found = f"{count} group{'s' * (count != 1)}{where}, fewer than {n_folds} folds"
            raise InputError(f"Class '{name}' has {found}. Use fewer folds, more images, or leave the class out.")


def subset(label: pd.Series, units: np.ndarray, n_folds: int, seed: int, max_images: int) -> np.ndarray:
    """Mark the images to use, shape (n_images,), bool.

    Each class places its groups on a line from 0 to 1 in random order, each as long as its share of the images; groups are then
    taken from left to right.
    """
    images = pd.DataFrame({"unit": units, "label": label})
    sizes = images.groupby("unit").agg(n=("label", "size"), label=("label", "first"))
    sizes = sizes.sample(frac=1, random_state=np.random.default_rng(seed))
    by_class = sizes.groupby("label")
    place = (by_class["n"].cumsum() - sizes["n"] / 2) / by_class["n"].transform("sum")
    place[by_class.cumcount() < n_folds] = -1  # a rare class must still reach every fold
    sizes = sizes.loc[place.sort_values(kind="stable").index]
    taken = sizes.index[(sizes["n"].cumsum() - sizes["n"]) < max_images]
    return np.isin(units, taken)


def _split(label: pd.Series, units: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each image, from 1, shape (n_images,)."""
    for attempt in range(N_TRIES):
        state = int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=state)
        fold = np.zeros(len(label), dtype=int)
        for number, (_, held_out) in enumerate(splitter.split(label, label, units), start=1):
            fold[held_out] = number
        counts = pd.crosstab(label, fold).reindex(columns=range(1, n_folds + 1), fill_value=0)
        if (counts > 0).all(axis=None):
            return fold
    missing = counts.index[(counts == 0).any(axis=1)][0]
    why = "its groups are few or differ much in size. Use fewer folds, or leave the class out"
    raise InputError(f"Class '{missing}' is missing in a fold for each of {N_TRIES} seeds: {why}.")
