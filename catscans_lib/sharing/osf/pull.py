"""Results from OSF: only what is not here, and each run takes its place as a whole."""

import shutil
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from catscans_lib.errors import InputError
from catscans_lib.sharing.archives import unpack
from catscans_lib.sharing.osf import manifest, plan
from catscans_lib.sharing.osf.copies import Sides, looked_at
from catscans_lib.sharing.osf.downloads import fetch
from catscans_lib.sharing.osf.journal import staging_dir
from catscans_lib.sharing.osf.local import by_unit, sha256
from catscans_lib.sharing.osf.manifest import Entry
from catscans_lib.sharing.osf.place import Place
from catscans_lib.sharing.osf.progress import Bar

MAX_RATIO = 20  # of a zip's files to the zip
AFTERWARDS = "To take OSF's in place of what was changed here, pull again with --force."


def pull(place: Place, *, force: bool = False, dry_run: bool = False) -> plan.Plan:
    """Bring the results that a copy's manifest lists to a folder; see `push.push` for the parameters and the rest.

    Nothing in the folder is half written at any moment: files arrive in a hidden folder and are checked there.
    """
    with looked_at(place) as sides:
        if not sides.rows:
            raise InputError(
                f"Nothing to pull: '{place.node}' in project {place.project} has no {manifest.NAME}. Push to it first, or "
                "name another folder with --node."
            )
        todo = plan.of_pull(sides.rows, sides.folder, sides.copy.files, sides.journal, force)
        if not dry_run:
            _Pull(place, sides).do(todo)
            plan.raise_conflicts(todo, "fetched", AFTERWARDS)
        return todo


@dataclass
class _Pull:
    place: Place
    sides: Sides
    lock: threading.Lock = field(default_factory=threading.Lock)

    def do(self, todo: plan.Plan) -> None:
        for entry in todo.same:
            self._note(entry)
        units = by_unit({entry.path: entry for entry in todo.move})
        self.waiting = {unit: len(entries) for unit, entries in units.items()}
        with Bar("pull", todo.n_bytes) as bar:
            bar.side_by_side([partial(self._fetch, entry, bar) for entry in todo.move], self.place.n_jobs)

    def _fetch(self, entry: Entry, bar: Bar) -> None:
        """Fetch a file; the last one of its run also puts the run into place."""
        fetch(self.sides.copy.session, entry, self.sides.copy.files[entry.path], self._staged(entry.path), bar)
        with self.lock:
            self.waiting[entry.unit] -= 1
            is_last = not self.waiting[entry.unit]
        if is_last:
            self._install(entry)

    def _staged(self, path: str) -> Path:
        return staging_dir(self.place.root) / path

    def _note(self, entry: Entry) -> None:
        there = self.sides.copy.files.get(entry.path)
        if there and there.sha256 == entry.sha256:
            self.sides.journal.same(entry.path, entry.sha256, entry.state)

    def _install(self, last: Entry) -> None:
        """Put a run, or a file of no run, into its place."""
        rows = [row for row in self.sides.rows.values() if row.unit == last.unit]
        staged, final = self._staged(last.unit), self.place.root / last.unit
        if last.run_id:
            if last.contents:
                _unpack(self._staged(last.path), staged, last)
            self._complete(staged, final, rows)
            _swap(staged, final)
        else:
            final.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(final)
        for row in rows:
            self._note(row)

    def _complete(self, staged: Path, final: Path, rows: list[Entry]) -> None:
        """Make a run's new folder whole: without what an interrupted pull left, with what need not be fetched."""
        _recover(final)
        listed, is_packed = {row.path for row in rows}, bool(rows[0].contents)
        for new in _files(staged) if not is_packed else ():
            if (final / new.relative_to(staged)).relative_to(self.place.root).as_posix() not in listed:
                new.unlink()
        for old in _files(final):
            new = staged / old.relative_to(final)
            if not new.exists() and self._stays(old.relative_to(self.place.root), listed, is_packed):
                new.parent.mkdir(parents=True, exist_ok=True)
                _link(old, new)

    def _stays(self, path: Path, listed: set[str], is_packed: bool) -> bool:
        """Whether a file of the former folder is one of the new one; what came from OSF and is listed no more is not."""
        if any(map(manifest.is_hidden, path.parts)):
            return True
        name = path.as_posix()
        came_from_osf = self.sides.journal.of(name).here == self.sides.folder.checksums.get(name)
        return name in listed or not (is_packed or came_from_osf)


def _unpack(archive: Path, folder: Path, entry: Entry) -> None:
    """Unpack a run, and see that it holds what its row says."""
    shutil.rmtree(folder, ignore_errors=True)
    unpack(archive, folder, max_bytes=max(MAX_RATIO * archive.stat().st_size, 2**30))
    found = manifest.contents({path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder)})
    if found != entry.contents:
        raise InputError(
            f"'{entry.path}' does not hold the files that its manifest says. Have whoever made it push again."
        )
    archive.unlink()


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _former(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def _recover(final: Path) -> None:
    """Take a run's folder back that a killed pull had moved aside."""
    if not final.exists() and _former(final).exists():
        _former(final).rename(final)


def _swap(staged: Path, final: Path) -> None:
    """Let a whole folder take the place of the former one."""
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(_former(final), ignore_errors=True)
    if final.exists():
        final.rename(_former(final))
    staged.rename(final)
    shutil.rmtree(_former(final), ignore_errors=True)


def _link(old: Path, new: Path) -> None:
    try:
        new.hardlink_to(old)
    except OSError:  # a file system without links
        shutil.copy2(old, new)
