"""The description of a crate, ``ro-crate-metadata.json``: which run made what, out of what, with which notebook.

It follows the Provenance Run Crate 0.5 profile (and with it the Process and Workflow Run Crate profiles and the Workflow
RO-Crate): the Snakefile is the workflow, each notebook a tool, each finished run an action.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib import metadata as installed
from pathlib import PurePosixPath
from typing import Any

import yaml

from catscans_lib import paths, results
from catscans_lib.grid import expand
from catscans_lib.runs import recipe
from catscans_lib.sharing.crate.contents import Member

NAME = "ro-crate-metadata.json"
VERSION = "1.1"  # of RO-Crate, on which the profiles below rest
TERMS = {  # which that version's context lacks
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
    "buildInstructions": "https://codemeta.github.io/terms/buildInstructions",
}
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
CROISSANT = "http://mlcommons.org/croissant/1.0"
PIP = "https://pip.pypa.io/en/stable/reference/requirements-file-format/"
KINDS = {
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".css": "text/css", ".csv": "text/csv",
    ".h5": "application/x-hdf5", ".html": "text/html", ".ico": "image/x-icon", ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript", ".json": "application/json", ".jsonld": "application/ld+json", ".keras": "application/zip",
    ".lock": "text/plain", ".map": "application/json", ".md": "text/markdown", ".png": "image/png", ".py": "text/x-python",
    ".svg": "image/svg+xml", ".toml": "application/toml", ".txt": "text/plain", ".woff2": "font/woff2",
    ".yaml": "application/yaml", ".yml": "application/yaml",
}  # fmt: skip


def describe(profile: str, members: Iterable[Member]) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``.

    Parameters
    ----------
    members : iterable of Member
        All other files of the crate; each becomes an entity with its size and SHA-256.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    crate.metadata.extra_terms |= TERMS
    cited = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    runs = _finished(profile)
    authors = [_thing(crate, f"#author-{number}", **_author(one)) for number, one in enumerate(cited["authors"], 1)]
    licence = _licence(crate, cited["license"])
    for member in members:
        crate.add_file(dest_path=member.name, properties=_file(member))
    _root(crate, profile, cited, runs, authors, licence)
    workflow = _workflow(crate, profile, runs, authors, licence)
    _actions(crate, profile, runs, workflow, authors)
    return crate.metadata.generate()


def _finished(profile: str) -> dict[str, dict[str, Any]]:
    """Return the records of all finished runs by their keys, those of the grid first, in its order."""
    known = list(expand.grid(profile))
    folder = paths.results_dir(profile)
    there = {f"{path.parts[-3]}/{path.parts[-2]}" for path in folder.glob(f"[!.]*/[!.]*/{results.RECORD}")}
    keys = sorted(there, key=lambda key: (known.index(key) if key in known else len(known), key))
    keys = [key for key in keys if not key.startswith("records/") and results.is_done(profile, key)]
    return {key: results.record(profile, key) for key in keys}


def _thing(crate: Any, identifier: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    properties["@type"] = properties.pop("type")
    return crate.add(ContextEntity(crate, identifier, properties=properties))


def _one(values: list) -> Any:
    """A single value as itself, as RO-Crate 1.1 asks for."""
    return values[0] if len(values) == 1 else values


def _author(cited: dict[str, Any]) -> dict[str, Any]:
    if "name" in cited:
        return {"type": "Organization", "name": cited["name"], "url": cited.get("website", f"#{cited['name']}")}
    words = [cited.get(part, "") for part in ("given-names", "name-particle", "family-names")]
    return {"type": "Person", "name": " ".join(word for word in words if word)}


def _licence(crate: Any, spdx: str) -> Any:
    address = f"https://spdx.org/licenses/{spdx}"
    return _thing(crate, address, type="CreativeWork", name=f"{spdx} License", url=address, description="See LICENSE.")


def _file(member: Member) -> dict[str, Any]:
    n_bytes, sha256 = member.facts
    place = PurePosixPath(member.name)
    found: dict[str, Any] = {"name": place.name, "contentSize": str(n_bytes), "sha256": sha256}
    found["encodingFormat"] = KINDS.get(place.suffix, "text/plain")
    if place.suffix == ".jsonld":
        found["conformsTo"] = {"@id": CROISSANT}
    return found


def _root(crate: Any, profile: str, cited: dict, runs: dict[str, dict], authors: list, licence: Any) -> None:
    """Describe the crate as a whole."""
    root = crate.root_dataset
    profiles = [
        _thing(crate, address, type="CreativeWork", name=name, version=address.rpartition("/")[2])
        for address, name in PROFILES.items()
    ]
    root["name"] = f"{cited['title']} ({expand.load(profile).title})"
    root["description"] = (
        f"Profile '{profile}' with {len(runs)} finished runs: settings, executed notebooks, tables, figures, networks, code "
        "and the locked environment. It has the layout of the project: unzip it and `make book`, or `catscans import` it."
    )
    root["version"] = installed.version(recipe.PROJECT)
    root["datePublished"] = max(_ended(record) for record in runs.values())
    root["license"], root["conformsTo"] = licence, profiles
    root["author"], root["publisher"] = _one(authors), authors[0]
    root["keywords"] = "transfer learning, medical image classification, dataset similarity"
    root["citation"] = [
        _thing(crate, f"https://doi.org/{one['doi']}" if "doi" in one else one["url"], type="ScholarlyArticle", name=one["title"])
        for one in cited["references"]
    ]  # fmt: skip
    crate.get("README.md")["about"] = root
    _thing(crate, CROISSANT, type="CreativeWork", name="Croissant", version="1.0")


def _workflow(crate: Any, profile: str, runs: dict[str, dict], authors: list, licence: Any) -> Any:
    """Make the Snakefile the workflow, and the notebooks that ran its steps."""
    workflow = crate.add_workflow(
        dest_path="Snakefile", main=True, lang="snakemake", lang_version=installed.version("snakemake"),
        properties=crate.get("Snakefile").properties() | {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "The sweep: every run of a profile, each after the runs it needs",
        },
    )  # fmt: skip
    commits = sorted({record["code"]["commit"] for record in runs.values()} - {""})
    workflow["version"] = ", ".join(commits) or installed.version(recipe.PROJECT)
    workflow["author"], workflow["license"] = _one(authors), licence
    settings = _thing(
        crate, "#profile", type="FormalParameter", name="profile", additionalType="File", valueRequired=True,
        description="The grid of runs: params/<profile>.yaml",
        conformsTo={"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
    )  # fmt: skip
    workflow["input"] = settings
    crate.get(f"params/{profile}.yaml")["exampleOfWork"] = settings
    lock = crate.get("requirements.lock")
    lock["conformsTo"] = _thing(crate, PIP, type="CreativeWork", name="pip's requirements file")
    workflow["buildInstructions"] = lock
    for position, step in enumerate(dict.fromkeys(key.split("/")[0] for key in runs), 1):
        tool = crate.get(f"notebooks/{step}.ipynb")
        tool.properties()["@type"] = ["File", "SoftwareSourceCode"]
        tool["version"] = workflow["version"]
        workflow.append_to("hasPart", tool)
        workflow.append_to(
            "step", _thing(crate, f"#step-{step}", type="HowToStep", name=step, position=str(position), workExample=tool)
        )  # fmt: skip
    return workflow


def _actions(crate: Any, profile: str, runs: dict[str, dict], workflow: Any, authors: list) -> None:
    """Say of every run what it read and made, and of the sweep that it is made of them."""
    grid, place = expand.grid(profile), f"results/{profile}"
    files = [entity for entity in crate.get_by_type("File") if entity.id.startswith(f"{place}/")]
    folders = {key: crate.add_dataset(dest_path=f"{place}/{key}/", properties={"name": key}) for key in runs}
    settings, controls = crate.get(f"params/{profile}.yaml"), []
    for key, record in runs.items():
        step = key.split("/")[0]
        folder = folders[key]
        folder["description"] = f"What the run {record['run_id']} made."
        folder["hasPart"] = [one for one in files if one.id.startswith(f"{place}/{key}/")]
        needs = grid[key].needs if key in grid else ()
        action = _thing(
            crate, f"#{key}", type="CreateAction", name=record["run_id"], instrument=crate.get(f"notebooks/{step}.ipynb"),
            object=_one([settings, *(folders[need] for need in needs if need in folders)]), result=folder, agent=authors[0],
            description=f"notebooks/{step}.ipynb, executed with the parameters in {place}/{key}/{results.RECORD}.",
            **_when([record]),
        )  # fmt: skip
        controls.append(
            _thing(crate, f"#control-{key}", type="ControlAction", name=key, instrument=crate.get(f"#step-{step}"), object=action)
        )  # fmt: skip
    sweep = _thing(
        crate, "#sweep", type="CreateAction", name=f"The sweep of profile {profile}", instrument=workflow,
        object=settings, result=_one(list(folders.values())), agent=authors[0], **_when(runs.values()),
        description=f"All finished runs of params/{profile}.yaml, each after those it needs.",
    )  # fmt: skip
    engine = _thing(
        crate, "#snakemake", type="SoftwareApplication", name="Snakemake", url="https://snakemake.readthedocs.io",
        softwareVersion=installed.version("snakemake"),
    )  # fmt: skip
    _thing(
        crate, "#engine", type="OrganizeAction", name="Snakemake's run of the sweep", instrument=engine, object=_one(controls),
        result=sweep, agent=authors[0],
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
