"""The wall time a run may take: a notebook that goes on beyond it is stopped, and the run says so."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

MINUTES = "CATSCANS_MINUTES"  # set by the sweep from `resources` of the profile; 0: no limit


@dataclass
class Watch:
    """A limit in minutes (0: none), and whether it was reached."""

    minutes: float
    is_over: bool = False

    def stop(self) -> None:
        """End every process that this one has started: also a kernel that hears no interrupt, deep in foreign code."""
        self.is_over = True
        for process in psutil.Process().children(recursive=True):
            process.kill()


@contextmanager
def watched() -> Iterator[Watch]:
    """Stop what is started within, once the run has taken the minutes that `CATSCANS_MINUTES` gives it."""
    watch = Watch(float(os.environ.get(MINUTES) or 0))
    timer = threading.Timer(60 * watch.minutes, watch.stop)
    timer.daemon = True
    if watch.minutes:
        timer.start()
    try:
        yield watch
    finally:
        timer.cancel()
