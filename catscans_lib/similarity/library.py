"""Stored embeddings of many datasets: the nearest to a new one are looked up by short sketches, then measured exactly."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from catscans_lib.errors import InputError
from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs

FILES = ("embeddings.npy", "sketches.npy", "library.json")
SKETCH = 64  # numbers in a sketch
SEED = 0  # of the random projection; part of the format
FLOOR = 1e-6  # of the mean: below, Fisher information counts as this in a logarithm


class Library:
    """Embeddings of many sources on disk, under one probe network.

    A sketch is a random projection of the logarithms of an embedding, whose Euclidean distances are close to those of the
    embeddings (Johnson and Lindenstrauss, 1984). A ball tree over sketches gives candidates; only their embeddings are read, and
    the measure asked for is computed exactly.

    Parameters
    ----------
    folder : pathlib.Path
        As `write` made it.

    Raises
    ------
    InputError
        If the folder holds no library.
    """

    def __init__(self, folder: Path) -> None:
        from sklearn.neighbors import BallTree

        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise InputError(f"'{folder}' holds no library: no {', '.join(missing)}. Make one with Library.write.")
        self.embeddings = np.load(folder / FILES[0], mmap_mode="r", allow_pickle=False)
        self.names: list[str] = json.loads((folder / FILES[2]).read_text(encoding="utf-8"))
        self.tree = BallTree(np.load(folder / FILES[1], allow_pickle=False))

    @staticmethod
    def write(folder: Path, names: Sequence[str], embeddings: ArrayLike) -> None:
        """Store embeddings, shape (n_sources, n_filters), at least 0, with the names of their sources."""
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or len(embeddings) != len(names) or len(set(names)) != len(names):
            raise InputError(
                f"A library has one embedding for each name, and no name twice; got {len(names)} names "
                f"({len(set(names))} different) and embeddings of shape {embeddings.shape}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / FILES[0], embeddings.astype("float32"), allow_pickle=False)
        np.save(folder / FILES[1], sketches(embeddings), allow_pickle=False)
        (folder / FILES[2]).write_text(json.dumps(list(names)), encoding="utf-8")

    def nearest(
        self, fisher: ArrayLike, n: int = 10, *, n_candidates: int = 100, measure: str = "task2vec_symmetric_cosine"
    ) -> pd.DataFrame:
        """Return the sources closest to an embedding: columns source, value; the closest first.

        Parameters
        ----------
        fisher : array_like of float, shape (n_filters,)
        n_candidates : int
            How many sketches are followed up; all: the ranking is exact.
        measure : str
            One that compares embeddings.
        """
        known = registry.get(measure)
        if not known.needs <= {"fisher", "source_fisher"}:
            raise InputError(f"'{measure}' does not compare embeddings; it needs {', '.join(sorted(known.needs))}.")
        fisher = np.asarray(fisher, dtype=float)
        places = self.tree.query(sketches(fisher[None]), min(n_candidates, len(self.names)), return_distance=False)[0]
        values = [
            known.compute(Inputs(fisher=fisher, source_fisher=self.embeddings[place].astype(float))) for place in places
        ]
        table = pd.DataFrame({"source": [self.names[place] for place in places], "value": values})
        return table.sort_values("value", ascending=not known.larger_is_closer, kind="stable", ignore_index=True).head(
            n
        )


def sketches(embeddings: np.ndarray) -> np.ndarray:
    """Return the sketches of embeddings, shape (n, 64), float64; the scale of an embedding does not matter."""
    relative = embeddings / embeddings.mean(axis=1, keepdims=True)
    logs = np.log(np.maximum(relative, FLOOR))
    logs -= logs.mean(axis=1, keepdims=True)
    projection = np.random.default_rng(SEED).standard_normal((embeddings.shape[1], SKETCH)) / np.sqrt(SKETCH)
    return logs @ projection
