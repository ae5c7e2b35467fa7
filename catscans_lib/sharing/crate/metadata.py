"""Describes a crate in ``ro-crate-metadata.json``: which run made what, from what, with which notebook.

Follows the Provenance Run Crate 0.5 profile, which includes the Process and Workflow Run Crate profiles and the Workflow
RO-Crate: the Snakefile is the workflow, each notebook a tool, each finished run an action.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib import metadata as installed
from pathlib import PurePosixPath
from typing import Any

import yaml

from catscans_lib import paths, results
from catscans_lib.grid import expand, profiles
from catscans_lib.runs import recipe
from catscans_lib.sharing.crate.croissant import CONFORMS_TO as CROISSANT

NAME = "ro-crate-metadata.json"
VERSION = "1.1"  # of RO-Crate, which the profiles require
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
PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
PIP = "https://pip.pypa.io/en/stable/reference/requirements-file-format/"
MEDIA_TYPES = {
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".css": "text/css", ".csv": "text/csv",
    ".h5": "application/x-hdf5", ".html": "text/html", ".ico": "image/x-icon", ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript", ".json": "application/json", ".jsonld": "application/ld+json", ".keras": "application/zip",
    ".lock": "text/plain", ".map": "application/json", ".md": "text/markdown", ".png": "image/png", ".py": "text/x-python",
    ".svg": "image/svg+xml", ".toml": "application/toml", ".txt": "text/plain", ".woff2": "font/woff2",
    ".yaml": "application/yaml", ".yml": "application/yaml",
}  # fmt: skip


def describe(profile: str, files: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``.

    Parameters
    ----------
    files : dict
        Place of every other file of the crate -> number of bytes and SHA-256.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    crate.metadata.extra_terms |= TERMS
    for name, (n_bytes, sha256) in sorted(files.items()):
        crate.add_file(dest_path=name, properties=_file(name, n_bytes, sha256))
    cited = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    runs = _finished(profile)
    authors = [_thing(crate, f"#author-{number}", **_author(one)) for number, one in enumerate(cited["authors"], 1)]
    spdx = f"https://spdx.org/licenses/{cited['license']}"
    licence = _thing(
        crate, spdx, type="CreativeWork", name=f"{cited['license']} License", url=spdx, description="See LICENSE."
    )
    rights = {"author": _one(authors), "license": licence}
    _describe_root(crate, profile, cited, runs, rights | {"publisher": authors[0]})
    workflow = _describe_workflow(crate, profile, runs, rights)
    _describe_actions(crate, profile, runs, workflow, authors[0])
    return crate.metadata.generate()


def _finished(profile: str) -> dict[str, dict[str, Any]]:
    """The `run.json` of every finished run by its key: first the runs of the grid in its order, then the others."""
    known = list(expand.grid(profile))
    there = paths.results_dir(profile).glob(f"[!.]*/[!.]*/{results.RECORD}")
    keys = [f"{path.parts[-3]}/{path.parts[-2]}" for path in there]
    keys = [key for key in keys if not key.startswith("records/") and results.is_done(profile, key)]
    keys.sort(key=lambda key: (known.index(key) if key in known else len(known), key))
    return {key: results.record(profile, key) for key in keys}


def _thing(crate: Any, identifier: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    properties["@type"] = properties.pop("type")
    return crate.add(ContextEntity(crate, identifier, properties=properties))


def _one(values: list) -> Any:
    """RO-Crate 1.1 asks for a single value without a list."""
    return values[0] if len(values) == 1 else values


def _author(cited: dict[str, Any]) -> dict[str, Any]:
    if "name" in cited:
        return {"type": "Organization", "name": cited["name"], "url": cited.get("website", f"#{cited['name']}")}
    words = [cited.get(part, "") for part in ("given-names", "name-particle", "family-names")]
    return {"type": "Person", "name": " ".join(word for word in words if word)}


def _file(name: str, n_bytes: int, sha256: str) -> dict[str, Any]:
    place = PurePosixPath(name)
    media_type = MEDIA_TYPES.get(place.suffix, "text/plain")
    found = {"name": place.name, "contentSize": str(n_bytes), "sha256": sha256, "encodingFormat": media_type}
    return found | ({"conformsTo": {"@id": CROISSANT}} if place.suffix == ".jsonld" else {})


def _describe_root(crate: Any, profile: str, cited: dict, runs: dict[str, dict], rights: dict) -> None:
    """Describe the crate as a whole."""
    root = crate.root_dataset
    described = {
        "name": f"{cited['title']} ({profiles.load(profile).title})",
        "description": (
            f"Profile '{profile}' with {len(runs)} finished runs: settings, executed notebooks, tables, figures, networks, "
            "code and the locked environment. It has the layout of the project: unzip it and `make book`, or "
            "`catscans import` it."
        ),
        "version": installed.version(recipe.PROJECT),
        "datePublished": max(_ended(record) for record in runs.values()),
        "keywords": "transfer learning, medical image classification, dataset similarity",
        "conformsTo": [
            _thing(crate, address, type="CreativeWork", name=name, version=address.rpartition("/")[2])
            for address, name in PROFILES.items()
        ],
        "citation": [
            _thing(
                crate, f"https://doi.org/{one['doi']}" if "doi" in one else one["url"], type="ScholarlyArticle",
                name=one["title"],
            )
            for one in cited["references"]
        ],
    }  # fmt: skip
    for name, value in (described | rights).items():
        root[name] = value
    crate.get("README.md")["about"] = root
    _thing(crate, CROISSANT, type="CreativeWork", name="Croissant", version="1.0")


def _describe_workflow(crate: Any, profile: str, runs: dict[str, dict], rights: dict) -> Any:
    """Make the Snakefile the workflow and the notebooks the tools of its steps."""
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    properties = {"@type": kinds, "name": "The sweep: every run of a profile, each after the runs it needs"}
    workflow = crate.add_workflow(
        dest_path="Snakefile", main=True, lang="snakemake", lang_version=installed.version("snakemake"),
        properties=crate.get("Snakefile").properties() | properties,
    )  # fmt: skip
    commits = sorted({record["code"]["commit"] for record in runs.values()} - {""})
    settings = _thing(
        crate, "#profile", type="FormalParameter", name="profile", additionalType="File", valueRequired=True,
        description="The grid of runs: params/<profile>.yaml", conformsTo={"@id": PARAMETER},
    )  # fmt: skip
    crate.get(f"params/{profile}.yaml")["exampleOfWork"] = settings
    lock = crate.get("requirements.lock")
    lock["conformsTo"] = _thing(crate, PIP, type="CreativeWork", name="pip's requirements file")
    version = ", ".join(commits) or installed.version(recipe.PROJECT)
    for name, value in (rights | {"version": version, "input": settings, "buildInstructions": lock}).items():
        workflow[name] = value
    for position, step in enumerate(dict.fromkeys(key.split("/")[0] for key in runs), 1):
        tool = crate.get(f"notebooks/{step}.ipynb")
        tool.properties()["@type"] = ["File", "SoftwareSourceCode"]
        tool["version"] = version
        workflow.append_to("hasPart", tool)
        how = _thing(crate, f"#step-{step}", type="HowToStep", name=step, position=str(position), workExample=tool)
        workflow.append_to("step", how)
    return workflow


def _describe_actions(crate: Any, profile: str, runs: dict[str, dict], workflow: Any, agent: Any) -> None:
    """Describe what each run read and made, and the sweep that they are parts of."""
    grid, place = expand.grid(profile), f"results/{profile}"
    files = [entity for entity in crate.get_by_type("File") if entity.id.startswith(f"{place}/")]
    folders = {key: crate.add_dataset(dest_path=f"{place}/{key}/", properties={"name": key}) for key in runs}
    settings, controls = crate.get(f"params/{profile}.yaml"), []
    for key, record in runs.items():
        step, folder = key.split("/")[0], folders[key]
        folder["description"] = f"What the run {record['run_id']} made."
        folder["hasPart"] = [one for one in files if one.id.startswith(f"{place}/{key}/")]
        needs = grid[key].needs if key in grid else ()
        action = _thing(
            crate, f"#{key}", type="CreateAction", name=record["run_id"], instrument=crate.get(f"notebooks/{step}.ipynb"),
            object=_one([settings, *(folders[need] for need in needs if need in folders)]), result=folder, agent=agent,
            description=f"notebooks/{step}.ipynb, executed with the parameters in {place}/{key}/{results.RECORD}.",
            **_when([record]),
        )  # fmt: skip
        how = crate.get(f"#step-{step}")
        controls.append(_thing(crate, f"#control-{key}", type="ControlAction", name=key, instrument=how, object=action))
    sweep = _thing(
        crate, "#sweep", type="CreateAction", name=f"The sweep of profile {profile}", instrument=workflow,
        object=settings, result=_one(list(folders.values())), agent=agent, **_when(runs.values()),
        description=f"All finished runs of params/{profile}.yaml, each after those it needs.",
    )  # fmt: skip
    engine = _thing(
        crate, "#snakemake", type="SoftwareApplication", name="Snakemake", url="https://snakemake.readthedocs.io",
        softwareVersion=installed.version("snakemake"),
    )  # fmt: skip
    _thing(
        crate, "#engine", type="OrganizeAction", name="Snakemake's run of the sweep", instrument=engine, agent=agent,
        object=_one(controls), result=sweep,
    )  # fmt: skip
    crate.root_dataset["mentions"] = [sweep, *(crate.get(f"#{key}") for key in runs)]


def _when(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    records = list(records)
    return {
        "startTime": min(record["started"] for record in records),
        "endTime": max(_ended(record) for record in records),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }


def _ended(record: dict[str, Any]) -> str:
    ended = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
    return ended.isoformat(timespec="seconds")
