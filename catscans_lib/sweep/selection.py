"""Which runs a sweep is about: selected by key or parameter, with what they need; and which are kept despite changed code."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from catscans_lib import paths, results
from catscans_lib.errors import InputError, and_more
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.runs import recipe

Runs = dict[str, PlannedRun]


def select(runs: Runs, keys: tuple[str, ...] = (), only: tuple[tuple[str, Any], ...] = ()) -> list[str]:
    """Return the keys of the selected runs in the grid's order; all runs without a selection.

    `keys` names runs; `only` pairs a parameter (or `step`) with a value, which a list parameter must contain. Several values
    of one name are alternatives; several names must all match. InputError if a name is unknown or nothing matches.
    """
    if wrong := [key for key in keys if key not in runs]:
        raise InputError(f"Unknown run '{wrong[0]}'; known: {', '.join(runs)}.")
    values = {key: {"step": run.step, **run.parameters} for key, run in runs.items()}
    chosen = [key for key in runs if key in keys or not keys]
    known, wanted = {name for row in values.values() for name in row}, {}
    for name, value in only:
        if name not in known:
            raise InputError(f"--only {name}: no run has such a parameter; known: {', '.join(sorted(known))}.")
        wanted.setdefault(name, []).append(value)
    for name, alternatives in wanted.items():
        chosen = [key for key in chosen if name in values[key] and _matches(values[key][name], alternatives)]
    if not chosen:
        asked = " --only ".join(f"{name}={value}" for name, value in only)
        options = {name: sorted({str(row[name]) for row in values.values() if name in row}) for name in wanted}
        lines = [f"{name} is one of: {', '.join(found)}." for name, found in options.items()]
        raise InputError(f"--only {asked} matches no run. {' '.join(lines)}")
    return chosen


def _matches(value: Any, alternatives: list[Any]) -> bool:
    return any(value == wanted or (isinstance(value, list) and wanted in value) for wanted in alternatives)


def with_needs(runs: Runs, keys: list[str]) -> list[str]:
    """Return these runs and all that they need, directly or through others, in the grid's order."""
    found, waiting = set(), list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += runs[key].needs
    return [key for key in runs if key in found]


def outdated_by_code(profile: str, runs: Runs) -> list[str]:
    """Return the finished runs that are out of date only because their code has changed, in the grid's order."""
    codes = recipe.code_fingerprints(runs)
    return [key for key, run in runs.items() if _only_code_differs(run, profile, codes[run.step])]


def _only_code_differs(run: PlannedRun, profile: str, code_now: str) -> bool:
    if not all(results.is_done(profile, key) for key in (run.key, *run.needs)):
        return False
    made = results.facts(profile, run.key)
    is_older_code = made.code != code_now and made.recipe == recipe.recipe(run, profile, made.code)
    return is_older_code and not recipe.is_current(run, profile, code_now)


def trust(profile: str, keys: list[str], runs: Runs) -> None:
    """Count these finished runs as up to date until their code changes again; a note in each run's folder says so."""
    commit, since = recipe.commit(), datetime.now(UTC).isoformat(timespec="seconds")
    for key in keys:
        run = runs[key]
        note = {
            "recipe": recipe.recipe(run, profile),
            "made_by_code": results.facts(profile, key).code,
            "kept_under_code": recipe.code_fingerprint(run.step),
            "commit": commit,
            "since": since,
        }
        with paths.atomic_write(paths.run_dir(profile, run.step, run.name) / recipe.TRUSTED) as part:
            part.write_text(json.dumps(note, indent=2), encoding="utf-8")


def describe_outdated(keys: list[str], runs: Runs, *, kept: bool) -> str:
    """Return the message about runs that changed code has made out of date; "" if there are none."""
    if not keys:
        return ""
    counts = Counter(runs[key].step for key in keys)
    notebooks = ", ".join(f"notebooks/{step}.ipynb ({n} run{'s' * (n > 1)})" for step, n in counts.items())
    head = f"The code behind finished runs has changed: {notebooks}."
    if kept:
        return f"{head} Kept (--trust): {and_more(keys)}."
    return f"{head} They run again, and so does what reads them; --trust keeps them."
