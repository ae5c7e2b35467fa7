"""How a folder and its copy on OSF differ, without changing either."""

from dataclasses import dataclass

from catscans_lib.sharing.osf import manifest, plan
from catscans_lib.sharing.osf.copies import Sides, looked_at
from catscans_lib.sharing.osf.place import Place


@dataclass(frozen=True)
class Status:
    """Paths that a push would send, a pull would fetch, that neither would, that are the same, that nobody has listed."""

    to_push: tuple[str, ...]
    to_pull: tuple[str, ...]
    conflicts: dict[str, str]
    same: tuple[str, ...]
    unlisted: tuple[str, ...]


def status(place: Place) -> Status:
    """Compare both sides with what they had in common last; a run packed on OSF is compared as a whole."""
    with looked_at(place) as sides:
        entries = sides.folder.entries(packed=sides.is_packed)
        push = plan.of_push(entries, sides.rows, sides.copy.files, sides.journal, force=False)
        pull = plan.of_pull(sides.rows, sides.folder, sides.copy.files, sides.journal, force=False)
        to_push = {entry.path for entry in push.move}
        to_pull = {entry.path for entry in pull.move} - to_push
        conflicts = {
            path: why for path, why in (pull.conflicts | push.conflicts).items() if path not in to_push | to_pull
        }
        same = {entry.path for entry in push.same} - set(conflicts)
        unlisted = set(sides.copy.files) - set(sides.rows) - set(entries) - {manifest.NAME}
        return Status(
            *(tuple(sorted(each)) for each in (to_push, to_pull)),
            conflicts,
            tuple(sorted(same)),
            tuple(sorted(unlisted)),
        )


def verify(place: Place) -> tuple[int, dict[str, str]]:
    """Check every file of the manifest here and on OSF by its checksum.

    Returns
    -------
    n_files : int
        Rows of the manifest.
    problems : dict of str to str
        What is wrong with a path; empty if nothing is.
    """
    with looked_at(place) as sides:
        found = {path: _problem(sides, row) for path, row in sides.rows.items()}
        return len(found), {path: problem for path, problem in sorted(found.items()) if problem}


def _problem(sides: Sides, row: manifest.Entry) -> str:
    here, there = sides.folder.state(row), sides.copy.files.get(row.path)
    on_osf = "not on OSF" if not there else "another one on OSF" if there.sha256 != row.sha256 else ""
    at_home = "not here" if not here else "another one here" if here != row.state else ""
    return ", ".join(filter(None, (on_osf, at_home)))
