"""Makes figures and tables of a profile again from the runs before them, and says which are the same.

In: finished runs. Out: a `Checked` for every figure and table. The notebooks are executed into `results/<profile>/scratch/`.
"""

import io
import re
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.errors import InputError, and_more
from catscans_lib.grid import expand
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import execute, recipe
from catscans_lib.runs.records import masking

ROUNDING = 1e-9  # of a number: sums in threads end in other digits
PLACES = ("figures/*.svg", "tables/*.csv", "*.csv")  # of figures and tables in a run's folder
_DRAWN_BY = re.compile(rb"<metadata>.*?</metadata>", re.DOTALL)  # the version of matplotlib


@dataclass(frozen=True)
class Checked:
    """A figure (.svg) or table (.csv): the run that made it, its place in the run's folder, and what differs ("": nothing)."""

    run: str
    place: str
    problem: str = ""

    @property
    def name(self) -> str:
        """Name in messages, also a path below the profile's results."""
        return f"{self.run}/{self.place}"

    @property
    def is_figure(self) -> bool:
        return self.place.endswith(".svg")


def parts(profile: str, wanted: Collection[str] = ()) -> list[Checked]:
    """Return the figures and tables that `wanted` names; without it, all of runs that neither train nor ingest.

    A name is that of a file without or with its folder and ending, and may have wildcards: `summary_fine_tune`, `aucs.csv`,
    `evaluate/*`. InputError for a name that matches nothing.
    """
    found = []
    for key, run in expand.grid(profile).items():
        if results.is_done(profile, key) and not STEPS[run.step].trains and run.step != "ingest":
            folder = paths.results_dir(profile) / key
            files = [path for pattern in PLACES for path in sorted(folder.glob(pattern))]
            found += [Checked(key, path.relative_to(folder).as_posix()) for path in files]
    if not found:
        raise InputError(f"Profile '{profile}' has no finished run. Make them: {results.SWEEP} {profile}")
    chosen = {}
    for word in wanted or ("*",):
        matching = [
            part
            for part in found
            if any(fnmatch(name, word) for name in (part.name, Path(part.place).name, Path(part.place).stem))
        ]
        if not matching:
            known = dict.fromkeys(Path(part.place).stem for part in found)
            raise InputError(
                f"Unknown figure or table '{word}' of profile {profile}; known, of runs that neither train a network nor read "
                f"images: {and_more(known, 60)}."
            )
        chosen |= dict.fromkeys(matching)
    return list(chosen)


def verify(profile: str, chosen: Collection[Checked], say: Callable[[str], Any] = print) -> list[Checked]:
    """Execute the notebooks of the chosen figures and tables again; return them with what differs.

    The executed notebook and its results stay in `results/<profile>/scratch/` where something differs.
    """
    runs, done = expand.grid(profile), []
    for key, group in groupby(chosen, lambda part: part.run):
        of_run, record = list(group), results.record(profile, key)
        say(f"{key}: executing notebooks/{runs[key].step}.ipynb again; it took {record['seconds']:.0f} s.")
        if not recipe.is_current(runs[key], profile):
            say(f"{key} is out of date: its settings, inputs or code have changed since it was made.")
        work = results.new_work_dir(f"{profile}/scratch", *key.split("/"))
        try:
            with masking.hidden(), redirect_stdout(io.StringIO()):
                execute.run_notebook(runs[key], profile, work)
            checked = [Checked(key, part.place, _problem(profile, part, work)) for part in of_run]
        except execute.RunFailed as error:
            checked = [Checked(key, part.place, f"cannot be made again: {error}") for part in of_run]
        done += checked
        if any(part.problem for part in checked):
            say(f"{key}: what was made again is in {paths.relative(work)}.")
        else:
            paths.remove_folder(work)
    return done


def _problem(profile: str, part: Checked, work: Path) -> str:
    """Return how a figure or table differs from the one made again in `work`, and from its copies; "" if it does not."""
    stored, again = paths.results_dir(profile) / part.name, work / part.place
    if not again.is_file():
        return "is not made any more"
    if not part.is_figure:
        shared = paths.tables_dir(profile) / stored.name
        if stored.parent.name == "tables" and not (shared.is_file() and shared.read_bytes() == stored.read_bytes()):
            return f"differs from its copy {paths.relative(shared)}"
        return _difference(stored, again)
    tables = stored.with_suffix(".csv"), again.with_suffix(".csv")
    if problem := _difference(*tables):
        return f"does not follow from its table {tables[0].name}, which {problem}"
    here, there = (_DRAWN_BY.sub(b"", path.read_bytes()).splitlines() for path in (stored, again))
    if here != there:
        changed = sum(a != b for a, b in zip(here, there, strict=False)) + abs(len(here) - len(there))
        return f"does not follow from its table: another drawing ({changed} of {len(there)} lines of the SVG)"
    shown = paths.build_dir(profile) / "source" / "figures" / part.run / stored.name
    if shown.is_file() and shown.read_bytes() != stored.read_bytes():
        return f"the built book shows another drawing: catscans book --profile {profile} --no-sweep"
    return ""


def _difference(stored: Path, again: Path) -> str:
    """Return how two tables differ: rows, columns, or the first of the cells; "" if only by rounding."""
    if not stored.is_file():
        return "is missing"
    if stored.read_bytes() == again.read_bytes():
        return ""
    old, new = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (stored, again))
    if list(old.columns) != list(new.columns) or len(old) != len(new):
        return f"has {len(old)} rows of {', '.join(old.columns)}; made again, it has {len(new)} rows of {', '.join(new.columns)}"
    numbers = (table.apply(pd.to_numeric, errors="coerce").to_numpy(float) for table in (old, new))
    rows, columns = np.nonzero((old != new).to_numpy() & ~np.isclose(*numbers, rtol=ROUNDING, atol=0))
    if not len(rows):
        return ""
    row, column = rows[0], columns[0]
    first = f"{old.columns[column]} in row {row + 1} is {old.iat[row, column]}, made again {new.iat[row, column]}"
    return f"has other values in {len(rows)} of {old.size} cells ({first})"
