"""The report on runs that failed: the error, the last lines of its traceback, and the notebook to open."""

import re
from contextlib import suppress
from pathlib import Path

import nbformat

from catscans_lib import paths
from catscans_lib.errors import and_more
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.sweep.selection import with_needs

ERROR = "error.txt"  # in the work folder of a run that failed
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MAX_LINES, MAX_REPORTS = 8, 20


def note(profile: str, key: str, message: str) -> None:
    """Save the message of a failed run next to its notebook, if there is space; it has been printed already."""
    with suppress(OSError):  # the disk is full, or the run has no work folder
        (paths.work_dir(profile, *key.split("/")) / ERROR).write_text(message, encoding="utf-8")


def summary(profile: str, runs: dict[str, PlannedRun], missing: list[str], since: float) -> str:
    """Return the report on runs that are not done: failed since `since` (seconds since 1970), not started, not finished."""
    failed = {key: text for key in missing if (text := report(profile, key, since))}
    waiting = [key for key in missing if key not in failed and set(failed) & set(with_needs(runs, [key]))]
    left = [key for key in missing if key not in failed and key not in waiting]
    blocks = [*failed.values()][:MAX_REPORTS]
    if others := list(failed)[MAX_REPORTS:]:
        blocks.append(f"Also failed: {and_more(others)}")
    if waiting:
        blocks.append(f"Not started because a run they need failed: {and_more(waiting)}")
    if left:
        logs = paths.notes_dir() / "slurm_logs"
        see = f". Output of their jobs: {paths.relative(logs)}" if logs.is_dir() else ""
        blocks.append(f"Not finished: {and_more(left)}{see}")
    return "\n".join(blocks)


def report(profile: str, key: str, since: float = 0) -> str:
    """Return the message and traceback of a run that has failed since `since`; "" if it has not."""
    if not has_failed(profile, key, since):
        return ""
    step, name = key.split("/")
    work = paths.work_dir(profile, step, name)
    first, *rest = (work / ERROR).read_text(encoding="utf-8").splitlines()
    return "\n".join([first, *(f"    {line}" for line in _traceback(work / f"{step}.ipynb")), *rest])


def has_failed(profile: str, key: str, since: float = 0) -> bool:
    """Return whether a run has failed since `since`."""
    path = paths.work_dir(profile, *key.split("/")) / ERROR
    return path.is_file() and path.stat().st_mtime >= since


def _traceback(notebook: Path) -> list[str]:
    """Return the last lines of the error that a notebook shows, without colours."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError):  # truncated by a kill, or never written
        return []
    errors = [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]
    lines = COLOUR.sub("", "\n".join(errors[0].traceback)).splitlines() if errors else []
    return [line.rstrip() for line in lines if line.strip()][-MAX_LINES:]
