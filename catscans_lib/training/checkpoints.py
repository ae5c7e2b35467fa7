"""Checkpoints of a long run: finished parts as tables, the training under way as arrays, saved every few minutes.

A run that was killed continues from its checkpoint and ends with the same numbers as an uninterrupted run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import paths, results


@dataclass(frozen=True)
class Checkpoint:
    """A folder of finished parts and training states that belong to one recipe (settings, code, inputs)."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, recipe: str) -> "Checkpoint":
        """Open a run's checkpoint; delete those of other recipes."""
        for other in folder.glob("*"):
            if other.name != recipe:
                paths.remove_folder(other) if other.is_dir() else other.unlink()
        (folder / recipe).mkdir(parents=True, exist_ok=True)
        return cls(folder / recipe)

    def tables(self, part: str) -> dict[str, pd.DataFrame] | None:
        """Return the tables of a finished part by name, or None if the part is not finished."""
        folder = self.folder / part
        return {path.stem: results.read_table(path) for path in folder.glob("*.csv")} if folder.is_dir() else None

    def finish(self, part: str, **tables: pd.DataFrame) -> None:
        """Save the tables of a part, which counts as finished from now on, and delete its training states."""
        hidden = self.folder / f".{part}"
        paths.remove_folder(hidden)
        hidden.mkdir()
        for name, table in tables.items():
            table.to_csv(hidden / f"{name}.csv", index=False)
        hidden.rename(self.folder / part)
        for path in self.folder.glob(f"{part}-*.npz"):
            path.unlink()

    def state(self, name: str) -> "State":
        """Return the place of a training state; its name must begin with that of its part."""
        return State(self.folder / f"{name}.npz")


@dataclass(frozen=True)
class State:
    """File of arrays and facts at the end of an epoch, always replaced as a whole; its name is that of the training."""

    path: Path

    def save(self, arrays: list[np.ndarray], facts: dict[str, Any]) -> None:
        """Save the arrays, in order, and facts that JSON can hold."""
        named = {f"{number:05d}": array for number, array in enumerate(arrays)}
        with paths.atomic_write(self.path) as part, part.open("wb") as file:
            np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **named)

    def load(self) -> tuple[list[np.ndarray], dict[str, Any]] | None:
        """Return what was saved last, or None."""
        if not self.path.is_file():
            return None
        with np.load(self.path, allow_pickle=False) as saved:
            names = sorted(name for name in saved.files if name != "facts")
            return [saved[name] for name in names], json.loads(saved["facts"].tobytes())
