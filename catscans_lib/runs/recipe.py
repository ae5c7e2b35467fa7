"""What a run is made from: settings, code, the runs and files it reads. Its fingerprint, the recipe, decides what runs again."""

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
from catscans_lib.errors import InputError
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import code_scope

PROJECT = "catscans"
CODE = ("catscans_lib", "notebooks", "params", "Snakefile")
CHANGES = "+changes"
RECIPES = "recipes.json"  # in imported results: what each run was made from on the other machine
TRUSTED = "trusted.json"  # in the folder of a run kept by `sweep --trust`: the recipe it would be made from then


class Origin(NamedTuple):
    """Recipe, ids of the runs that are read, commit and fingerprint of the code, versions of packages."""

    recipe: str
    inputs: dict[str, str]
    code: dict[str, str]
    versions: dict[str, str]


def origin(run: PlannedRun, profile: str) -> Origin:
    """Return what a run that starts now is made from; takes a third of a second, so the sweep passes it to the kernel."""
    code = {"commit": commit(), "fingerprint": code_fingerprint(run.step)}
    return Origin(recipe(run, profile, code["fingerprint"]), run_ids(run, profile), code, versions())


def fingerprint(*parts: object) -> str:
    """Return 12 hexadecimal digits that change when any part (plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def recipe(run: PlannedRun, profile: str, code: str | None = None) -> str:
    """Return the fingerprint of all that a result depends on; `code` is the code's fingerprint (None: of the code now).

    The name of the profile is no part of it: profiles share what they make in the same way.
    """
    code = code_fingerprint(run.step) if code is None else code
    settings = run.settings.model_dump(exclude={"profile"})
    return fingerprint(settings, code, run_ids(run, profile), run.inputs)


def run_ids(run: PlannedRun, profile: str) -> dict[str, str]:
    """Return the ids of the runs that a run reads, by key; InputError if one is not done."""
    found = {key: results.facts(profile, key) for key in run.needs}
    if missing := [key for key, facts in found.items() if not facts]:
        what = f"{run.key} needs {missing[0]}, which is not done in profile {profile}"
        raise InputError(f"{what}. Make it: {results.SWEEP} {profile} {missing[0]}")
    return {key: facts.run_id for key, facts in found.items()}


def is_current(run: PlannedRun, profile: str, code: str | None = None) -> bool:
    """Return whether a run is done and up to date; `code` as in `recipe`."""
    if not all(results.is_done(profile, key) for key in (run.key, *run.needs)):
        return False
    now = recipe(run, profile, code)
    made_from = results.facts(profile, run.key).recipe
    return made_from == now or _is_trusted(run, profile, now) or _is_current_import(run, profile)


def _is_trusted(run: PlannedRun, profile: str, now: str) -> bool:
    """Return whether the user keeps a run although its code has changed; a later change must be trusted again."""
    note = paths.run_dir(profile, run.step, run.name) / TRUSTED
    return note.is_file() and json.loads(note.read_text(encoding="utf-8"))["recipe"] == now


def portable(run: PlannedRun, profile: str) -> dict[str, str]:
    """Return a run's id and its recipe without the paths of folders, which differ on another machine."""
    card = yaml.safe_load(run.inputs.get("card", "{}"))
    card.pop("place", None)
    made_from = fingerprint(run.parameters, code_fingerprint(run.step), run_ids(run, profile), card)
    return {"run_id": results.record(profile, run.key)["run_id"], "recipe": made_from}


def _is_current_import(run: PlannedRun, profile: str) -> bool:
    """Return whether an imported run is up to date; not if a folder is given here, which may hold other images."""
    recipes = paths.results_dir(profile) / RECIPES
    is_given = any(folder for name, folder in run.inputs.items() if name != "card")
    if is_given or not run.inputs or not recipes.is_file():
        return False
    return json.loads(recipes.read_text()).get(run.key) == portable(run, profile)


def current(profile: str, runs: dict[str, PlannedRun]) -> list[str]:
    """Return the keys of the runs that are up to date together with all they need; `runs` in the grid's order."""
    found: dict[str, None] = {}
    codes = code_fingerprints(runs)
    for key, run in runs.items():
        if all(need in found for need in run.needs) and is_current(run, profile, codes[run.step]):
            found[key] = None
    return list(found)


def without_images(profile: str, runs: dict[str, PlannedRun]) -> list[str]:
    """Return the ingest runs whose image store is missing (imports have none) although an outdated run reads it."""
    made = set(current(profile, runs))
    read = {need for key, run in runs.items() if key not in made for need in run.needs if runs[need].step == "ingest"}
    stores = {key: (runs[key].parameters["dataset"], runs[key].parameters["size_px"]) for key in read}
    return [key for key, store in stores.items() if not paths.store_path(profile, *store).exists()]


def code_fingerprint(step: str) -> str:
    """Return the fingerprint of a step's notebook and of all library files it reaches, without comments and docstrings."""
    _, *files = sources(step)
    meanings = {str(path.relative_to(code_scope.LIBRARY)): code_scope.meaning(path) for path in files}
    if STEPS[step].ignores_figure_code:
        meanings = {name: meaning for name, meaning in meanings.items() if not name.startswith("figures/")}
    return fingerprint([source for _, source, _ in STEPS[step].cells()], meanings)


def code_fingerprints(runs: dict[str, PlannedRun]) -> dict[str, str]:
    """Return the code fingerprint of every step in `runs`."""
    return {step: code_fingerprint(step) for step in {run.step for run in runs.values()}}


def sources(step: str) -> list[Path]:
    """Return a step's notebook and every library file it reaches."""
    code = "\n".join(source for kind, source, _ in STEPS[step].cells() if kind == "code")
    return [paths.notebook_path(step), *sorted(code_scope.reached(code))]


def commit() -> str:
    """Return the project's git commit, with `+changes` if tracked files differ or code is untracked; "" outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(paths.root()), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "HEAD")
        untracked = ("ls-files", "--others", "--exclude-standard", "--", *CODE)
        differs = git("status", "--porcelain", "--untracked-files=no") or git(*untracked)
    except FileNotFoundError:  # git is not installed
        return ""
    return head + (CHANGES if head and differs else "")


@cache
def versions() -> dict[str, str]:
    """Return the installed version of every package that the project requires, directly or through others."""
    found: dict[str, str] = {}
    waiting, seen = [Requirement(PROJECT)], set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            facts = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
        found[name] = facts["Version"]
        lines = facts.get_all("Requires-Dist", [])  # most belong to extras; parsing those takes half a second
        needed = [Requirement(line) for line in lines if extras or "extra ==" not in line]
        waiting += [r for r in needed if not r.marker or any(r.marker.evaluate({"extra": e}) for e in extras | {""})]
    return dict(sorted(found.items()))
