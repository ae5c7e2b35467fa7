"""Push, pull and status: compare a folder of results with its copy on OSF, and move whole runs."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from catscans_lib import paths
from catscans_lib.errors import InputError, and_more
from catscans_lib.sharing.osf import runs
from catscans_lib.sharing.osf.runs import Run, Version
from catscans_lib.sharing.osf.storage import Session, Storage, token


@dataclass
class Plan:
    """What a push or pull does: runs to move, runs that are the same, and why others are left alone, by key."""

    move: dict[str, Run | Version] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(run.n_bytes for run in self.move.values())


@dataclass
class Sync:
    """A folder of results and its copy, the folder `node` of a project.

    All commands raise InputError if OSF refuses or cannot be reached. An interrupted one is completed by the next.
    """

    root: Path
    project: str
    node: str
    base_url: str = "https://api.osf.io/v2"

    def push(self) -> Plan:
        """Send the finished runs that OSF does not have."""
        with self._opened():
            plan = self._plan_push()
            if not plan.move and not plan.same:
                raise InputError(f"No finished runs in '{self.root}'. Give a folder such as results/demo.")
            with _bar("push", plan.n_bytes) as bar:
                for run in plan.move.values():
                    self._send(run, bar)
            return plan

    def pull(self, *, force: bool = False) -> Plan:
        """Fetch the newest version of every run on OSF, and put each run in place as a whole.

        A run here that no version on OSF holds is left alone, unless `force` lets OSF's version replace it; InputError names
        such runs once all others are in place.
        """
        with self._opened():
            if not self.versions:
                raise InputError(f"Nothing to pull: '{self.node}' on OSF has no runs. Push first, or check --node.")
            plan = self._plan_pull(force)
            with _bar("pull", plan.n_bytes) as bar:
                for version in plan.move.values():
                    self._fetch(version, plan, force, bar)
            if plan.left:
                said = and_more([f"{key} {why}" for key, why in sorted(plan.left.items())], 10)
                advice = "Push again, or let OSF's versions replace yours: pull with --force."
                raise InputError(f"Not fetched: {said}. {advice}")
            return plan

    def status(self) -> dict[str, list[str]]:
        """Return the runs "to push", "to pull", "the same", and those that a pull leaves alone without --force."""
        with self._opened():
            push, pull = self._plan_push(), self._plan_pull()
            to_pull = [key for key in pull.move if key not in push.move]
            left = [f"{key} {why}" for key, why in pull.left.items()]
            return {"to push": list(push.move), "to pull": to_pull, "the same": pull.same, "left alone by a pull": left}

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Look at OSF; no other push or pull may use the folder meanwhile."""
        if not re.fullmatch(r"[A-Za-z0-9]{3,12}", self.project):
            raise InputError(f"'{self.project}' is not the ID of a project: the letters and digits after osf.io/.")
        if not all(map(runs.is_safe, self.node.split("/"))):
            raise InputError(f"'{self.node}' cannot be a folder of a project. Give a path such as results/demo.")
        hidden = self.root / ".osf"
        self.staging = hidden / "staging"
        try:
            with Session(self.base_url, token()) as session, paths.locked(hidden / "lock", self._refuse):
                self.storage = Storage(session, self.project, self.node)
                self.versions = self.storage.versions()
                for key in self.versions:
                    paths.restore_folder(self.root / key)
                yield
                shutil.rmtree(self.staging, ignore_errors=True)
        except OSError as error:
            raise InputError(
                f"Cannot read or write '{error.filename or self.root}': {error.strerror or error}. Correct that and run the "
                "same command again; what was transferred is kept."
            ) from error

    def _refuse(self, holder: str) -> None:
        raise InputError(f"Another push or pull uses '{self.root}': {holder}. Wait until it has ended.")

    def _plan_push(self) -> Plan:
        plan = Plan()
        for run in runs.finished_runs(self.root):
            if any(run.digest == version.digest for version in self.versions.get(run.key, [])):
                plan.same.append(run.key)
            else:
                plan.move[run.key] = run
        return plan

    def _plan_pull(self, force: bool = False) -> Plan:
        plan = Plan()
        for key, versions in sorted(self.versions.items()):
            if why := self._why_left(key, force):
                plan.left[key] = why
            elif runs.digest(self.root, key) == versions[-1].digest:
                plan.same.append(key)
            else:
                plan.move[key] = versions[-1]
        return plan

    def _why_left(self, key: str, force: bool) -> str:
        """Return why a pull leaves a run alone; "" if the run is missing here, or this version of it is on OSF."""
        if not self.versions[key]:
            return "is damaged on OSF"
        known = {"", *(version.digest for version in self.versions[key])}
        return "" if force or runs.digest(self.root, key) in known else "differs here from every version on OSF"

    def _send(self, run: Run, bar: tqdm) -> None:
        path = self.staging / f"{run.key.replace('/', '.')}.zip"
        runs.pack(self.root, run, path)
        sha256 = paths.sha256(path)
        bar.total += path.stat().st_size - run.n_bytes
        self.storage.upload(runs.zip_path(run, sha256), path, sha256, bar)
        path.unlink()

    def _fetch(self, version: Version, plan: Plan, force: bool, bar: tqdm) -> None:
        path = self.staging / Path(version.path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_file() and paths.sha256(path).startswith(version.sha256)):
            self.storage.download(version, path, bar)
        if why := self._why_left(version.key, force):  # a sweep has made the run meanwhile
            plan.left[version.key] = why
        else:
            runs.install(self.root, version, path)


def _bar(what: str, n_bytes: int) -> tqdm:
    """Return a progress bar for the bytes of all runs; nothing is shown where the standard error is not a terminal."""
    return tqdm(desc=what, total=n_bytes, unit="B", unit_scale=True, disable=None)
