"""Many files side by side under one bar: bytes, rate, and what is being waited for."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from tqdm import tqdm


class Stopped(Exception):
    """Another file has failed, or the user has had enough."""


class Bar:
    """A bar of bytes that threads share; nothing is printed where the standard error is no terminal."""

    def __init__(self, what: str, n_bytes: int) -> None:
        self.shown = tqdm(desc=what, total=n_bytes, unit="B", unit_scale=True, disable=None)
        self.lock = threading.Lock()
        self.is_stopped = threading.Event()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.shown.close()

    def update(self, n_bytes: int) -> None:
        """Go on by so many bytes; ends the thread if the work has been stopped."""
        if self.is_stopped.is_set():
            raise Stopped
        self.back(-n_bytes)

    def back(self, n_bytes: int) -> None:
        """Take bytes back that have to be sent again."""
        with self.lock:
            self.shown.update(-n_bytes)

    def expect(self, n_bytes: int) -> None:
        """Count more bytes in, or fewer, than were known of at the start."""
        with self.lock:
            self.shown.total += n_bytes
            self.shown.refresh()

    def say(self, why: str) -> None:
        with self.lock:
            self.shown.set_postfix_str(why)

    def side_by_side(self, jobs: Iterable[Callable[[], object]], n_jobs: int) -> None:
        """Do everything, so many at a time; the first error stops the others and is raised."""
        with ThreadPoolExecutor(n_jobs) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.is_stopped.set()
                pool.shutdown(cancel_futures=True)
                raise


class Part:
    """One file's share of a bar, as `web.Transfer` wants it."""

    def __init__(self, bar: Bar) -> None:
        self.bar, self.total, self._n = bar, 0, 0

    @property
    def n(self) -> int:
        return self._n

    @n.setter
    def n(self, n_bytes: int) -> None:
        self.bar.back(self._n - n_bytes)
        self._n = n_bytes

    def update(self, n_bytes: int) -> None:
        self.bar.update(n_bytes)
        self._n += n_bytes

    def set_postfix_str(self, why: str) -> None:
        self.bar.say(why)
