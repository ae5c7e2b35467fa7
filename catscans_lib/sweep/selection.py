"""Which runs a sweep is about: selected by name, with what they need; and which are kept despite changed code."""

import json
from collections import Counter
from collections.abc import Collection
from fnmatch import fnmatchcase

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.runs import recipe

CODE = "because their code changed"
Runs = dict[str, PlannedRun]


def select(runs: Runs, patterns: Collection[str] = ()) -> list[str]:
    """Return the keys of the runs that fit any of the patterns, such as `transfer/*--chest`; all runs without a pattern."""
    if unknown := [pattern for pattern in patterns if not any(fnmatchcase(key, pattern) for key in runs)]:
        raise InputError(f"Unknown run '{unknown[0]}'; known: {', '.join(runs)}.")
    return [key for key in runs if not patterns or any(fnmatchcase(key, pattern) for pattern in patterns)]


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
    codes, found = recipe.code_fingerprints(runs), []
    for key, run in runs.items():
        if all(results.is_done(profile, one) for one in (key, *run.needs)):
            made = results.facts(profile, key)
            is_older = made.code != codes[key] and made.recipe == recipe.recipe(run, profile, made.code)
            found += [key] * (is_older and not recipe.is_current(run, profile, codes[key]))
    return found


def trust(profile: str, keys: list[str], runs: Runs) -> None:
    """Count these finished runs as up to date until their code changes again; a note in each run's folder says so."""
    for run in (runs[key] for key in keys):
        note = {"recipe": recipe.recipe(run, profile)}
        with paths.atomic_write(paths.run_dir(profile, run.step, run.name) / recipe.TRUSTED) as part:
            part.write_text(json.dumps(note, indent=2), encoding="utf-8")


def describe_outdated(profile: str, runs: Runs, done: Collection[str]) -> list[str]:
    """Return lines that say which finished runs are not among those that are up to date (`done`), by step, and why."""
    by_code = [key for key in outdated_by_code(profile, runs) if key not in done]
    reasons = Counter(
        (runs[key].step, CODE if key in by_code else _reason(runs[key], profile))
        for key in runs
        if key not in done and results.is_done(profile, key)
    )
    lines = [f"  outdated: {n} {step} run{'s' * (n > 1)}, {reason}" for (step, reason), n in reasons.items()]
    return lines + ["  --trust keeps the runs whose code alone has changed"] * bool(by_code)


def gaps(profile: str) -> dict[str, list[str]]:
    """Return the runs of a grid that are missing, and those that are outdated, by these words; {} if all are up to date."""
    runs = expand.grid(profile)
    current = recipe.current(profile, runs)
    found: dict[str, list[str]] = {"missing": [], "outdated": []}
    for key in [key for key in runs if key not in current]:
        found["outdated" if results.is_done(profile, key) else "missing"].append(key)
    return {what: keys for what, keys in found.items() if keys}


def _reason(run: PlannedRun, profile: str) -> str:
    before = results.record(profile, run.key).get("parameters", {})
    values = run.settings.model_dump(exclude={"profile"})
    changed = [name for name, value in values.items() if before.get(name, value) != value]
    return f"because settings changed: {', '.join(changed)}" if changed else "because an input changed"
