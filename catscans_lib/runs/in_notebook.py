"""A run as its notebook sees it: settings in; tables, figures and model out. Start it with `start`, end it with `finish`.

A run writes to a hidden work folder. In a sweep, `execute` moves it to its final place once every cell has completed; by
hand, `finish` moves it to `results/<profile>/scratch/`.
"""

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from catscans_lib import figures, paths, results
from catscans_lib.errors import Strict, unknown
from catscans_lib.grid import expand, profiles, steps
from catscans_lib.images import store
from catscans_lib.runs import contents, recipe, records
from catscans_lib.training import WITHOUT_EFFECT, keras_settings
from catscans_lib.training.checkpoints import Checkpoint
from catscans_lib.transferability import Study


@dataclass
class Run:
    """A run in progress. Its inputs are those of `profile`; its results go to `output`."""

    step: str
    name: str
    profile: str
    output: str
    settings: Strict
    work: Path
    origin: recipe.Origin
    started: float = field(default_factory=time.time)
    data: dict[str, str] = field(default_factory=dict)

    def open_store(self, dataset: str, size_px: int | None = None) -> store.ImageStore:
        """Open an image store (`size_px` None: the profile's) and add its fingerprint to the run's record."""
        known = profiles.load(self.profile).datasets
        if dataset not in known:
            raise unknown(f"dataset of profile {self.profile}", dataset, known)
        opened = store.open_store(paths.store_path(self.profile, dataset, size_px or known[dataset].size_px))
        self.data[dataset] = opened.fingerprint
        return opened

    @property
    def checkpoint(self) -> Checkpoint:
        """Progress of an interrupted attempt at this run with the same recipe."""
        return Checkpoint.of(paths.checkpoint_dir(self.output, self.step, self.name), self.origin.recipe)

    @property
    def card(self) -> pd.DataFrame:
        """The settings as a table, to show at the top of the notebook."""
        values = {name: str(value) for name, value in self.settings.model_dump().items()}
        return pd.DataFrame({"value": values}).rename_axis("setting")

    @cached_property
    def is_demo(self) -> bool:
        """Whether the run's profile has generated images."""
        return profiles.is_demo(self.profile)

    @property
    def study(self) -> Study:
        """What measures and advice need to know of the run's profile."""
        return profiles.study(self.profile)

    def images_of_target(self, target: str) -> pd.DataFrame:
        """Return the rows of a target's image store that are in its fold table."""
        table = self.open_store(target).table
        return table[table["image_id"].isin(results.read_table(paths.folds_path(self.profile, target))["image_id"])]

    def save_table(self, name: str, table: pd.DataFrame, *, shared: bool = False) -> None:
        """Save a tidy table in the run's folder; a shared one is copied to `results/<profile>/tables/` at the end."""
        folder = self.work / "tables" if shared else self.work
        folder.mkdir(exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False)

    def keep(self, path: Path) -> None:
        """Copy a file or a folder, if it exists, into the run's folder."""
        if path.is_dir():
            shutil.copytree(path, self.work / path.name, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copy2(path, self.work / path.name)

    def save_figure(self, name: str, figure: Figure, table: pd.DataFrame) -> None:
        """Save a figure (SVG) with the table it shows; those of generated images are marked DEMO."""
        figures.save(figure, self.work / "figures", name, table, is_demo=self.is_demo)

    def finish(self, **facts: Any) -> None:
        """Write `run.json`, with `facts` added; a run started by hand also takes its final place."""
        parameters = self.settings.model_dump()
        record = {
            "run_id": f"{self.step}-{self.name}-{recipe.fingerprint(self._content(facts))}",
            "recipe": self.origin.recipe,
            "step": self.step,
            "name": self.name,
            "parameters": parameters,
            "seed": parameters.get("seed", parameters.get("seeds")),
            "code": self.origin.code,
            "data": self.data,
            "files": self.origin.files,
            "inputs": self.origin.inputs,
            "versions": self.origin.versions,
            **({"keras": keras_settings()} if "keras" in sys.modules else {}),
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 2),
            "peak_memory_mb": records.peak_memory_mb(),
            **facts,
            "status": "completed",
        }
        (self.work / results.RECORD).write_text(json.dumps(record, indent=2))
        if not os.environ.get(results.WORK_DIR):
            print(f"Saved in {paths.relative(results.publish(self.output, self.step, self.name))}")

    def _content(self, facts: dict[str, Any]) -> list[Any]:
        """Return what other runs may read of this one: of an ingest run images and folds, else tables, networks, record."""
        folds = paths.folds_path(self.output, self.name)
        if "data_written" in facts:
            return [facts["data_written"], paths.sha256(folds) if folds.is_file() else ""]
        return [contents.of_results(self.work), facts, self.settings.model_dump(exclude={"profile", *WITHOUT_EFFECT})]


def start(step: str, **given: Any) -> Run:
    """Start a run of `params/<profile>.yaml`; a parameter that is not None replaces the file's.

    InputError if the run is not in the grid, a value is not valid, papermill was given an unknown parameter, or a run it needs
    is not done.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # what papermill was given (`-p`, `-y`); it only warns of unknown names
    cells = [cell for cell in (shell.user_ns.get("In", []) if shell else []) if cell.startswith("# Parameters\n")]
    if cells:
        known = steps.STEPS[step].parameters()
        if wrong := [name for cell in cells for name in steps.assigned(cell) if name not in known]:
            raise unknown(f"parameter of {step}.ipynb", wrong[0], known)
    planned = expand.find(step, **given)
    profile = given["profile"]
    by_sweep = os.environ.get(results.WORK_DIR)
    output = profile if by_sweep else f"{profile}/scratch"
    work = Path(by_sweep) if by_sweep else results.new_work_dir(output, step, planned.name)
    if (passed := work / results.ORIGIN).is_file():
        origin = recipe.Origin(**json.loads(passed.read_text(encoding="utf-8")))
        passed.unlink()
    else:
        origin = recipe.origin(planned, profile)
    figures.set_style()
    # Paths are shown in full; 20 columns is what pandas chooses in a notebook, if it is imported there.
    pd.set_option("display.max_colwidth", None, "display.max_rows", 200, "display.max_columns", 20)
    return Run(step, planned.name, profile, output, planned.settings, work, origin)
