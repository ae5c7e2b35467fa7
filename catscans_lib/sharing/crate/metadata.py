"""Describes a crate in ``ro-crate-metadata.json``: which run made what, from what, with which notebook.

Follows the Provenance Run Crate 0.5 profile, which includes the Process and Workflow Run Crate profiles and the Workflow
RO-Crate: the Snakefile is the workflow, each notebook a tool, each finished run an action.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version as installed
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Any
from urllib import parse

import yaml

from catscans_lib import paths, results
from catscans_lib.grid import expand, profiles
from catscans_lib.runs import recipe

quote = partial(parse.quote, safe="/+")

NAME = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"  # the version that the profiles require
TERMS = {  # not in the context of that version
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
    "buildInstructions": "https://codemeta.github.io/terms/buildInstructions",
}
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
BUILT_IN = MimeTypes()  # Python's own table, which is the same on every machine
MEDIA_TYPES = {  # not in it
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".gz": "application/gzip", ".ipynb": "application/x-ipynb+json",
    ".keras": "application/zip", ".md": "text/markdown", ".npz": "application/zip", ".tgz": "application/gzip",
    ".toml": "application/toml", ".woff2": "font/woff2", ".yaml": "application/yaml", ".yml": "application/yaml",
}  # fmt: skip
PIP = "https://pip.pypa.io/en/stable/reference/requirements-file-format/"


def describe(profile: str, files: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``; `files`: place of every other file -> number of bytes and SHA-256."""
    cited = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    runs = _finished(profile)
    articles = [
        _entity(f"https://doi.org/{one['doi']}" if "doi" in one else one["url"], "ScholarlyArticle", name=one["title"])
        for one in cited["references"]
    ]
    authors = [_author(f"#author-{number}", one) for number, one in enumerate(cited["authors"], 1)]
    spdx = f"https://spdx.org/licenses/{cited['license']}"
    rights = {"author": _ids(authors), "license": _refs(spdx)}
    described = {name: _file(name, *facts) for name, facts in files.items()}
    actions = _actions(profile, runs, files, authors[0]["@id"])
    folders = [entity["@id"] for entity in actions if entity["@type"] == "Dataset"]
    graph = [
        _root(profile, cited["title"], runs, [*described, *folders], citation=_ids(articles), **rights),
        _entity(NAME, "CreativeWork", about=_refs("./"), conformsTo=[_refs(CRATE), _refs(list(PROFILES)[-1])]),
        _entity(spdx, "CreativeWork", name=f"{cited['license']} License", url=spdx, description="See LICENSE."),
        _entity(PIP, "CreativeWork", name="pip's requirements file"),
        *(_entity(url, "CreativeWork", name=name, version=url.rpartition("/")[2]) for url, name in PROFILES.items()),
        *articles,
        *authors,
        *_workflow(profile, runs, described, rights),
        *described.values(),
        *actions,
    ]
    return {"@context": [f"{CRATE}/context", TERMS], "@graph": graph}


def _finished(profile: str) -> dict[str, dict[str, Any]]:
    """The `run.json` of every finished run by its key: first the runs of the grid in its order, then the others."""
    folders = paths.results_dir(profile).glob(f"[!.]*/[!.]*/{results.RECORD}")
    others = sorted(f"{path.parts[-3]}/{path.parts[-2]}" for path in folders if path.parts[-3] != "records")
    keys = dict.fromkeys([*expand.grid(profile), *others])
    return {key: results.record(profile, key) for key in keys if results.is_done(profile, key)}


def _entity(place: str, kind: str | list[str], **properties: Any) -> dict[str, Any]:
    return {"@id": place, "@type": kind} | properties


def _refs(*identifiers: str) -> Any:
    """References to entities; RO-Crate 1.1 asks for a single one without a list."""
    found = [{"@id": identifier} for identifier in identifiers]
    return found[0] if len(found) == 1 else found


def _ids(entities: list[dict[str, Any]]) -> Any:
    return _refs(*(entity["@id"] for entity in entities))


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
        mainEntity=_refs("Snakefile"), publisher=_refs("#author-1"), hasPart=_refs(*map(quote, parts)),
        mentions=_refs("#sweep", *(f"#{key}" for key in runs)), **more,
    )  # fmt: skip


def _workflow(profile: str, runs: dict[str, dict], described: dict[str, dict], rights: dict) -> list[dict[str, Any]]:
    """Entities for the steps and settings of the workflow; completes the files that it consists of."""
    commits = sorted({record["code"]["commit"] for record in runs.values()} - {""})
    version = ", ".join(commits) or installed(recipe.PROJECT)
    notebooks = {step: f"notebooks/{step}.ipynb" for step in (key.split("/")[0] for key in runs)}
    described["README.md"]["about"] = _refs("./")
    described[f"params/{profile}.yaml"]["exampleOfWork"] = _refs("#profile")
    described["requirements.lock"]["conformsTo"] = _refs(PIP)
    for notebook in notebooks.values():
        described[notebook] |= {"@type": ["File", "SoftwareSourceCode"], "version": version}
    described["Snakefile"] |= rights | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "The sweep: every run of a profile, each after the runs it needs", "version": version,
        "programmingLanguage": _refs(SNAKEMAKE), "input": _refs("#profile"), "buildInstructions": _refs("requirements.lock"),
        "hasPart": _refs(*notebooks.values()), "step": _refs(*(f"#step-{step}" for step in notebooks)),
    }  # fmt: skip
    return [
        _entity(
            SNAKEMAKE, "ComputerLanguage", name="Snakemake", version=installed("snakemake"),
            identifier=_refs("https://doi.org/10.1093/bioinformatics/bts480"), url=_refs("https://snakemake.readthedocs.io"),
        ),
        _entity(
            "#profile", "FormalParameter", name="profile", additionalType="File", valueRequired=True,
            description="The grid of runs: params/<profile>.yaml",
            conformsTo=_refs("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
        ),
        *(
            _entity(f"#step-{step}", "HowToStep", name=step, position=str(position), workExample=_refs(notebook))
            for position, (step, notebook) in enumerate(notebooks.items(), 1)
        ),
    ]  # fmt: skip


def _actions(profile: str, runs: dict[str, dict], files: Iterable[str], agent: str) -> list[dict[str, Any]]:
    """Entities for what each run read and made, and for the sweep that they are parts of."""
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
                f"#{key}", "CreateAction", name=record["run_id"], instrument=_refs(notebook), agent=_refs(agent),
                object=_refs(settings, *(folders[need] for need in needs if need in folders)), result=_refs(folder),
                description=f"{notebook}, executed with the parameters in {folder}{results.RECORD}.", **_when([record]),
            ),
            _entity(f"#control-{key}", "ControlAction", name=key, instrument=_refs(f"#step-{step}"), object=_refs(f"#{key}")),
        ]  # fmt: skip
    return [
        *found,
        _entity(
            "#sweep", "CreateAction", name=f"The sweep of profile {profile}", instrument=_refs("Snakefile"),
            object=_refs(settings), result=_refs(*folders.values()), agent=_refs(agent), **_when(runs.values()),
            description=f"All finished runs of params/{profile}.yaml, each after those it needs.",
        ),
        _entity(
            "#snakemake", "SoftwareApplication", name="Snakemake", url="https://snakemake.readthedocs.io",
            softwareVersion=installed("snakemake"),
        ),
        _entity(
            "#engine", "OrganizeAction", name="Snakemake's run of the sweep", instrument=_refs("#snakemake"),
            agent=_refs(agent), object=_refs(*(f"#control-{key}" for key in runs)), result=_refs("#sweep"),
        ),
    ]  # fmt: skip


def _when(records: Collection[dict[str, Any]]) -> dict[str, Any]:
    return {
        "startTime": min(record["started"] for record in records),
        "endTime": max(_ended(record) for record in records),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }


def _ended(record: dict[str, Any]) -> str:
    ended = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
    return ended.isoformat(timespec="seconds")
