"""From a profile to the grid of its runs: which notebook runs with which parameters, and after which other runs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catscans_lib import datasets
from catscans_lib.errors import InputError, Strict, unknown, validated
from catscans_lib.grid import profiles
from catscans_lib.grid.axes import SIZES
from catscans_lib.grid.rows import base_transfers
from catscans_lib.grid.schema import Profile
from catscans_lib.grid.steps import STEPS
from catscans_lib.networks import registry


@dataclass(frozen=True)
class PlannedRun:
    """One execution of a notebook: its step, its name within the step, its settings and the runs it needs."""

    step: str
    name: str
    settings: Strict
    needs: tuple[str, ...]

    @property
    def key(self) -> str:
        """`step/name`, as the sweep and the command line name a run."""
        return f"{self.step}/{self.name}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The notebook's parameters as plain values."""
        return self.settings.model_dump()

    @property
    def folders(self) -> set[str]:
        """The variables of `paths.GIVEN` that name a folder which the run reads."""
        dataset = self.parameters.get("dataset") if self.parameters.get("data") == "native" else None
        used = {
            "CATSCANS_DATA": dataset is not None and datasets.get(dataset).is_below_data_dir,
            "CATSCANS_WEIGHTS": self.step == "pretrain" and registry.is_file(self.parameters["weights"]),
        }
        return {variable for variable, is_used in used.items() if is_used}


def grid(profile: str) -> dict[str, PlannedRun]:
    """Return every run of a profile by its key, each after the runs it needs; InputError where the profile is not valid."""
    return runs(profiles.load(profile), profile, profiles.where(profile))


def runs(loaded: Profile, profile: str, where: str) -> dict[str, PlannedRun]:
    """Return the runs of a profile's content, as `grid` does; `where` begins the message of an InputError."""
    found = {}
    try:
        for step in (step for step in STEPS.values() if step.rows):
            for row in step.rows(loaded):
                settings = validated(step.settings, {"profile": profile} | row.values, f"{where}: {row.place}")
                run = PlannedRun(step.name, step.name_of(row.values), settings, tuple(row.needs))
                found[run.key] = run
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    for name in {run.step for run in found.values()}:
        STEPS[name].check_notebook()
    return found


def transfers(profile: str) -> list[tuple[str, str]]:
    """Return source and target of every base run of transfer of a profile."""
    rows = base_transfers(profiles.load(profile))
    return [(row.values["source"], row.values["target"]) for row in rows]


def find(step: str, **given: Any) -> PlannedRun:
    """Return one run of a profile, with every parameter in `given` that is not None in place of the profile's.

    A step that no profile asks for takes `given` alone; a number of images that the profile does not have changes the base run.
    """
    record, runs = STEPS[step], grid(given["profile"])
    changed = {key: value for key, value in given.items() if value is not None}
    name, base = record.name_of(given), record.name_of({**given, **dict.fromkeys(SIZES)})
    if record.rows is None:
        return PlannedRun(step, Path(name).stem, validated(record.settings, changed, f"{step}.ipynb"), ())
    name = name if f"{step}/{name}" in runs else base
    if f"{step}/{name}" not in runs:
        known = [run.name for run in runs.values() if run.step == step]
        raise unknown(f"{step} run of profile {given['profile']}", name, known)
    run = runs[f"{step}/{name}"]
    return replace(run, settings=validated(record.settings, run.parameters | changed, f"{step}.ipynb"))
