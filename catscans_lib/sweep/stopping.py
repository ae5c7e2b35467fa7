"""Lets SIGTERM end Snakemake at any moment: it starts nothing more, waits for what runs, and ends.

Snakemake 9 takes a lock in its handler of SIGTERM. A handler executes in the main thread, between any two steps of it; if that
thread holds the lock just then, both wait for ever. Here the handler's work is done in a thread of its own.
"""

import threading
from typing import Any

from snakemake.scheduling.job_scheduler import JobScheduler


def install() -> None:
    """Replace the handler of Snakemake's scheduler; called by the Snakefile, before there is a scheduler."""
    handle = JobScheduler.exit_gracefully

    def in_thread(scheduler: JobScheduler, *_: Any) -> None:
        threading.Thread(target=handle, args=(scheduler,)).start()

    JobScheduler.exit_gracefully = in_thread
