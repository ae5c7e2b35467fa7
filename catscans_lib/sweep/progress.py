"""Prints a line when a run of a sweep starts or ends: how many are done and running, and the time that is expected to be left.

Of a run that trains for long, it shows the last epoch every minute. It looks into the folders of the runs, on a cluster, too.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from catscans_lib import paths, results
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.runs.execute import MARK, say
from catscans_lib.sweep import failures, plan
from catscans_lib.training import EPOCHS_LOG

POLL_S = 1.0  # between two looks
EPOCH_S = 60.0  # a run's epochs are shown so long after its last line
TRUSTED_S = 60.0  # so many seconds of finished runs count as much as the plan


@dataclass
class Progress:
    """The runs of a sweep that began at `since` (seconds since 1970): those it needs, those done, the costs of the others."""

    profile: str
    runs: dict[str, PlannedRun]
    done: set[str]
    costs: dict[str, float | None]  # seconds of the runs to execute, in the grid's order
    n_parallel: int
    since: float
    started: dict[str, float] = field(default_factory=dict)  # running runs
    told: dict[str, tuple[float, str]] = field(default_factory=dict)  # running runs: time and epoch of their last line
    took: dict[str, float] = field(default_factory=dict)  # seconds of runs that were seen to start and to end

    def look(self, now: float, *, is_last: bool = False) -> list[str]:
        """Return a line for every run that has started or ended since the last look; the last one counts runs not seen before."""
        active, lines = self._active(), []
        for key in [key for key in (self.costs if is_last else self.started) if key not in {*active, *self.done}]:
            is_marked = (paths.run_dir(self.profile, *key.split("/")) / MARK).exists()
            if is_marked or results.finished_at(self.profile, key) >= self.since:
                self.done.add(key)
                took = now - self.started.pop(key, now)
                self.took[key] = took
                lines.append(f"{key} done in {took:.0f} s: {self._counts(now)}")
            elif key in self.started and failures.report(self.profile, key, self.since):
                del self.started[key]
                lines.append(f"{key} failed: {self._counts(now)}")
        for key in active:
            if key not in self.started:
                self.started[key] = now
                self.told[key] = (now, "")
                lines.append(f"{key} starts: {self._counts(now)}")
            elif now - self.told[key][0] >= EPOCH_S and (epoch := self._epoch(key)) not in ("", self.told[key][1]):
                self.told[key] = (now, epoch)
                lines.append(f"{key}: {epoch}")
        return lines

    def _epoch(self, key: str) -> str:
        """Return the last line of a run's log of epochs; "" if this sweep has not trained one yet."""
        for log in paths.checkpoint_dir(self.profile, *key.split("/")).glob(f"*/{EPOCHS_LOG}"):
            with suppress(FileNotFoundError):  # the run is just ending
                if log.stat().st_mtime >= self.since:
                    return log.read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
        return ""

    def _active(self) -> list[str]:
        """Return the runs that have a work folder of this sweep."""
        found = []
        for step in dict.fromkeys(key.split("/")[0] for key in self.costs):
            for folder in (paths.results_dir(self.profile) / step).glob(".*.work"):
                key = f"{step}/{folder.stem.removeprefix('.')}"
                with suppress(FileNotFoundError):  # the run is just moving its folder
                    is_new = folder.stat().st_mtime >= self.since
                    if is_new and key in self.costs and key not in self.done:
                        found.append(key)
        return [key for key in found if not failures.report(self.profile, key, self.since)]

    def _counts(self, now: float) -> str:
        left = self.seconds_left(now)
        rest = f", about {plan.duration(left)} left" if left else ""
        return f"{len(self.done)} of {len(self.runs)} runs done, {len(self.started)} running{rest}"

    def seconds_left(self, now: float) -> float | None:
        """Return the expected wall time of all runs that are not done, by their costs and how long others took; None: unknown."""
        costs = {key: cost for key, cost in self.costs.items() if key not in self.done}
        if None in costs.values():
            return None
        planned = sum(self.costs[key] or 0.0 for key in self.took)
        pace = (sum(self.took.values()) + TRUSTED_S) / (planned + TRUSTED_S)
        left = {key: max(0.0, pace * cost - (now - self.started.get(key, now))) for key, cost in costs.items()}
        return plan.wall_seconds(left, self.runs, self.n_parallel)


@contextmanager
def printed(progress: Progress) -> Iterator[None]:
    """Print progress while the sweep runs."""
    ended = threading.Event()

    def follow() -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(POLL_S)
            for line in progress.look(time.time(), is_last=is_last):
                say(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
