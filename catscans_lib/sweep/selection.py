"""Which runs of a grid a sweep is about: by their keys, by their parameters, and what they need."""

from typing import Any

from catscans_lib.errors import InputError
from catscans_lib.grid.expand import PlannedRun


def select(
    runs: dict[str, PlannedRun], keys: tuple[str, ...] = (), only: tuple[tuple[str, Any], ...] = ()
) -> list[str]:
    """Return the keys of the chosen runs, in the grid's order; all of them where nothing is chosen.

    Parameters
    ----------
    keys : tuple of str
        Runs as `step/name`.
    only : tuple of (str, value)
        Parameters, or `step`, and what they must be; several values of one name are alternatives, several names must all
        match. Where a parameter is a list, the value must be in it.

    Raises
    ------
    InputError
        If a run or parameter is not known, or nothing matches.
    """
    if wrong := [key for key in keys if key not in runs]:
        raise InputError(f"Unknown run '{wrong[0]}'; known: {', '.join(runs)}.")
    chosen = [key for key in runs if key in keys or not keys]
    wanted: dict[str, list[Any]] = {}
    for name, value in only:
        wanted.setdefault(name, []).append(value)
    known = {"step"} | {name for run in runs.values() for name in run.parameters}
    for name, values in wanted.items():
        if name not in known:
            raise InputError(f"--only {name}: no run has such a parameter; known: {', '.join(sorted(known))}.")
        chosen = [key for key in chosen if any(_matches(runs[key], name, value) for value in values)]
    if not chosen:
        raise InputError(f"--only {_words(only)} matches no run. {_there_are(runs, wanted)}")
    return chosen


def with_needs(runs: dict[str, PlannedRun], keys: list[str]) -> list[str]:
    """Return these runs and all that they need, directly or through others, in the grid's order."""
    found, waiting = set(), list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += runs[key].needs
    return [key for key in runs if key in found]


def _matches(run: PlannedRun, name: str, value: Any) -> bool:
    parameters = {"step": run.step, **run.parameters}
    if name not in parameters:
        return False
    here = parameters[name]
    return here == value or (isinstance(here, list) and value in here)


def _words(only: tuple[tuple[str, Any], ...]) -> str:
    return " --only ".join(f"{name}={value}" for name, value in only)


def _there_are(runs: dict[str, PlannedRun], wanted: dict[str, list[Any]]) -> str:
    """The values there are of each name."""
    lines = []
    for name in wanted:
        values = {
            str({"step": run.step, **run.parameters}[name])
            for run in runs.values()
            if name in run.parameters or name == "step"
        }
        lines.append(f"{name} is one of: {', '.join(sorted(values))}.")
    return " ".join(lines)
