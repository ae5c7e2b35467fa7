"""What a run is made from: settings, code, the runs and files it reads. Its fingerprint, the recipe, decides what runs again."""

import hashlib
import json
import re
import subprocess
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.grid.steps import STEPS
from catscans_lib.networks import registry
from catscans_lib.runs import code_scope, contents
from catscans_lib.training import WITHOUT_EFFECT, keras_settings

PROJECT = "catscans"
CODE = ("catscans_lib", "notebooks", "params", "Snakefile")
CHANGES = "+changes"
TRUSTED = "trusted.json"  # in the folder of a run kept by `sweep --trust`: the recipe it would be made from then
NETWORKS = f"{code_scope.LIBRARY.name}.networks.build.backbone"
RUN = f"{code_scope.LIBRARY.name}.runs.in_notebook.Run"
SHOWS = {"card", "finish", "save_figure"}  # methods of a notebook's run that change none of its tables


class Origin(NamedTuple):
    """Recipe, digests of the files and ids of the runs that are read, commit and fingerprint of the code, package versions."""

    recipe: str
    files: dict[str, str]
    inputs: dict[str, str]
    code: dict[str, str]
    versions: dict[str, str]


def origin(run: PlannedRun, profile: str) -> Origin:
    """Return what a run that starts now is made from; takes a third of a second, so the sweep passes it to the kernel."""
    code = {"commit": commit(), "fingerprint": code_fingerprint(run.step, run.parameters)}
    made_from = recipe(run, profile, code["fingerprint"])
    return Origin(made_from, _files(run, profile), run_ids(run, profile), code, versions())


def fingerprint(*parts: object) -> str:
    """Return 12 hexadecimal digits that change when any part (plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def recipe(run: PlannedRun, profile: str, code: str | None = None) -> str:
    """Return the fingerprint of all that a result depends on but the profile's name; `code` is the code's (None: of now)."""
    code = code_fingerprint(run.step, run.parameters) if code is None else code
    settings = run.settings.model_dump(exclude={"profile", *WITHOUT_EFFECT})
    return fingerprint(settings, code, run_ids(run, profile), _files(run, profile), _entries(run))


def _files(run: PlannedRun, profile: str) -> dict[str, str]:
    """Return the digests of the files that a run reads; of files that are not on this machine, those in its record."""
    made = results.facts(profile, run.key)
    return {name: now or (made.files.get(name, "") if made else "") for name, now in contents.of_run(run).items()}


def _entries(run: PlannedRun) -> list[Any]:
    """Return what the library's tables of datasets and networks say about those that a run names, itself or by its needs."""
    values = run.parameters
    words = {word for key in (run.key, *run.needs) for word in re.split(r"--|[@+]", key.split("/")[1])}
    words |= {word for name in ("datasets", "sources", "exclude") for word in values.get(name) or ()}
    named = [name for name in datasets.known() if name in words] or list(datasets.published())
    cards = [(name, datasets.origin(name), datasets.get(name)) for name in named]
    facts = [
        (name, origin, card.classes, card.group, card.n_images, card.count_classes()) for name, origin, card in cards
    ]
    network = repr(registry.find(values["backbone"])) if "backbone" in values else None
    name = values.get("dataset", "") if values.get("data") == "native" else ""
    card = datasets.get(name) if name else None
    read = card and [dict(card.n_per_class), card.groups_from, card.places, dict(card.reading)]
    if name in own.names():
        read = own.reading(name)
    return [facts, network, read]


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
    now, note = recipe(run, profile, code), paths.run_dir(profile, run.step, run.name) / TRUSTED
    # trusted: the user keeps the run although its code has changed; a later change must be trusted again
    is_trusted = note.is_file() and json.loads(note.read_text(encoding="utf-8"))["recipe"] == now
    return is_trusted or results.facts(profile, run.key).recipe == now


def current(profile: str, runs: dict[str, PlannedRun]) -> list[str]:
    """Return the keys of the runs that are up to date together with all they need; `runs` in the grid's order."""
    found: dict[str, None] = {}
    codes = code_fingerprints(runs)
    for key, run in runs.items():
        if all(need in found for need in run.needs) and is_current(run, profile, codes[key]):
            found[key] = None
    return list(found)


def without_images(profile: str, runs: dict[str, PlannedRun], made: list[str] | None = None) -> list[str]:
    """Return the ingest runs without image store (imports have none) that an outdated run reads; `made` is from `current`."""
    made = set(current(profile, runs) if made is None else made)
    read = {need for key, run in runs.items() if key not in made for need in run.needs if runs[need].step == "ingest"}
    stores = {key: (runs[key].parameters["dataset"], runs[key].parameters["size_px"]) for key in read}
    return [key for key, store in stores.items() if not paths.store_path(profile, *store).exists()]


def code_fingerprint(step: str, parameters: dict[str, Any]) -> str:
    """Return the fingerprint of the code that a result depends on: its notebook's, what that uses, and Keras's settings."""
    return _code_fingerprint(step, _reader(parameters), STEPS[step].code())


@lru_cache(maxsize=256)  # asked for every run of a grid, and for every profile that it may share runs with
def _code_fingerprint(step: str, reader: str, notebook: str) -> str:
    used = _reached(step, reader)
    settings = keras_settings() if NETWORKS in used else None
    parts = code_scope.definitions(notebook.encode(), "notebook").items()
    return fingerprint({name: part for name, part in parts if not part.is_import}, used, settings)


def code_fingerprints(runs: dict[str, PlannedRun]) -> dict[str, str]:
    """Return the code fingerprint of every run by its key."""
    kinds = {key: (run.step, _reader(run.parameters)) for key, run in runs.items()}
    one_of = {kind: runs[key] for key, kind in kinds.items()}
    found = {kind: code_fingerprint(run.step, run.parameters) for kind, run in one_of.items()}
    return {key: found[kind] for key, kind in kinds.items()}


def sources(step: str, parameters: dict[str, Any]) -> list[Path]:
    """Return a step's notebook and the library's files with code that its result depends on."""
    found = {code_scope.file_of(name) for name in _reached(step, _reader(parameters))}
    return [paths.notebook_path(step), *sorted(found)]


def _reached(step: str, reader: str) -> dict[str, str]:
    """Return the meaning of what a notebook uses of the library: by its names, by its settings and by the methods of its run."""
    notebook = code_scope.definitions(STEPS[step].code().encode(), "notebook")
    uses = {use for part in notebook.values() if not part.is_import for use in part.uses}
    words = {use.split(".")[2] for use in uses if use.startswith("notebook.") and use.count(".") > 1}
    methods = {method for word in words - SHOWS if code_scope.defines(method := f"{RUN}.{word}")}
    settings = STEPS[step].settings
    return code_scope.reached(
        {*uses, f"{settings.__module__}.{settings.__name__}"}, {*methods, *filter(None, [reader])}
    )


def _reader(parameters: dict[str, Any]) -> str:
    """Return the full name of what lists or draws a run's dataset; "" if the run reads no files."""
    package = f"{code_scope.LIBRARY.name}.datasets"
    if parameters.get("data") == "demo":
        return f"{package}.demo.make"
    if parameters.get("data") != "native":
        return ""
    card = datasets.published().get(parameters["dataset"])
    return f"{package}.{card.reader if card else 'own.read'}"


def commit() -> str:
    """Return the project's git commit, with `+changes` if tracked files differ or code is untracked; "" outside git."""
    head = _git("rev-parse", "HEAD")
    untracked = ("ls-files", "--others", "--exclude-standard", "--", *CODE)
    has_changes = head and (_git("status", "--porcelain", "--untracked-files=no") or _git(*untracked))
    return head + CHANGES * bool(has_changes)


def _git(*arguments: str) -> str:
    """Return what git prints; "" if it fails or is not installed. The project's folder may belong to another user."""
    command = ["git", "-c", "safe.directory=*", "-C", str(paths.root()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def versions() -> dict[str, str]:
    """Return the version of every installed package."""
    found = [(one.metadata["Name"], one.version) for one in metadata.distributions()]
    return dict(sorted((canonicalize_name(name), version) for name, version in found if name))
