"""Records as tables and as text: a list, one record in full, several in one table, the differences between two."""

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
import yaml
from tabulate import tabulate

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
    settings = [(name, _cut(x), _cut(y)) for name, (x, y) in found["settings"].items()]
    aucs = [
        [*list(row.values())[:3], *(_text(row[name]) for name in ("a", "b", "difference"))] for row in found["aucs"]
    ]
    parts = [_aligned(settings, ("setting", a, b)) if settings else "settings: the same"]
    heads = ("target", "mode", "source", f"AUC {a}", f"AUC {b}", "difference")
    parts.append(_aligned(aucs, heads, ["left"] * 3 + ["right"] * 3) if aucs else "AUCs: none yet in either")
    return "\n\n".join(parts)


def list_text(records: list[Record]) -> str:
    """Return one line per record."""
    found = pd.DataFrame([summary(record) for record in records])
    found["commit"] = found["commit"].str.replace(r"^(\w{12})\w*", r"\1", regex=True)
    align = ["right" if pd.api.types.is_numeric_dtype(column) else "left" for _, column in found.items()]
    return _aligned(found.map(_text).to_numpy().tolist(), list(found), align)


def record_text(record: Record) -> str:
    """Return everything a record says, except the metrics of every epoch."""
    head = summary(record) | {"files_in": paths.relative(record.folder)}
    sections = {name: part for name, part in _sections(record).items() if name not in ("code", "versions")}
    texts = {name: _aligned([(key, _text(value)) for key, value in part.items()]) for name, part in sections.items()}
    texts["files"] = "\n".join(path.name for path in record.artifacts)
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    texts["versions"] = textwrap.fill(versions, 108, break_on_hyphens=False)
    parts = [_aligned([(name, _text(value)) for name, value in head.items() if value])]
    parts += [f"{name}\n{textwrap.indent(text, '  ')}" for name, text in texts.items() if text]
    parts += [f"{name}\n{text.rstrip()}" for name, text in (("output", record.output), ("error", record.trace)) if text]
    return "\n\n".join(parts)


def differences_text(a: Record, b: Record) -> str:
    """Return `differences` as text; numbers also with their difference."""
    heads = zip(summary(a).items(), summary(b).values(), strict=True)
    parts = [_aligned([(name, _text(x), _text(y)) for (name, x), y in heads], ("", "a", "b"))]
    for section, pairs in differences(a, b).items():
        rows = [(name, _cut(x), _cut(y), _change(x, y)) for name, (x, y) in pairs.items()]
        parts.append(f"{section}\n{textwrap.indent(_aligned(rows), '  ')}" if rows else f"{section}: the same")
    return "\n\n".join(parts)


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


def _aligned(rows: list, heads: Sequence[str] = (), align: list[str] | None = None) -> str:
    return tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=align)


def _text(value: Any) -> str:
    if value is None or value != value:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def _cut(value: Any) -> str:
    text = MISSING if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _change(a: Any, b: Any) -> str:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return f"{b - a:+.4g}" if numbers else ""
