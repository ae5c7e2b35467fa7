"""Finished runs whose code has changed since: which they are, and how a sweep keeps them all the same (`--trust`)."""

import json
from collections import Counter
from datetime import UTC, datetime

from catscans_lib import paths, results
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.runs import recipe

N_NAMED = 30  # runs in a line


def outdated(profile: str, runs: dict[str, PlannedRun]) -> list[str]:
    """Return the keys of the finished runs that only a change of their code makes out of date, in the grid's order.

    Settings, and the runs, folders and cards they read, are those from which they were made.
    """
    codes = recipe.code_fingerprints(runs)
    return [key for key, run in runs.items() if _only_code_differs(run, profile, codes[run.step])]


def keep(profile: str, keys: list[str], runs: dict[str, PlannedRun]) -> None:
    """Have these finished runs count as up to date as long as their code stays as it is now; `trusted.json` of each says so."""
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
        path = paths.run_dir(profile, run.step, run.name) / recipe.TRUSTED
        path.with_suffix(".part").write_text(json.dumps(note, indent=2), encoding="utf-8")
        path.with_suffix(".part").replace(path)


def told(keys: list[str], runs: dict[str, PlannedRun], *, kept: bool) -> str:
    """Return what a sweep says of such runs; "" where there are none."""
    if not keys:
        return ""
    counts = Counter(runs[key].step for key in keys)
    notebooks = ", ".join(f"notebooks/{step}.ipynb ({n} run{'s' * (n > 1)})" for step, n in counts.items())
    head = f"The code of finished runs has changed: {notebooks}."
    if not kept:
        return f"{head} They and what reads them are made again; --trust keeps them as they are."
    more = f" and {len(keys) - N_NAMED} more" if len(keys) > N_NAMED else ""
    return f"{head} Kept as they are (--trust): {', '.join(keys[:N_NAMED])}{more}."


def _only_code_differs(run: PlannedRun, profile: str, code_now: str) -> bool:
    if not all(results.is_done(profile, key) for key in (run.key, *run.needs)):
        return False
    made = results.facts(profile, run.key)
    is_former_code = made.code != code_now and made.recipe == recipe.recipe(run, profile, made.code)
    return is_former_code and not recipe.is_current(run, profile, code_now)
