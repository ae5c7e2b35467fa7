"""What a result came from: the code behind a step, the commit, the versions of what was installed."""

import hashlib
import json
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import code_scope

PROJECT = "catscans"
CODE = ("catscans_lib", "notebooks", "params", "Snakefile")
NEW_FILES = ("--others", "--exclude-standard")
CHANGES = "+changes"
RECIPES = "recipes.json"  # among results that an import brought: what they were made from on the other machine
TRUSTED = "trusted.json"  # in the folder of a run that `sweep --trust` has kept: the recipe it would now be made from


class Origin(NamedTuple):
    """What a run is made from: its recipe, the ids of the runs it reads, commit and fingerprint of the code, versions."""

    recipe: str
    inputs: dict[str, str]
    code: dict[str, str]
    versions: dict[str, str]


def origin(planned: expand.PlannedRun, profile: str) -> Origin:
    """Return what a run that begins now is made from; a third of a second, so that the sweep tells it to the kernel."""
    code = {"commit": commit(), "fingerprint": code_fingerprint(planned.step)}
    made_from = recipe(planned, profile, code["fingerprint"])
    return Origin(made_from, run_ids(planned, profile), code, versions())


def fingerprint(*parts: object) -> str:
    """Return 12 hexadecimal digits that change when any part (plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def recipe(planned: expand.PlannedRun, profile: str, code: str | None = None) -> str:
    """Return the fingerprint of all that a run's result follows from: settings, code, the runs, folders and cards it reads.

    `code` is a fingerprint as of `code_fingerprint`; by default that of the code as it is now.
    """
    code = code_fingerprint(planned.step) if code is None else code
    return fingerprint(planned.parameters, code, run_ids(planned, profile), planned.inputs)


def run_ids(planned: expand.PlannedRun, profile: str) -> dict[str, str]:
    """Return the ids of the runs that a run reads, by their keys."""
    found = {key: results.facts(profile, key) for key in planned.needs}
    for key, facts in found.items():
        if not facts:
            results.record(profile, key)  # which says what is missing
    return {key: facts.run_id for key, facts in found.items()}


def is_current(planned: expand.PlannedRun, profile: str, code: str | None = None) -> bool:
    """Return whether a run is there, made from the recipe it would be made from now; `code` as in `recipe`."""
    if not all(results.is_done(profile, key) for key in (planned.key, *planned.needs)):
        return False
    now = recipe(planned, profile, code)
    is_from_now = results.facts(profile, planned.key).recipe == now
    return is_from_now or _is_trusted(planned, profile, now) or _holds_elsewhere(planned, profile)


def _is_trusted(planned: expand.PlannedRun, profile: str, now: str) -> bool:
    """Whether the user keeps a run though its code has changed since; a later change has to be trusted anew."""
    note = paths.run_dir(profile, planned.step, planned.name) / TRUSTED
    return note.is_file() and json.loads(note.read_text(encoding="utf-8"))["recipe"] == now


def portable(planned: expand.PlannedRun, profile: str) -> dict[str, str]:
    """Return a run's id and recipe for another machine: without the folders it was given, which has others."""
    card = yaml.safe_load(planned.inputs.get("card", "{}"))
    card.pop("place", None)
    ids = run_ids(planned, profile)
    made_from = fingerprint(planned.parameters, code_fingerprint(planned.step), ids, card)
    return {"run_id": results.record(profile, planned.key)["run_id"], "recipe": made_from}


def _holds_elsewhere(planned: expand.PlannedRun, profile: str) -> bool:
    """Whether a run that an import brought is up to date; a folder that is given here may give another result."""
    recipes = paths.results_dir(profile) / RECIPES
    is_given = any(folder for name, folder in planned.inputs.items() if name != "card")
    if is_given or not planned.inputs or not recipes.is_file():
        return False
    return json.loads(recipes.read_text()).get(planned.key) == portable(planned, profile)


def without_images(profile: str, runs: dict[str, expand.PlannedRun]) -> list[str]:
    """Return the ingest runs whose image store is gone though a run reads it that is not up to date; an import brings none."""
    made = set(current(profile, runs))
    read = {need for key, run in runs.items() if key not in made for need in run.needs if runs[need].step == "ingest"}
    stores = {key: (runs[key].parameters["dataset"], runs[key].parameters["size_px"]) for key in read}
    return [key for key, store in stores.items() if not paths.store_path(profile, *store).exists()]


def current(profile: str, runs: dict[str, expand.PlannedRun]) -> list[str]:
    """Return the keys of the runs that are current, and all runs they need with them; `runs` in the grid's order."""
    found: dict[str, None] = {}
    codes = code_fingerprints(runs)
    for key, run in runs.items():
        if all(need in found for need in run.needs) and is_current(run, profile, codes[run.step]):
            found[key] = None
    return list(found)


def code_fingerprint(step: str) -> str:
    """Return the fingerprint of a step's notebook and of every library module it reaches.

    Comments, docstrings and layout do not count: what a sweep has made stays valid when only they change. Nor does how
    figures look count for the steps that take long: nobody trains a network anew for another colour.
    """
    cells = STEPS[step].cells()
    code = "\n".join(source for kind, source, _ in cells if kind == "code")
    files = sorted(code_scope.reached(code))
    meanings = {str(path.relative_to(code_scope.LIBRARY)): code_scope.meaning(path) for path in files}
    if STEPS[step].ignores_figure_code:
        meanings = {name: meaning for name, meaning in meanings.items() if not name.startswith("figures/")}
    return fingerprint([source for _, source, _ in cells], meanings)


def code_fingerprints(runs: dict[str, expand.PlannedRun]) -> dict[str, str]:
    """Return the fingerprint of every step that some runs are of."""
    return {step: code_fingerprint(step) for step in {run.step for run in runs.values()}}


def sources(step: str) -> list[Path]:
    """Return the files behind a step: its notebook and every library module it reaches."""
    code = "\n".join(source for kind, source, _ in STEPS[step].cells() if kind == "code")
    return [paths.notebook_path(step), *sorted(code_scope.reached(code))]


def commit() -> str:
    """Return the git commit of the project's folder, with `+changes` where files differ from it; "" outside git.

    New code that git does not know counts as a difference; other new files do not.
    """

    def git(*arguments: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(paths.root()), *arguments], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip() if answer.returncode == 0 else ""

    try:
        head = git("rev-parse", "HEAD")
        differs = git("status", "--porcelain", "--untracked-files=no") or git("ls-files", *NEW_FILES, "--", *CODE)
        return head + (CHANGES if head and differs else "")
    except FileNotFoundError:  # git is not installed
        return ""


@cache
def versions() -> dict[str, str]:
    """Return the installed version of every package the project requires, and of all that those rest on."""
    found: dict[str, str] = {}
    waiting, seen = [Requirement(PROJECT)], set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen or not (facts := _installed(name)):
            continue
        seen.add((name, extras))
        found[name] = facts["Version"]
        lines = facts.get_all("Requires-Dist", [])  # most belong to extras, and take half a second to read
        needed = [Requirement(line) for line in lines if extras or "extra ==" not in line]
        waiting += [r for r in needed if not r.marker or any(r.marker.evaluate({"extra": e}) for e in extras | {""})]
    return dict(sorted(found.items()))


def _installed(name: str) -> metadata.PackageMetadata | None:
    try:
        return metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
