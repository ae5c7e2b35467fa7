"""Records as text: aligned columns, one thing a line."""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from catscans_lib import paths
from catscans_lib.runs.records import comparing
from catscans_lib.runs.records.reading import Record

N_HEX = 12  # digits of a commit or of a fingerprint that tell it apart
LONG_VALUE = 60


def listing(records: list[Record]) -> str:
    """Return one line per record."""
    rows = [
        (r.number, r.key, r.status, f"{r.started:%Y-%m-%d %H:%M}", f"{r.seconds:.1f} s", _short(r.commit), r.run_id)
        for r in records
    ]
    return columns([("number", "run", "status", "started (UTC)", "time", "commit", "run id"), *rows], right=(0, 4))


def table(found: pd.DataFrame) -> str:
    """Return the columns one looks at first: what it is, how it went, and the results that are numbers."""
    heads = ["number", "run", "status", "started (UTC)", "time", "memory", *(_head(name) for name in _looked_at(found))]
    rows = [
        (
            row["number"], row["run"], row["status"], row["started"][:16].replace("T", " "), f"{row['seconds']:.1f} s",
            f"{row['peak_memory_mb']:.0f} MB" if row["peak_memory_mb"] == row["peak_memory_mb"] else "–",
            *(_text(row[name]) for name in _looked_at(found)),
        )
        for row in found.to_dict("records")
    ]  # fmt: skip
    return columns([heads, *rows], right=(0, *range(4, len(heads))))


def _looked_at(found: pd.DataFrame) -> list[str]:
    return [name for name in found if name.startswith(("result.auc.", "result.validation.", "energy_"))]


def _head(name: str) -> str:
    return name.removeprefix("result.")


def page(record: Record) -> str:
    """Return everything a record says, except the metrics of every epoch."""
    info, host = record.info, record.entry.get("host", {})
    head = {
        "record": record.number, "run": record.key, "status": record.status, "run id": record.run_id,
        "started": f"{record.started:%Y-%m-%d %H:%M:%S} UTC", "time": f"{record.seconds:.1f} s",
        "peak memory": f"{info['peak_memory_mb']:.0f} MB" if "peak_memory_mb" in info else "",
        "energy": energy(info.get("energy_j", {})), "commit": record.commit, "files in": paths.relative(record.folder),
    }  # fmt: skip
    parts = [columns([(name, value) for name, value in head.items() if value])]
    machine = info.get("machine") or {"cpu": host.get("cpu"), "os": (host.get("os") or [""])[-1]}
    sections = {
        "parameters": comparing.flat(record.config), "data": record.data, "made from": info.get("inputs", {}),
        "results": comparing.results_of(record), "machine": comparing.flat(machine),
    }  # fmt: skip
    parts += [_section(name, values) for name, values in sections.items() if values]
    parts.append("files\n" + columns([("", path.name) for path in record.artifacts]) if record.artifacts else "")
    parts.append("versions\n" + _paragraph(f"{name} {version}" for name, version in record.versions.items()))
    parts += [f"{name}\n{text.rstrip()}" for name, text in (("output", record.output), ("error", record.trace)) if text]
    return "\n\n".join(part for part in parts if part)


def diff(a: Record, b: Record) -> str:
    """Return what differs between two records, section by section; numbers with their difference."""
    parts = [columns([("", "a", "b"), *((name, x, y) for name, x, y in _heads(a, b))])]
    for section, pairs in comparing.diff(a, b).items():
        if not pairs:
            parts.append(f"{section}: the same")
            continue
        rows = [(f"  {name}", _cut(x), _cut(y), _change(x, y)) for name, (x, y) in pairs.items()]
        parts.append(f"{section}\n" + columns(rows))
    return "\n\n".join(parts)


def energy(joules: dict[str, float]) -> str:
    """Return an energy as people read it; nothing where it was not measured.

    >>> energy({"cpu": 7200.0, "gpu": 3600.0})
    'cpu 2.00 Wh, gpu 1.00 Wh (whole machine)'
    """
    parts = ", ".join(f"{name} {value / 3600:.2f} Wh" for name, value in joules.items())
    return f"{parts} (whole machine)" if parts else ""


def columns(rows: Iterable[Iterable[Any]], right: tuple[int, ...] = ()) -> str:
    """Return rows as aligned text; columns in `right` end together."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    lines = []
    for row in texts:
        cells = [
            text.rjust(width) if i in right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _heads(a: Record, b: Record) -> Iterable[tuple[str, str, str]]:
    for name in ("number", "key", "status", "run_id"):
        yield name.replace("_", " "), getattr(a, name), getattr(b, name)
    yield "started", *(f"{record.started:%Y-%m-%d %H:%M:%S}" for record in (a, b))
    yield "time", f"{a.seconds:.1f} s", f"{b.seconds:.1f} s"


def _section(name: str, values: dict[str, Any]) -> str:
    return f"{name}\n" + columns([(f"  {key}", _text(value)) for key, value in values.items()])


def _paragraph(words: Iterable[str], width: int = 110) -> str:
    import textwrap

    return textwrap.fill(", ".join(words), width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _short(commit: str) -> str:
    head, plus, _ = commit.partition("+")
    return head[:N_HEX] + plus


def _text(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def _cut(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else "–" if value is None else str(value)
    return text if len(text) <= LONG_VALUE else text[: LONG_VALUE - 1] + "…"


def _change(a: Any, b: Any) -> str:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return f"{b - a:+.4g}" if numbers else ""


def as_json(value: Any) -> str:
    """Return plain values as JSON for people and programs."""
    return json.dumps(value, indent=2, default=str)
