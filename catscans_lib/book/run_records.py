"""What the page of a run says of where it came from, and the record behind it as a file to download."""

import json
from typing import Any

from catscans_lib import paths
from catscans_lib.runs.records import printing, reading

PACKAGES = (
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "scikit-learn",
    "numpy",
    "pandas",
    "h5py",
    "pillow",
)  # all are in the file


def files(profile: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    """Return the record of every run that has a page, as JSON, by its place in the book.

    It is that of Sacred; where a run came without it (results from elsewhere, a notebook run by hand), its `run.json`.
    """
    found = {record.number: record for record in reading.load(profile)}
    staged = {}
    for step, of_step in runs.items():
        for run in filter(lambda run: run["page"], of_step):
            record = found.get(run.get("record"))
            plain = {name: value for name, value in run.items() if name != "page"}
            if record and record.run_id == run["run_id"]:
                plain = {name: value for name, value in reading.content(record).items() if name != "host"}
            staged[place(step, run["name"])] = json.dumps(plain, indent=1).replace(f"{paths.root()}/", "").encode()
    return staged


def place(step: str, name: str) -> str:
    """Return where the record of a run lies in the book."""
    return f"records/{step}/{name}.json"


def rows(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and text of what a run came from, as far as its `run.json` knows.

    >>> rows({"code": {"commit": "abc", "fingerprint": "12"}, "data": {"dtd": "34"}})
    [('commit', 'abc'), ('code fingerprint', '12'), ('data of dtd', '34')]
    """
    code, machine, versions = run.get("code", {}), run.get("machine", {}), run.get("versions", {})
    kept = [f"{name} {versions[name]}" for name in PACKAGES if name in versions]
    found = {
        "run id": run.get("run_id", ""),
        "commit": code.get("commit", ""),
        "code fingerprint": code.get("fingerprint", ""),
        **{f"data of {name}": fingerprint for name, fingerprint in run.get("data", {}).items()},
        "data written": run.get("data_written", ""),
        **{f"made from {key}": run_id for key, run_id in run.get("inputs", {}).items()},
        "machine": _machine(machine) if machine else "",
        "energy": printing.energy(run.get("energy_j", {})),
        "versions": f"{', '.join(kept)}; {len(versions)} packages in all" if kept else "",
    }
    return [(name, text) for name, text in found.items() if text]


def _machine(machine: dict[str, Any]) -> str:
    words = [machine.get("cpu"), f"{machine['cores']} cores", f"{machine['memory_gb']} GB", *machine.get("gpus", [])]
    return ", ".join(str(word) for word in (*words, machine.get("os")) if word)
