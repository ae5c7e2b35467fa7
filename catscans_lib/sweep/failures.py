"""What is told at the end of a sweep of every run that failed: its error, the last lines of its traceback, what to open."""

import re
from pathlib import Path

import nbformat

from catscans_lib import paths
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.sweep import fold_jobs
from catscans_lib.sweep.selection import with_needs

ERROR = "error.txt"  # in the work folder of a run that failed
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
N_LINES = 8
N_NAMED = 50


def note(profile: str, key: str, message: str) -> None:
    """Keep why a run failed beside its notebook, where there is room."""
    work = paths.work_dir(profile, *key.split("/"))
    if work.is_dir():
        try:
            (work / ERROR).write_text(message, encoding="utf-8")
        except OSError:  # the disk is full, which the message says; it has been printed
            return


def summary(profile: str, runs: dict[str, PlannedRun], missing: list[str], since: float) -> str:
    """Return the report on runs that are not done: those that failed since then (s since 1970), and what became of the others."""
    failed = {key: told for key in missing if (told := report(profile, key, since))}
    waiting = [key for key in missing if key not in failed and set(failed) & set(with_needs(runs, [key]))]
    left = [key for key in missing if key not in failed and key not in waiting]
    blocks = [*failed.values()]
    blocks += [f"Not started, for want of these: {named(waiting)}"] if waiting else []
    blocks += [f"Not finished: {named(left)}{_logs()}"] if left else []
    return "\n".join(blocks)


def named(keys: list[str]) -> str:
    """Return the names of runs as one reads them: of very many only the first."""
    return ", ".join(keys[:N_NAMED]) + (f" and {len(keys) - N_NAMED} more" if len(keys) > N_NAMED else "")


def _logs() -> str:
    """Where jobs have written that ended before their run could."""
    folder = paths.notes_dir() / "slurm_logs"
    return f". What their jobs said is in {paths.relative(folder)}." if folder.is_dir() else ""


def report(profile: str, key: str, since: float = 0) -> str:
    """Return what a run that failed has left to say; "" where it left nothing."""
    step, name = key.split("/")
    work = paths.work_dir(profile, step, name)
    found = [
        path
        for path in [work / ERROR, *fold_jobs.errors(profile, key)]
        if path.is_file() and path.stat().st_mtime >= since
    ]
    if not found:
        return ""
    said = found[0].read_text(encoding="utf-8").splitlines()
    lines = _traceback(work / f"{step}.ipynb") if found[0].name == ERROR else []
    return "\n".join([said[0], *(f"    {line}" for line in lines), *said[1:]])


def _traceback(notebook: Path) -> list[str]:
    """The last lines of the error that a notebook shows."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError):  # cut off by a kill, or never written
        return []
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return tail("\n".join(output.traceback))
    return []


def tail(text: str) -> list[str]:
    """Return the last lines of a traceback, without its colours."""
    return [line.rstrip() for line in COLOUR.sub("", text).splitlines() if line.strip()][-N_LINES:]
