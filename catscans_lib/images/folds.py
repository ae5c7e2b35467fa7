"""Folds for cross-validation: seeded, stratified, grouped, saved as a table.

Images of one group and byte-identical images are always in the same fold.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from catscans_lib import paths
from catscans_lib.errors import InputError

COLUMNS = ["image_id", "group", "label", "fold"]
N_TRIES = 10  # derived seeds to try until every class is in every fold


def make(table: pd.DataFrame, *, n_folds: int, seed: int, max_images: int | None = None) -> pd.DataFrame:
    """Divide the images of a table (unique image_id, label, group, sha256) into folds, whatever the order of its rows.

    Returns image_id (sorted), group, label, fold (1 to `n_folds`); InputError if a class has too few groups for the folds.
    `max_images`: use about so many images, whole groups, drawn so that class shares stay, with at least one group per class
    and fold; never more than `max_images` plus the largest group.
    """
    if n_folds < 2:
        raise InputError(f"Cross-validation needs at least 2 folds, got n_folds={n_folds}.")
    table = table.sort_values("image_id", ignore_index=True)
    units = _units(table["group"], table["sha256"])
    _check_units(table["label"], units, n_folds, "")
    if max_images is not None and max_images < len(table):
        keep = _subset(table["label"], units, n_folds, seed, max_images)
        table, units = table[keep].reset_index(drop=True), units[keep]
        _check_units(table["label"], units, n_folds, f" among the max_images={max_images} drawn")
    return table.assign(fold=_split(table["label"], units, n_folds, seed))[COLUMNS]


def write(path: Path, folds: pd.DataFrame) -> None:
    """Save the folds as CSV."""
    with paths.atomic_write(path) as part:
        folds.to_csv(part, index=False)


def read(path: Path) -> pd.DataFrame:
    """Read saved folds: image_id, group and label as text (also "NA" and "001"), fold as integer."""
    if not path.is_file():
        raise InputError(f"No folds '{path}'. Run the ingest notebook of this target first.")
    return pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:3], str) | {"fold": int}, keep_default_na=False)


def _units(group: pd.Series, sha256: pd.Series) -> np.ndarray:
    """Number the sets of images linked through a group or equal bytes, shape (n_images,)."""
    groups, n_groups = pd.factorize(group)[0], group.nunique()
    files, n_files = pd.factorize(sha256)[0], sha256.nunique()
    n_nodes = n_groups + n_files  # of a graph whose edges are the images
    edges = coo_array((np.ones(len(group)), (groups, n_groups + files)), shape=(n_nodes, n_nodes))
    return connected_components(edges, directed=False)[1][groups]


def _check_units(label: pd.Series, units: np.ndarray, n_folds: int, where: str) -> None:
    n_units = pd.Series(units).groupby(label).nunique().reindex(label.unique(), fill_value=0)
    for name, count in n_units.sort_index().items():
        if count < n_folds:
            found = f"{count} group{'s' * (count != 1)}{where}, fewer than {n_folds} folds"
            raise InputError(f"Class '{name}' has {found}. Use fewer folds, more images, or leave the class out.")


def _subset(label: pd.Series, units: np.ndarray, n_folds: int, seed: int, max_images: int) -> np.ndarray:
    """Mark the images to use, shape (n_images,), bool.

    Each class places its groups on a line from 0 to 1 in random order, each as long as its share of the images; groups
    are then taken from left to right over all classes at once, which keeps the class shares.
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
