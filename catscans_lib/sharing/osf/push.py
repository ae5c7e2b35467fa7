"""Results to OSF: only what it has not, each run as a whole, and at the end the manifest that says what is there."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from catscans_lib.errors import InputError
from catscans_lib.sharing.osf import manifest, plan
from catscans_lib.sharing.osf.copies import Sides, looked_at, read_manifest
from catscans_lib.sharing.osf.journal import staging_dir
from catscans_lib.sharing.osf.local import sha256
from catscans_lib.sharing.osf.manifest import Entry
from catscans_lib.sharing.osf.place import Place
from catscans_lib.sharing.osf.progress import Bar
from catscans_lib.sharing.osf.uploads import Conflict, Upload

N_MERGES = 3  # tries to write a manifest that others are writing, too
AFTERWARDS = "Pull first; or, to put yours over it (OSF keeps the former version), push again with --force."


def push(place: Place, *, packed: bool | None = None, force: bool = False, dry_run: bool = False) -> plan.Plan:
    """Bring a folder's results to OSF.

    Parameters
    ----------
    place : Place
    packed : bool, optional
        Whether each run is sent as one zip; None: as the copy has them, plain files where there is none yet.
    force : bool
        Whether to put files over those that somebody else has changed on OSF.
    dry_run : bool
        Whether only to say what would be done.

    Returns
    -------
    plan.Plan
        What was sent, or would be.

    Raises
    ------
    InputError
        If OSF says no or cannot be reached, or if files were left alone because of what is on OSF; the others are there.
    """
    with looked_at(place) as sides:
        entries = sides.folder.entries(packed=sides.is_packed if packed is None else packed)
        if not entries:
            raise InputError(f"No results in '{place.root}'. Give a folder such as results/demo.")
        todo = plan.of_push(entries, sides.rows, sides.copy.files, sides.journal, force)
        if not dry_run:
            _Push(place, sides, entries, force).do(todo)
            plan.raise_conflicts(todo, "sent", AFTERWARDS)
        return todo


@dataclass
class _Push:
    place: Place
    sides: Sides
    entries: dict[str, Entry]
    force: bool
    sent: dict[str, Entry] = field(default_factory=dict)

    def do(self, todo: plan.Plan) -> None:
        """Send the files, then the manifest; what somebody has changed meanwhile joins the plan's conflicts."""
        for entry in todo.same:
            there = self.sides.copy.files[entry.path]
            self.sent[entry.path] = replace(entry, sha256=there.sha256, n_bytes=there.n_bytes)
            self.sides.journal.same(entry.path, there.sha256, entry.state)
        with Bar("push", todo.n_bytes) as bar:
            do = partial(bar.side_by_side, n_jobs=self.place.n_jobs)
            self.sides.copy.make_folders([entry.path for entry in todo.move] or [manifest.NAME], do)
            do([partial(self._send, entry, todo, bar) for entry in todo.move])
            self._send_manifest(todo, bar)

    def _send(self, entry: Entry, todo: plan.Plan, bar: Bar) -> None:
        try:
            if entry.contents:
                entry = self._send_packed(entry, bar)
            else:
                self._upload(entry.path, self.place.root / entry.path, entry.sha256, bar)
        except Conflict:
            todo.conflicts[entry.path] = "changed on OSF meanwhile"
            return
        self.sent[entry.path] = entry
        self.sides.journal.same(entry.path, entry.sha256, entry.state)

    def _send_packed(self, entry: Entry, bar: Bar) -> Entry:
        """Pack a run, send the zip, remove it; return its row with checksum and size."""
        place = staging_dir(self.place.root) / entry.path
        self.sides.folder.pack(entry.place, place)
        n_bytes = place.stat().st_size
        bar.expect(n_bytes - entry.n_bytes)
        entry = replace(entry, sha256=sha256(place), n_bytes=n_bytes)
        self._upload(entry.path, place, entry.sha256, bar)
        place.unlink()
        return entry

    def _upload(self, path: str, source: Path, checksum: str, bar: Bar, *, force: bool | None = None) -> None:
        force = self.force if force is None else force
        Upload(self.sides.copy, self.sides.journal, path, source, checksum, bar).send(force=force)

    def _send_manifest(self, todo: plan.Plan, bar: Bar) -> None:
        """Write what is there; rows that somebody else has written meanwhile are taken in first."""
        copy, place = self.sides.copy, staging_dir(self.place.root) / manifest.NAME
        place.parent.mkdir(parents=True, exist_ok=True)
        gone = set(self.sides.rows) - set(copy.files)
        for _ in range(N_MERGES):
            text = manifest.write(self._rows(todo, gone))
            place.write_bytes(text)
            try:
                return self._upload(manifest.NAME, place, hashlib.sha256(text).hexdigest(), bar, force=False)
            except Conflict:
                if there := copy.look_up(manifest.NAME):
                    copy.files[manifest.NAME] = there
                    self.sides.rows = read_manifest(copy, self.sides.journal)
        raise InputError(
            f"Others are pushing to '{copy.node}', too. All files are there: push again to have them listed."
        )

    def _rows(self, todo: plan.Plan, gone: set[str]) -> list[Entry]:
        """Rows of what is there from here, and of what others have put there; a run's rows are all from one of them."""
        left_alone = {self.entries[path].unit for path in todo.conflicts}
        ours = {entry.unit for entry in self.entries.values()} - left_alone
        others = [row for row in self.sides.rows.values() if row.unit not in ours and row.path not in gone]
        return others + [entry for entry in self.sent.values() if entry.unit in ours]
