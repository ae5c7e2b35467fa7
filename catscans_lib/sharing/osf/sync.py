"""Push, pull, status and verify: compare a folder of results with its copy on OSF, and move whole runs."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from catscans_lib import paths
from catscans_lib.errors import InputError, and_more
from catscans_lib.runs import recipe
from catscans_lib.sharing.osf import runs
from catscans_lib.sharing.osf.runs import LocalRun, Row
from catscans_lib.sharing.osf.storage import Session, Storage, token

BASE_URL = "https://api.osf.io/v2"
N_JOBS = 4
HIDDEN = ".osf"  # in the folder of results: the lock and partial files


@dataclass
class Plan:
    """What a push or pull does: runs to move, runs that are the same, and why others are left alone, by key."""

    move: dict[str, LocalRun | Row] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        return sum(run.n_bytes for run in self.move.values())

    def raise_left(self, what: str, advice: str) -> None:
        """Raise InputError if runs were left alone."""
        reasons = defaultdict(list)
        for key, reason in sorted(self.left.items()):
            reasons[reason].append(key)
        if reasons:
            said = "; ".join(f"{reason}: {and_more(keys, 10)}" for reason, keys in reasons.items())
            raise InputError(f"Not {what}: {said}. {advice}")


@dataclass
class Sync:
    """A folder of results (`root`) and its copy, the folder `node` of a project; `n_jobs` zips are transferred at a time."""

    root: Path
    project: str
    node: str
    base_url: str = BASE_URL
    n_jobs: int = N_JOBS

    def push(self, *, force: bool = False, dry_run: bool = False) -> Plan:
        """Send the finished runs that OSF does not have, then list them in the manifest.

        A run that was finished before the version on OSF is left alone, unless `force` makes it the current version.

        Raises
        ------
        InputError
            If OSF refuses or cannot be reached, or if runs were left alone; all others are on OSF and listed then.
        """
        with self._opened():
            if not self.runs:
                raise InputError(f"No finished runs in '{self.root}'. Give a folder such as results/demo.")
            plan = self._plan_push(force)
            if not dry_run:
                for step in sorted({key.partition("/")[0] for key in plan.move}):
                    self.storage.folder(f"{self.node}/{step}")
                with _Bar("push", plan.n_bytes) as bar:
                    rows = bar.all([partial(self._send, run, bar) for run in plan.move.values()], self.n_jobs)
                self.storage.publish(sorted(rows, key=lambda row: row.key))
                plan.raise_left("sent", "Pull first, or push with --force to make yours the current version.")
            return plan

    def pull(self, *, force: bool = False, dry_run: bool = False) -> Plan:
        """Fetch the current version of every run in the manifest, and put each run in place as a whole.

        A run here that no version on OSF holds is left alone, unless `force` lets OSF's version replace it.

        Raises
        ------
        InputError
            If OSF refuses or cannot be reached, a zip is damaged or unsafe, or if runs were left alone; all others are here then.
        """
        with self._opened():
            if not self.rows:
                was_pushed = self.storage.file(runs.FORMER_MANIFEST)
                advice = (
                    "It was pushed in a former form: push it again." if was_pushed else "Push first, or check --node."
                )
                raise InputError(f"Nothing to pull: '{self.node}' on OSF has no {runs.MANIFEST}. {advice}")
            plan = self._plan_pull(force)
            if not dry_run:
                with _Bar("pull", plan.n_bytes) as bar:
                    bar.all([partial(self._fetch, row, bar) for row in plan.move.values()], self.n_jobs)
                self._keep_recipes([self.stored(key)[-1] for key in (*plan.same, *plan.move)])
                plan.raise_left("fetched", "To replace runs that differ here, pull with --force.")
            return plan

    def status(self) -> dict[str, list[str]]:
        """Return the runs "to push", "to pull", "left alone" by both (with the reason), "the same", and zips "not listed"."""
        with self._opened():
            push, pull = self._plan_push(force=False), self._plan_pull(force=False)
            left = {key: why for key, why in (pull.left | push.left).items() if key not in push.move}
            listed = {f"{self.node}/{row.zip}" for versions in self.rows.values() for row in versions}
            zips = [path for path in self.storage.files if path.startswith(f"{self.node}/") and path.endswith(".zip")]
            return {
                "to push": list(push.move),
                "to pull": [key for key in pull.move if key not in push.move],
                "left alone": [f"{key}: {why}" for key, why in left.items()],
                "the same": pull.same,
                "not listed": sorted(set(zips) - listed),
            }

    def verify(self) -> tuple[int, dict[str, str]]:
        """Compare checksums here and on OSF; return the number of runs in the manifest, and what is wrong by run."""
        with self._opened():
            problems = {}
            for key, versions in self.rows.items():
                row, file = versions[-1], self.storage.file(versions[-1].zip)
                here = {part: runs.state(self.root, part) for part in row.parts}
                found = [
                    f"{part} {'differs' if here[part] else 'is missing'} here"
                    for part in here
                    if here[part] != row.parts[part]
                ]
                if not self.storage.has(row):
                    found.append("its zip is damaged on OSF" if file else "its zip is missing on OSF")
                if found:
                    problems[key] = ", ".join(found)
            return len(self.rows), problems

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Look at both sides; no other push or pull may use the folder meanwhile."""
        if not re.fullmatch(r"[A-Za-z0-9]{3,12}", self.project):
            raise InputError(f"'{self.project}' is not the ID of a project: the letters and digits after osf.io/.")
        if not all(map(runs.is_safe, self.node.split("/"))):
            raise InputError(f"'{self.node}' cannot be a folder of a project. Give a path such as results/demo.")
        self.staging = self.root / HIDDEN / "staging"
        try:
            with (
                Session(self.base_url, token()) as osf,
                paths.locked(self.root / HIDDEN / "lock", self._refuse),
            ):
                self.storage = Storage(osf, self.project, self.node)
                self.rows: dict[str, list[Row]] = {}  # the versions of each run, the current one last
                for row in self.storage.rows():
                    self.rows.setdefault(row.key, []).append(row)
                    runs.recover(self.root / row.key)
                self.runs = runs.finished_runs(self.root)
                self.recipes = self._recipes()
                yield
                shutil.rmtree(self.staging, ignore_errors=True)
        except OSError as error:
            raise InputError(
                f"Cannot read or write '{error.filename or self.root}': {error.strerror or error}. Correct that and run the "
                "same command again; what was transferred is kept."
            ) from error

    def _refuse(self, holder: str) -> None:
        raise InputError(f"Another push or pull uses '{self.root}': {holder}. Wait until it has ended.")

    def stored(self, key: str) -> list[Row]:
        """Return the versions of a run whose zips are on OSF, undamaged; the current one last."""
        return [row for row in self.rows.get(key, []) if self.storage.has(row)]

    def _plan_push(self, force: bool) -> Plan:
        plan = Plan()
        for key, run in self.runs.items():
            stored = self.stored(key)
            if stored and _covers(stored[-1 if force else 0 :], run):
                plan.same.append(key)
            elif stored and not force and run.finished < stored[-1].finished:
                plan.left[key] = "OSF has a newer version"
            else:
                plan.move[key] = run
        return plan

    def _plan_pull(self, force: bool) -> Plan:
        plan = Plan()
        for key in self.rows:
            stored = self.stored(key)
            if not stored:
                plan.left[key] = "its zip is missing or damaged on OSF"
                continue
            here = {part: runs.state(self.root, part) for part in stored[-1].parts}
            if here == stored[-1].parts:
                plan.same.append(key)
            elif force or all(here[part] in ("", *(row.parts.get(part) for row in stored)) for part in here):
                plan.move[key] = stored[-1]
            else:
                plan.left[key] = "differs here from every version on OSF"
        return plan

    def _send(self, run: LocalRun, bar: "_Bar") -> Row:
        """Send one run, unless OSF has it as a former version, and return its row."""
        if listed := _covers(self.stored(run.key), run):
            return listed[-1]
        path = self.staging / f"{run.run_id}.zip"
        runs.pack(self.root, run, path)
        sha256, n_bytes = paths.sha256(path), path.stat().st_size
        bar.total += n_bytes - run.n_bytes
        name = runs.zip_name(run.key, run.run_id, sha256)
        self.storage.upload(name, path, sha256, bar)
        path.unlink()
        made_from = self.recipes.get(run.key, {})
        recipe = made_from["recipe"] if made_from.get("run_id") == run.run_id else ""
        facts = {"key": run.key, "run_id": run.run_id, "finished": run.finished, "parts": run.parts, "recipe": recipe}
        return Row(**facts, zip=name, n_bytes=n_bytes, sha256=sha256)

    def _fetch(self, row: Row, bar: "_Bar") -> None:
        path = self.staging / Path(row.zip).name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or paths.sha256(path) != row.sha256:
            self.storage.download(row, path, bar)
        runs.install(self.root, row, path)

    def _recipes(self) -> dict[str, dict[str, str]]:
        path = self.root / recipe.RECIPES
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _keep_recipes(self, rows: list[Row]) -> None:
        """Add the recipes of runs that a crate had brought to the other machine, so that a sweep takes them as done here, too."""
        new = self.recipes | {row.key: {"run_id": row.run_id, "recipe": row.recipe} for row in rows if row.recipe}
        if new != self.recipes:
            with paths.atomic_write(self.root / recipe.RECIPES) as part:
                part.write_text(json.dumps(new, indent=1), encoding="utf-8")


def _covers(rows: list[Row], run: LocalRun) -> list[Row]:
    """Return the rows that hold all parts of a run here."""
    return [row for row in rows if run.parts.items() <= row.parts.items()]


class _Stopped(Exception):
    """Another transfer has failed, or the user has interrupted the command."""


class _Bar(tqdm):
    """A progress bar for the bytes of all runs; nothing is shown where the standard error is not a terminal."""

    is_stopped = False

    def __init__(self, what: str, n_bytes: int) -> None:
        super().__init__(desc=what, total=n_bytes, unit="B", unit_scale=True, disable=None)

    def update(self, n: float | None = 1) -> bool | None:
        """Count bytes; end the calling thread if the command is being stopped."""
        if self.is_stopped:
            raise _Stopped
        return super().update(n)

    def all(self, jobs: list[Callable[[], Any]], n_jobs: int) -> list[Any]:
        """Do all jobs, `n_jobs` at a time, and return their results; the first error stops the others."""
        with ThreadPoolExecutor(n_jobs) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                return [future.result() for future in as_completed(futures)]
            except BaseException:
                self.is_stopped = True
                pool.shutdown(cancel_futures=True)
                raise
