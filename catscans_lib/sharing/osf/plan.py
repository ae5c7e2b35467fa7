"""What a push, a pull or a look would do: both sides compared with what they had in common last."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from catscans_lib.errors import InputError
from catscans_lib.sharing.osf.journal import Journal
from catscans_lib.sharing.osf.local import Folder, by_unit
from catscans_lib.sharing.osf.manifest import Entry
from catscans_lib.sharing.osf.remote import Remote

N_SHOWN = 10


@dataclass
class Plan:
    """Files to move, files that are the same already, and those left alone because both sides have changed them.

    Attributes
    ----------
    move : list of Entry
    same : list of Entry
    conflicts : dict of str to str
        Why, by path. A run is moved as a whole or not at all: where one of its files is here, none of them is in `move`.
    """

    move: list[Entry] = field(default_factory=list)
    same: list[Entry] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(entry.n_bytes for entry in self.move)


def of_push(
    entries: dict[str, Entry], manifest: dict[str, Entry], there: dict[str, Remote], journal: Journal, force: bool
) -> Plan:
    """Return what to send: what OSF has not, or has as this machine has sent or seen it last."""

    def conflict(entry: Entry) -> str:
        remote = there.get(entry.path)
        is_free = force or not remote or journal.is_ours(entry.path, remote.sha256)
        return (
            ""
            if is_free
            else "changed on OSF by somebody else"
            if journal.of(entry.path).there
            else "another one is on OSF"
        )

    return _plan(entries, lambda entry: _is_there(entry, manifest, there), conflict)


def _is_there(entry: Entry, manifest: dict[str, Entry], there: dict[str, Remote]) -> bool:
    """Whether OSF has these results; a zip is known by what its row says is inside."""
    sha256 = there[entry.path].sha256 if entry.path in there else ""
    row = manifest.get(entry.path)
    if entry.contents:
        return bool(row) and row.contents == entry.contents and row.sha256 == sha256
    return sha256 == entry.sha256


def of_pull(
    manifest: dict[str, Entry], folder: Folder, there: dict[str, Remote], journal: Journal, force: bool
) -> Plan:
    """Return what to fetch: what is not here, or is here as it was sent or fetched last."""

    def conflict(entry: Entry) -> str:
        here = folder.state(entry)
        if entry.path not in there:
            return "in the manifest, but not on OSF"
        if there[entry.path].sha256 != entry.sha256:
            return "changed on OSF after its manifest was written; whoever pushed it should push again"
        is_free = force or not here or here == journal.of(entry.path).here
        return (
            ""
            if is_free
            else "changed here since the last pull"
            if journal.of(entry.path).here
            else "another one is here"
        )

    return _plan(manifest, lambda entry: folder.state(entry) == entry.state, conflict)


def _plan(entries: dict[str, Entry], is_same: Callable[[Entry], bool], conflict: Callable[[Entry], str]) -> Plan:
    plan = Plan()
    for unit in by_unit(entries).values():
        differ = [entry for entry in unit if not is_same(entry)]
        why = {entry.path: reason for entry in differ if (reason := conflict(entry))}
        plan.same += [entry for entry in unit if entry not in differ]
        plan.conflicts |= why
        plan.move += differ if not why else []
    return plan


def listed(paths: Iterable[str]) -> str:
    """Return paths as they are printed, the first few of many."""
    paths = sorted(paths)
    return ", ".join(paths[:N_SHOWN]) + (f" and {len(paths) - N_SHOWN} more" if len(paths) > N_SHOWN else "")


def raise_conflicts(plan: Plan, what: str, instead: str) -> None:
    """Raise the error that names what was left alone; nothing if there is nothing."""
    reasons = {
        reason: [path for path, why in plan.conflicts.items() if why == reason] for reason in plan.conflicts.values()
    }
    if reasons:
        said = "; ".join(f"{reason}: {listed(paths)}" for reason, paths in reasons.items())
        raise InputError(f"Not {what}, nor anything else of the same runs: {said}. {instead}")
