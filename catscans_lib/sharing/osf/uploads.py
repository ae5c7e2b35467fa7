"""One file to OSF: sent anew where that may help, never twice, never over what somebody else has put there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests

from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import session as osf
from catscans_lib.sharing.osf.journal import Journal
from catscans_lib.sharing.osf.local import sha256 as sha256_of
from catscans_lib.sharing.osf.progress import Bar
from catscans_lib.sharing.osf.remote import Copy, Remote, answered

MAX_BYTES = int(4.9 * 2**30)  # WaterButler's bound; what exceeds it is cut off without a word
HEADERS = {"Content-Type": "application/octet-stream"}


class Conflict(Exception):
    """Somebody else has changed the file on OSF."""


@dataclass
class Upload:
    """Sends one file. Where no answer came, it looks at what OSF has before it sends anything again."""

    copy: Copy
    journal: Journal
    path: str
    source: Path
    sha256: str
    bar: Bar

    def __post_init__(self) -> None:
        self.n_bytes = self.source.stat().st_size
        self.there: Remote | None = self.copy.files.get(self.path)
        self.is_in_doubt = self.there is not None  # it was listed a while ago

    def send(self, *, force: bool = False) -> Remote:
        """Send the file unless it is there; return what OSF has then.

        Raises
        ------
        Conflict
            If OSF has what this machine has neither sent nor seen; with `force`, that becomes a former version.
        InputError
            If OSF says no, or could not be reached.
        """
        if self.n_bytes > MAX_BYTES:
            raise InputError(
                f"'{self.source}' has {self.n_bytes:,} bytes; OSF takes {MAX_BYTES:,} a file. Split or move it."
            )
        self.force = force
        if self.there and self.journal.is_ours(self.path, self.there.sha256):
            self.journal.seen(self.path, self.there.sha256)
        self.journal.sending(self.path, self.sha256)
        try:
            return transfer.insist(self._try, say=self.bar.say, spread=osf.SPREAD)
        except transfer.Interrupted as error:
            raise osf.gave_up(self.path, error) from error

    def _try(self) -> Remote:
        if self.is_in_doubt:
            self.there = self.copy.look_at(self.there.url) if self.there else self.copy.look_up(self.path)
            self._check()
        if self.there and self.there.sha256 == self.sha256:
            return self.there
        self.is_in_doubt = True
        answer = self._put(self.there.url, {}) if self.there else self._put_new()
        self.there = answered(answer)
        if self.there.sha256 == self.sha256:
            return self.there
        self.journal.sending(self.path, self.there.sha256)
        if sha256_of(self.source) != self.sha256:
            raise InputError(f"'{self.source}' changed while it was sent. Push again once nothing writes to it.")
        raise transfer.Interrupted(f"{self.path} arrived damaged")

    def _check(self) -> None:
        """Fail if what OSF has is not from here."""
        sha256 = self.there.sha256 if self.there else self.sha256
        if sha256 != self.sha256 and not self.journal.is_ours(self.path, sha256) and not self.force:
            raise Conflict(self.path)

    def _put_new(self) -> requests.Response:
        folder, name = self.copy.folder_of(self.path), self.path.rpartition("/")[2]
        answer = self._put(folder._new_file_url, {"name": name}, allowed=(409,))
        if answer.status_code == 409:
            raise transfer.Interrupted(f"{self.path} is there already")  # the next try looks at what it is
        return answer

    def _put(self, url: str, params: dict[str, str], **kwargs: Any) -> requests.Response:
        params = {"kind": "file"} | params
        with Body(self.source, self.n_bytes, self.bar.update) as body:
            try:
                # an empty stream would go without its length, which OSF wants
                return self.copy.session.once(
                    "PUT", url, params=params, data=body if self.n_bytes else b"", headers=HEADERS,
                    timeout=osf.UPLOAD_TIMEOUT_S, **kwargs,
                )  # fmt: skip
            except BaseException:
                self.bar.back(body.n_sent)
                raise


class Body:
    """A file as it is sent: block by block, as long as it was said to be, whatever happens to the file meanwhile."""

    def __init__(self, source: Path, n_bytes: int, say: Callable[[int], None]) -> None:
        self.source, self.n_bytes, self.say, self.n_sent = source, n_bytes, say, 0
        self.file = source.open("rb", buffering=0)

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.n_bytes

    def __iter__(self) -> Iterator[bytes]:
        return iter(partial(self.read, osf.BLOCK_BYTES), b"")

    def read(self, n_bytes: int) -> bytes:
        wanted = min(n_bytes, self.n_bytes - self.n_sent)
        block = self.file.read(wanted)
        if wanted and not block:
            raise InputError(f"'{self.source}' became shorter while it was sent. Push again once nothing writes to it.")
        self.n_sent += len(block)
        self.say(len(block))
        return block
