"""Where each run came from, for its page, and its record as a file to download."""

import json
from typing import Any

from catscans_lib import paths
from catscans_lib.runs.records import reading

PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "scikit-learn", "numpy", "pandas", "h5py", "pillow")


def files(profile: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    """Return place in the book -> JSON, for every run that has a page.

    The JSON is the Sacred record, or the `run.json` of a run without one (imported results, a notebook run by hand).
    """
    records = {record.number: record for record in reading.load(profile)}
    staged = {}
    for step, of_step in runs.items():
        for run in filter(lambda run: run["page"], of_step):
            record = records.get(run.get("record"))
            content = {name: value for name, value in run.items() if name != "page"}
            if record and record.run_id == run["run_id"]:
                content = {name: value for name, value in record.as_dict().items() if name != "host"}
            staged[place(step, run["name"])] = json.dumps(content, indent=1).replace(f"{paths.root()}/", "").encode()
    return staged


def place(step: str, name: str) -> str:
    """Return the path of a run's record in the book."""
    return f"records/{step}/{name}.json"


def rows(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) pairs that say where a run came from, according to its `run.json`; unknown ones are omitted.

    >>> rows({"code": {"commit": "abc", "fingerprint": "12"}, "data": {"dtd": "34"}})
    [('commit', 'abc'), ('code fingerprint', '12'), ('data of dtd', '34')]
    """
    code, machine, versions = run.get("code", {}), run.get("machine", {}), run.get("versions", {})
    main_versions = [f"{name} {versions[name]}" for name in PACKAGES if name in versions]
    found = {
        "run id": run.get("run_id", ""),
        "commit": code.get("commit", ""),
        "code fingerprint": code.get("fingerprint", ""),
        **{f"data of {name}": checksum for name, checksum in run.get("data", {}).items()},
        "data written": run.get("data_written", ""),
        **{f"made from {key}": run_id for key, run_id in run.get("inputs", {}).items()},
        "machine": _machine(machine) if machine else "",
        "versions": f"{', '.join(main_versions)}; {len(versions)} packages in all" if main_versions else "",
    }
    return [(name, text) for name, text in found.items() if text]


def _machine(machine: dict[str, Any]) -> str:
    words = [machine.get("cpu"), f"{machine['cores']} cores", f"{machine['memory_gb']} GB", *machine.get("gpus", [])]
    return ", ".join(str(word) for word in (*words, machine.get("os")) if word)
