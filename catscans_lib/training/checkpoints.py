"""What a long run has done so far, kept on disk until it is finished: whole parts as tables, the one under way as arrays.

A run that was killed goes on from there, and ends with the numbers it would have had.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import results


@dataclass(frozen=True)
class Checkpoint:
    """A folder of finished parts and states, which belong to one recipe (settings, code, inputs)."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, recipe: str, *, alone: bool = True) -> "Checkpoint":
        """Open a run's checkpoint; what was made by another recipe is thrown away.

        Jobs that fill one checkpoint side by side are not `alone`: they leave everything else as it is.
        """
        if alone:
            for other in folder.glob("*"):
                if other.name != recipe:
                    shutil.rmtree(other) if other.is_dir() else other.unlink()
        (folder / recipe).mkdir(parents=True, exist_ok=True)
        return cls(folder / recipe)

    def tables(self, part: str) -> dict[str, pd.DataFrame] | None:
        """Return the tables of a finished part by name, or None where it is not finished."""
        place = self.folder / part
        return {path.stem: results.read_table(path) for path in place.glob("*.csv")} if place.is_dir() else None

    def finish(self, part: str, **tables: pd.DataFrame) -> None:
        """Keep the tables of a part, which is finished from now on; the states below its name are dropped."""
        hidden = self.folder / f".{part}"
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir()
        for name, table in tables.items():
            table.to_csv(hidden / f"{name}.csv", index=False)
        hidden.rename(self.folder / part)
        for path in self.folder.glob(f"{part}-*.npz"):
            path.unlink()

    def note(self, name: str, facts: dict[str, Any]) -> None:
        """Keep what a job that filled a part of this checkpoint took; `notes` finds it."""
        (self.folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")

    def state(self, name: str) -> "State":
        """Return the place of a state; its name begins with that of the part it belongs to."""
        return State(self.folder / f"{name}.npz")


@dataclass(frozen=True)
class State:
    """Arrays and facts at the end of an epoch; replaced in one step, so that one is always whole."""

    path: Path

    def save(self, arrays: list[np.ndarray], facts: dict[str, Any]) -> None:
        """Keep the arrays, in order, and facts that JSON can hold."""
        part = self.path.with_suffix(".part")
        with part.open("wb") as file:
            named = {f"{number:05d}": array for number, array in enumerate(arrays)}
            np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **named)
        part.replace(self.path)

    def load(self) -> tuple[list[np.ndarray], dict[str, Any]] | None:
        """Return what was saved last, or None."""
        if not self.path.is_file():
            return None
        with np.load(self.path, allow_pickle=False) as saved:
            names = sorted(name for name in saved.files if name != "facts")
            return [saved[name] for name in names], json.loads(saved["facts"].tobytes())


def notes(folder: Path, recipe: str) -> list[dict[str, Any]]:
    """Return what jobs have noted in a run's checkpoint."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / recipe).glob("*.json"))]
