"""Records as one table, and the differences between two of them or between two profiles."""

import json
from typing import Any

import pandas as pd

from catscans_lib import paths, results
from catscans_lib.errors import read_yaml
from catscans_lib.runs.records import reading

Sections = dict[str, dict[str, list[Any]]]  # section -> name -> the two values; a section without differences is empty
MISSING = "–"


def table(profile: str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per record: its summary, then columns `result.…` and `parameter.…`, empty where a run has none."""
    rows = [
        {name: record[name] for name in reading.SUMMARY}
        | {f"result.{name}": value for name, value in reading.results(profile, record).items()}
        | {f"parameter.{name}": value for name, value in flat(record["config"]).items()}
        for record in records
    ]
    return pd.DataFrame(rows)


def differences(profile: str, a: dict[str, Any], b: dict[str, Any]) -> Sections:
    """Return what differs in parameters, code, data, inputs, versions, keras, machine and results; None: no value."""
    left, right = _sections(profile, a), _sections(profile, b)
    return {section: _differing(left[section], right[section]) for section in left}


def _differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, list[Any]]:
    pairs = {name: [left.get(name), right.get(name)] for name in left | right}
    return {name: [x, y] for name, (x, y) in pairs.items() if x != y and (x == x or y == y)}  # NaN equals NaN


def compared_profiles(a: str, b: str) -> dict[str, Any]:
    """Return the settings that differ between two profiles, and their mean AUCs by target, mode and source, with b minus a."""
    grids = [flat(read_yaml(paths.params_path(name), name)) for name in (a, b)]
    columns = ["target", "mode", "source"]
    tables = [results.optional(name, "tables/aucs.csv", [*columns, "auc"]) for name in (a, b)]
    means = [table.groupby(columns, sort=False)["auc"].mean() for table in tables]
    aucs = pd.concat(means, axis="columns", keys=["a", "b"]).astype(float)
    aucs = aucs.assign(difference=aucs["b"] - aucs["a"]).reset_index().sort_values(columns, kind="stable")
    settings = _differing(*grids)
    settings.pop("title", None)
    return {"settings": settings, "aucs": aucs.astype(object).where(aucs.notna(), None).to_dict("records")}


def changes(sections: Sections) -> str:
    """Return a line for each value that differs."""
    lines = []
    for section, pairs in sections.items():
        lines += [f"{section}: {name}: {_cut(x)} -> {_cut(y)}" for name, (x, y) in pairs.items()]
        lines += [] if pairs else [f"{section}: the same"]
    return "\n".join(lines)


def aligned(rows: list[dict[str, Any]], heads: dict[str, str] | None = None) -> str:
    """Return rows as a table of text; `heads` are other names of columns."""
    table = pd.DataFrame(rows).rename(columns=heads or {})
    return table.to_string(index=False, na_rep=MISSING, float_format="{:.4g}".format, max_colwidth=60)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names; a list becomes text.

    >>> flat({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': 1, 'c': '[1, 2]'}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return found


def _sections(profile: str, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    info, host = record["info"], record["host"]
    checksums = {name: place.rpartition("_")[2].partition(".")[0][:12] for name, place in record["sources"].items()}
    code = {"commit": record["commit"], "fingerprint": info.get("code", {}).get("fingerprint")}
    written = {"written": info["data_written"]} if "data_written" in info else {}
    of_killed = {"cpu": host.get("cpu"), "os": (host.get("os") or [""])[-1]}
    return {
        "parameters": flat(record["config"]),
        "code": code | checksums,
        "data": info.get("data", {}) | written,
        "inputs": info.get("inputs", {}),
        "versions": record["versions"],
        "keras": info.get("keras", {}),
        "machine": flat(info.get("machine") or of_killed),
        "results": reading.results(profile, record),
    }


def _cut(value: Any) -> str:
    text = MISSING if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
