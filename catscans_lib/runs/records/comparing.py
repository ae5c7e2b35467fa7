"""What a record says in numbers, and what differs between two of them."""

import json
from typing import Any

import pandas as pd

from catscans_lib import results
from catscans_lib.runs.records.reading import Record

SHOWN = ("number", "run", "status", "started", "seconds", "peak_memory_mb", "commit", "run_id")
SECTIONS = ("parameters", "code", "data", "inputs", "versions", "machine", "results")
NO_RESULT = (  # they say what it was and how it went, not what came out
    "run", "run_id", "record", "started", "seconds", "peak_memory_mb", "recipe", "step", "name", "status", "commit",
    "data_written",
)  # fmt: skip


def row(record: Record) -> dict[str, Any]:
    """Return a record as one row: what it is, how it went, its results and its parameters (`result.…`, `parameter.…`)."""
    known = {
        "number": record.number,
        "run": record.key,
        "status": record.status,
        "started": record.started.isoformat(timespec="seconds"),
        "seconds": record.seconds,
        "peak_memory_mb": record.info.get("peak_memory_mb"),
        **{f"energy_{part}_j": joules for part, joules in record.info.get("energy_j", {}).items()},
        "commit": record.commit,
        "run_id": record.run_id,
    }
    outcome = {f"result.{name}": value for name, value in results_of(record).items()}
    return known | outcome | {f"parameter.{name}": value for name, value in flat(record.config).items()}


def table(records: list[Record]) -> pd.DataFrame:
    """Return records as a table, a row each; columns as `row` names them, empty where a run has none."""
    found = pd.DataFrame([row(record) for record in records])
    order = [column for kind in ("", "result.", "parameter.") for column in found if _kind(column) == kind]
    return found[order]


def results_of(record: Record) -> dict[str, float | str]:
    """Return what came out of a run.

    Returns
    -------
    dict
        The facts its notebook noted; of a transfer the AUC of every mode, of a pretraining the metrics of the last epoch:
        means over folds and seeds.
    """
    facts = {
        name: value
        for name, value in record.info.items()
        if isinstance(value, int | float | str) and name not in NO_RESULT
    }
    return facts | (_aucs(record) or _last_epoch(record))


def diff(a: Record, b: Record) -> dict[str, dict[str, list[Any]]]:
    """Return what differs between two records.

    Returns
    -------
    dict
        Section (parameters, code, data, inputs, versions, machine, results) to name to the two values; None where one has
        none. A section in which nothing differs is empty.
    """
    found = {}
    for section, (left, right) in zip(SECTIONS, zip(_sections(a), _sections(b), strict=True), strict=True):
        names = dict.fromkeys([*left, *right])
        pairs = {name: [left.get(name), right.get(name)] for name in names}
        found[section] = {name: pair for name, pair in pairs.items() if not _same(*pair)}
    return found


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names; lists stay whole, as text.

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


def _sections(record: Record) -> list[dict[str, Any]]:
    info, code = record.info, record.info.get("code", {})
    texts = {name: place.rpartition("_")[2].partition(".")[0][:12] for name, place in record.sources.items()}
    told = {"commit": record.commit, "fingerprint": code.get("fingerprint"), **texts}
    machine = flat(info.get("machine", {}))
    return [
        flat(record.config), told, record.data, info.get("inputs", {}), record.versions, machine, results_of(record),
    ]  # fmt: skip


def _aucs(record: Record) -> dict[str, float]:
    path = record.folder / "predictions.csv"
    if not record.key.startswith("transfer/") or not path.is_file():
        return {}
    from catscans_lib.evaluation import tables

    one = results.read_table(path).assign(source="", target="")
    found = tables.aucs(one, {("", ""): record.run_id})
    return {f"auc.{mode}": float(part["auc"].mean()) for mode, part in found.groupby("mode", sort=False)}


def _last_epoch(record: Record) -> dict[str, float]:
    metrics = record.metrics()
    if metrics.empty:
        return {}
    last = metrics.sort_values("step", kind="stable").groupby("metric")["value"].last()
    names = [".".join(name.split(".")[3:]) for name in last.index]
    return {name: float(value) for name, value in last.groupby(names).mean().items()}


def _same(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)  # no number is like no number


def _kind(column: str) -> str:
    return next((kind for kind in ("result.", "parameter.") if column.startswith(kind)), "")
