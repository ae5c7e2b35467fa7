"""Describes a crate in ``ro-crate-metadata.json`` (which run made what, from what, with which notebook).

Follows the Workflow Run Crate 0.5 profile: the Snakefile is the workflow and its execution an action; so is each finished run,
whose tool is a notebook.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version as installed
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Any
from urllib import parse

import yaml

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import recipe

quote = partial(parse.quote, safe="/+")

NAME = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"  # the version that the profile requires
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}  # not in the context of that version
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
WORKFLOW, SWEEP, SNAKEMAKE = "Snakefile", "#sweep", "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
BUILT_IN = MimeTypes()  # Python's own table, which is the same on every machine
MEDIA_TYPES = {  # not in it
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".gz": "application/gzip", ".ipynb": "application/x-ipynb+json",
    ".keras": "application/zip", ".md": "text/markdown", ".npz": "application/zip", ".tgz": "application/gzip",
    ".toml": "application/toml", ".woff2": "font/woff2", ".yaml": "application/yaml", ".yml": "application/yaml",
}  # fmt: skip


def describe(profile: str, files: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``; `files`: place of every other file -> number of bytes and SHA-256."""
    cited = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    if missing := [key for key in ("title", "authors", "license") if not cited.get(key)]:
        raise InputError(f"CITATION.cff states no {', '.join(missing)}; a crate needs title, authors and licence.")
    runs = _finished(profile)
    articles = [
        _entity(f"https://doi.org/{one['doi']}" if "doi" in one else one["url"], "ScholarlyArticle", name=one["title"])
        for one in cited.get("references", ())
    ]
    authors = [_author(f"#author-{number}", one) for number, one in enumerate(cited["authors"], 1)]
    spdx = f"https://spdx.org/licenses/{cited['license']}"
    rights = {"author": _refs(*(one["@id"] for one in authors)), "license": _refs(spdx)}
    rights["citation"] = _refs(*(one["@id"] for one in articles))
    described = {name: _file(name, *facts) for name, facts in files.items()}
    commits = sorted({record["code"]["commit"] for record in runs.values()} - {""})
    version = ", ".join(commits) or installed(recipe.PROJECT)
    address = cited.get("repository-code", "").removesuffix("/")
    tools = _tools(described, runs, version, address and f"{address}/blob/{commits[-1] if commits else 'HEAD'}")
    actions = _actions(profile, runs, files, authors[0]["@id"], tools)
    actions += _sweep(profile, runs, described, version, authors[0]["@id"])
    folders = [entity["@id"] for entity in actions if entity["@type"] == "Dataset"]
    graph = [
        _root(profile, cited["title"], runs, [*described, *folders], **rights),
        _entity(NAME, "CreativeWork", about=_refs("./"), conformsTo=_refs(CRATE, WORKFLOW_CRATE)),
        _entity(spdx, "CreativeWork", name=f"{cited['license']} License", url=spdx, description="See LICENSE."),
        *(_entity(one, "CreativeWork", name=name, version=one.split("/")[-1]) for one, name in PROFILES.items()),
        *articles,
        *authors,
        *described.values(),
        *(tool for tool in tools.values() if tool["@id"] not in described),
        *actions,
    ]
    return {"@context": [f"{CRATE}/context", TERMS], "@graph": graph}


def _finished(profile: str) -> dict[str, dict[str, Any]]:
    """The `run.json` of every finished run by its key: first the runs of the grid in its order, then the others."""
    done = [f"{step}/{name}" for step in sorted(STEPS) for name in results.finished(profile, step)]
    keys = dict.fromkeys([*expand.grid(profile), *done])
    return {key: results.record(profile, key) for key in keys if results.is_done(profile, key)}


def _entity(place: str, kind: str | list[str], **properties: Any) -> dict[str, Any]:
    return {"@id": place, "@type": kind} | properties


def _refs(*identifiers: str) -> Any:
    """References to entities; RO-Crate 1.1 asks for a single one without a list."""
    found = [{"@id": identifier} for identifier in identifiers]
    return found[0] if len(found) == 1 else found


def _author(identifier: str, cited: dict[str, Any]) -> dict[str, Any]:
    if "name" in cited:
        url = cited.get("website", f"#{cited['name']}")
        return _entity(identifier, "Organization", name=cited["name"], url=url)
    words = [cited[part] for part in ("given-names", "name-particle", "family-names") if cited.get(part)]
    return _entity(identifier, "Person", name=" ".join(words))


def _file(name: str, n_bytes: int, sha256: str) -> dict[str, Any]:
    place = PurePosixPath(name)
    found = _entity(quote(name), "File", name=place.name, contentSize=str(n_bytes), sha256=sha256)
    kind = MEDIA_TYPES.get(place.suffix) or BUILT_IN.guess_type(place.name)[0] or "text/plain"
    return found | {"encodingFormat": kind}


def _root(profile: str, title: str, runs: dict[str, dict], parts: list[str], **more: Any) -> dict[str, Any]:
    return _entity(
        "./", "Dataset", name=f"{title} ({profiles.load(profile).title})",
        description=(
            f"Profile '{profile}' with {len(runs)} finished runs: settings, executed notebooks, tables, figures, networks, code "
            "and the locked environment. It has the layout of the project: unzip it and `make book`, or `catscans import` it."
        ),
        version=installed(recipe.PROJECT), datePublished=max(_ended(record) for record in runs.values()),
        keywords="transfer learning, medical image classification, dataset similarity", conformsTo=_refs(*PROFILES),
        publisher=_refs("#author-1"), hasPart=_refs(*map(quote, parts)), mainEntity=_refs(WORKFLOW),
        mentions=_refs(SWEEP, *(f"#{key}" for key in runs)), **more,
    )  # fmt: skip


def _tools(described: dict[str, dict], runs: dict[str, dict], version: str, address: str) -> dict[str, dict[str, Any]]:
    """Return the software of each step: its notebook, at the address of the repository if there is one.

    Without an address, the notebook's file in the crate is the software, which is then marked as such.
    """
    found = {}
    for step in dict.fromkeys(key.split("/")[0] for key in runs):
        name = f"notebooks/{step}.ipynb"
        described[name] |= {"@type": ["File", "SoftwareSourceCode"], "version": version}
        found[step] = described[name]
        if address:
            url = f"{address}/{name}"
            found[step] = _entity(url, "SoftwareApplication", name=name, url=url, version=version)
    return found


def _actions(
    profile: str, runs: dict[str, dict], files: Iterable[str], agent: str, tools: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Entities for what each run read and made."""
    grid, folders = expand.grid(profile), {key: f"results/{profile}/{key}/" for key in runs}
    settings, found = f"params/{profile}.yaml", []
    for key, record in runs.items():
        step, folder = key.split("/")[0], folders[key]
        notebook, parts = f"notebooks/{step}.ipynb", [quote(name) for name in files if name.startswith(folder)]
        needs = grid[key].needs if key in grid else ()
        found += [
            _entity(
                folder, "Dataset", name=key, description=f"What the run {record['run_id']} made.",
                hasPart=[_refs(part) for part in parts],
            ),
            _entity(
                f"#{key}", "CreateAction", name=record["run_id"], instrument=_refs(tools[step]["@id"]), agent=_refs(agent),
                object=_refs(settings, *(folders[need] for need in needs if need in folders)), result=_refs(folder),
                description=f"{notebook}, executed with the parameters in {folder}{results.RECORD}.",
                startTime=record["started"], endTime=_ended(record), actionStatus="http://schema.org/CompletedActionStatus",
            ),
        ]  # fmt: skip
    return found


def _sweep(
    profile: str, runs: dict[str, dict], described: dict[str, dict], version: str, agent: str
) -> list[dict[str, Any]]:
    """Mark the Snakefile as the workflow; return its entities: input and output, language, the action and what it made."""
    settings, made = described[f"params/{profile}.yaml"], f"results/{profile}/"
    described[WORKFLOW] |= {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"], "name": "The sweep: every run of a profile",
        "programmingLanguage": _refs(SNAKEMAKE), "conformsTo": _refs(BIOSCHEMAS), "input": _refs("#settings"),
        "output": _refs("#results"), "version": version,
    }  # fmt: skip
    described["README.md"]["about"], settings["exampleOfWork"] = _refs("./"), _refs("#settings")
    return [
        _entity("#settings", "FormalParameter", name="profile", additionalType="File", workExample=_refs(settings["@id"])),
        _entity("#results", "FormalParameter", name="results", additionalType="Dataset", workExample=_refs(made)),
        _entity(SNAKEMAKE, "ComputerLanguage", name="Snakemake", url=_refs("https://snakemake.readthedocs.io")),
        _entity(made, "Dataset", name=made, exampleOfWork=_refs("#results"), hasPart=[_refs(f"{made}{key}/") for key in runs]),
        _entity(
            SWEEP, "CreateAction", name=f"Sweep of profile {profile}", instrument=_refs(WORKFLOW), agent=_refs(agent),
            object=_refs(settings["@id"]), result=_refs(made), description="All finished runs, from the first to the last.",
            startTime=min(record["started"] for record in runs.values()), endTime=max(map(_ended, runs.values())),
            actionStatus="http://schema.org/CompletedActionStatus",
        ),
    ]  # fmt: skip


def _ended(record: dict[str, Any]) -> str:
    ended = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
    return ended.isoformat(timespec="seconds")
