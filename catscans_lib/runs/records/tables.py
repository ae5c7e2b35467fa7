"""Records as tables and as text: a list, one record in full, several in one table, the differences between two."""

from typing import Any

import pandas as pd
import yaml

from catscans_lib import paths, results
from catscans_lib.runs.records.reading import Record, flat

MISSING = "–"


def summary(record: Record) -> dict[str, Any]:
    """Return what a record is and how its run went."""
    found = record.as_dict() | {"peak_memory_mb": record.info.get("peak_memory_mb"), "commit": record.commit}
    names = ("number", "run", "status", "started", "seconds", "peak_memory_mb", "commit", "run_id")
    return {name: found[name] for name in names}


def table(records: list[Record]) -> pd.DataFrame:
    """Return one row per record: its summary, then columns `result.…` and `parameter.…`, empty where a run has none."""
    parts = (
        pd.DataFrame([summary(record) for record in records]),
        pd.DataFrame([record.results for record in records]).add_prefix("result."),
        pd.DataFrame([flat(record.config) for record in records]).add_prefix("parameter."),
    )
    return pd.concat(parts, axis="columns")


def differences(a: Record, b: Record) -> dict[str, dict[str, list[Any]]]:
    """Return section -> name -> the two values, for values that differ; None where a record has no value.

    Sections are parameters, code, data, inputs, versions, keras, machine and results; a section without differences is empty.
    """
    left, right = _sections(a), _sections(b)
    return {section: _differing(left[section], right[section]) for section in left}


def _differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, list[Any]]:
    pairs = {name: [left.get(name), right.get(name)] for name in left | right}
    return {name: [x, y] for name, (x, y) in pairs.items() if x != y and (x == x or y == y)}  # NaN equals NaN


def compared_profiles(a: str, b: str) -> dict[str, Any]:
    """Return the settings that differ between two profiles (name -> the two values), and their AUCs side by side.

    `aucs` has a row per target, mode and source: the means over folds and seeds, and b minus a; None where a profile has none.
    """
    grids = [flat(yaml.safe_load(paths.params_path(name).read_text(encoding="utf-8"))) for name in (a, b)]
    columns = ["target", "mode", "source"]
    tables = [results.optional(name, "tables/aucs.csv", [*columns, "auc"]) for name in (a, b)]
    means = [table.groupby(columns, sort=False)["auc"].mean() for table in tables]
    aucs = pd.concat(means, axis="columns", keys=["a", "b"]).astype(float)
    aucs = aucs.assign(difference=aucs["b"] - aucs["a"]).reset_index().sort_values(columns, kind="stable")
    settings = _differing(*grids)
    settings.pop("title", None)
    return {"settings": settings, "aucs": aucs.astype(object).where(aucs.notna(), None).to_dict("records")}


def compared_profiles_text(a: str, b: str) -> str:
    """Return `compared_profiles` as text."""
    found = compared_profiles(a, b)
    heads = {"a": f"AUC {a}", "b": f"AUC {b}"}
    aucs = _aligned(found["aucs"], heads) if found["aucs"] else "AUCs: none yet in either"
    return "\n\n".join([_changes({"settings": found["settings"]}), aucs])


def list_text(records: list[Record]) -> str:
    """Return one line per record."""
    rows = [summary(record) | {"commit": record.commit[:12] + record.commit[40:]} for record in records]
    return _aligned(rows)


def record_text(record: Record) -> str:
    """Return everything a record says, except the metrics of every epoch, as YAML; then the printed output and the error."""
    head = {"files_in": paths.relative(record.folder)} | record.as_dict() | {"results": record.results}
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    shown = {name: value for name, value in head.items() if name not in ("info", "sources", "error")}
    text = yaml.safe_dump(shown | {"versions": versions, "info": record.info}, sort_keys=False, width=120)
    parts = [(name, part.rstrip()) for name, part in (("output", record.output), ("error", record.trace)) if part]
    return "\n".join([text.rstrip(), *(f"\n{name}\n{part}" for name, part in parts)])


def differences_text(a: Record, b: Record) -> str:
    """Return a table of what both records are, and a line for each value that differs."""
    return "\n\n".join([_aligned([summary(a), summary(b)]), _changes(differences(a, b))])


def _changes(sections: dict[str, dict[str, list[Any]]]) -> str:
    lines = []
    for section, pairs in sections.items():
        lines += [f"{section}: {name}: {_cut(x)} -> {_cut(y)}" for name, (x, y) in pairs.items()]
        lines += [] if pairs else [f"{section}: the same"]
    return "\n".join(lines)


def _sections(record: Record) -> dict[str, dict[str, Any]]:
    checksums = {name: place.rpartition("_")[2].partition(".")[0][:12] for name, place in record.sources.items()}
    code = {"commit": record.commit, "fingerprint": record.info.get("code", {}).get("fingerprint")}
    host = record.entry.get("host", {})  # of a run that was killed
    machine = record.info.get("machine") or {"cpu": host.get("cpu"), "os": (host.get("os") or [""])[-1]}
    return {
        "parameters": flat(record.config),
        "code": code | checksums,
        "data": record.data,
        "inputs": record.info.get("inputs", {}),
        "versions": record.versions,
        "keras": record.info.get("keras", {}),
        "machine": flat(machine),
        "results": record.results,
    }


def _aligned(rows: list[dict[str, Any]], heads: dict[str, str] | None = None) -> str:
    table = pd.DataFrame(rows).rename(columns=heads or {})
    return table.to_string(index=False, na_rep=MISSING, float_format="{:.4g}".format, max_colwidth=60)


def _cut(value: Any) -> str:
    text = MISSING if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
