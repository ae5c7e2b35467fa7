"""The storage of an OSF project: requests with the token, a profile's folder, uploads, downloads, the manifest."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import runs
from catscans_lib.sharing.osf.runs import Row, is_safe

TOKEN = "OSF_TOKEN"
KEYRING = ("osf.io", "token")  # as in: keyring set osf.io token
UPLOAD_TIMEOUT_S = (20.0, 600.0)  # OSF answers only once it has stored the file
MAX_BYTES = int(4.9 * 2**30)  # OSF cuts larger files without notice
N_MERGES = 5  # attempts to write the manifest while others write it, too
ADVICE = {
    401: f"OSF needs a token, or does not accept this one. Set {TOKEN} to a personal access token of an account with "
    "access to the project (osf.io/settings/tokens).",
    403: "The account of the token has no access. Ask for access to the project, or use another token.",
    404: "There is no such project, folder or file. Check the project's address: its ID follows osf.io/.",
    410: "It was deleted on OSF.",
    413: "The file is too large: OSF stores up to 5 GB per file.",
    507: "The storage of the project is full. Move files to another project or component, or use add-on storage.",
}


def token() -> str | None:
    """Return the personal access token: `OSF_TOKEN`, else the one in the keyring if the library keyring is installed."""
    found = os.environ.get(TOKEN) or _from_keyring()
    if found and not re.fullmatch(r"[\x21-\x7e]+", found):
        raise InputError(f"{TOKEN} (or the keyring's entry) is not a token: it has unusual characters. Copy it again.")
    return found or None


def _from_keyring() -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(*KEYRING)
    except KeyringError:  # this machine has no keyring, or it is locked
        return None


class Session(requests.Session):
    """Requests to the API at `base_url` and to OSF's other servers, which alone get the token.

    Redirects to other hosts are followed without the token: OSF's files lie at a cloud provider. None as a token is enough to
    read public projects.
    """

    def __init__(self, base_url: str, token: str | None) -> None:
        super().__init__()
        transfer.prepared(self)
        self.base_url = base_url.rstrip("/")
        self.auth = partial(_authorise, token)  # also keeps requests from sending the passwords in ~/.netrc
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("https://", HTTPAdapter(pool_maxsize=32))
        base = urlsplit(self.base_url)
        if token and base.scheme != "https" and base.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InputError(f"'{transfer.shown(base_url)}' is not https, so it gets no token. Give an https address.")

    def trusts(self, url: str) -> bool:
        """Return whether an address is OSF's own: the API's, or, for api.osf.io, any below osf.io."""
        base, other = urlsplit(self.base_url), urlsplit(url)
        if (base.scheme, base.netloc) == (other.scheme, other.netloc):
            return True
        domain = (base.hostname or "").removeprefix("api.")
        is_domain = domain != base.hostname and "." in domain
        return is_domain and other.scheme == "https" and f".{other.hostname}".endswith(f".{domain}")

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send one request to OSF; the status of the answer is not checked."""
        if not self.trusts(url):
            raise InputError(f"OSF's answer names a foreign address, '{transfer.shown(url)}': nothing was sent there.")
        timeout_s = UPLOAD_TIMEOUT_S if method == "PUT" else transfer.TIMEOUT_S
        return super().request(method, url, **{"timeout": timeout_s} | kwargs)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the token when a redirect leaves OSF; requests calls this at every redirect."""
        if not self.trusts(prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def once(self, method: str, url: str, allowed: tuple[int, ...] = (200,), **kwargs: Any) -> requests.Response:
        """Send a request once; raise `transfer.Interrupted` or `transfer.Refused` if it fails."""
        with transfer.network_errors():
            response = self.request(method, url, **kwargs)
        transfer.check_status(response, allowed)
        return response

    def call(self, method: str, url: str, allowed: tuple[int, ...] = (200,), **kwargs: Any) -> requests.Response:
        """Send a request and retry it."""
        with explained(url):
            return transfer.retrying(partial(self.once, method, url, allowed, **kwargs))

    def data(self, url: str, **params: str) -> Any:
        """Return the `data` of a JSON answer."""
        answer = self.call("GET", url, params=params)
        with explained(url):
            return answer.json()["data"]


def _authorise(token: str | None, request: requests.PreparedRequest) -> requests.PreparedRequest:
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn failed requests, and errors of reading an answer that does not have the form of OSF's, into InputError."""
    where = f"'{transfer.shown(url)}'"
    try:
        yield
    except InputError:
        raise
    except transfer.Refused as error:
        advice = ADVICE.get(error.status, "See status.cos.io for known problems of OSF.")
        raise InputError(f"OSF cannot be used: {where}: {error}. {advice}") from None
    except transfer.Interrupted as error:
        raise InputError(
            f"OSF could not be reached after {transfer.RETRY.total} retries: {where}: {error}. What was transferred is "
            "kept: run the same command again later."
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{where} does not answer like OSF: {error!r}. Check the ID of the project.") from error


class File(NamedTuple):
    """A file on OSF: SHA-256 and version number as OSF reports them, and its address."""

    sha256: str
    version: int
    url: str


class Storage:
    """What lies in `node`, a profile's folder on OSF; `files` and `folders` have paths from the project's storage on."""

    def __init__(self, osf: Session, project: str, node: str) -> None:
        self.osf, self.node = osf, node
        self.files: dict[str, File] = {}
        self.folders = {"": self._root(project)}
        parts = node.split("/")
        for folder in ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]:
            if folder in self.folders:
                self._list(folder)
        for step in [path for path in self.folders if path.startswith(f"{node}/")]:
            self._list(step)

    def _root(self, project: str) -> str:
        """Return the address of the project's own storage, which depends on its storage region."""
        url = f"{self.osf.base_url}/guids/{project}/"
        with explained(url):
            related = self.osf.data(url)["relationships"]["files"]["links"]["related"]["href"]
            providers = {each["attributes"]["provider"]: each for each in self.osf.data(related)}
            return _address(providers["osfstorage"])

    def _list(self, folder: str) -> None:
        """List one folder again, without hidden files and files whose names are unsafe: those are not ours."""
        url = self.folders[folder]
        self.files = {path: file for path, file in self.files.items() if path.rpartition("/")[0] != folder}
        with explained(url):
            for each in self.osf.data(url, meta=""):
                name, kind = each["attributes"]["name"], each["attributes"]["kind"]
                path = f"{folder}/{name}".lstrip("/")
                if is_safe(name) and kind == "folder":
                    self.folders[path] = _address(each)
                elif is_safe(name):
                    self.files[path] = _file(each)

    def file(self, path: str) -> File | None:
        """Return a file by its path below the profile's folder."""
        return self.files.get(f"{self.node}/{path}")

    def has(self, row: Row) -> bool:
        """Return whether the zip of a row is there, undamaged."""
        file = self.file(row.zip)
        return file is not None and file.sha256 == row.sha256

    def folder(self, path: str) -> str:
        """Return the address of a folder; make it if it is missing."""
        if path not in self.folders:
            above, _, name = path.rpartition("/")
            params = {"kind": "folder", "name": name}
            self.osf.call("PUT", self.folder(above), (201, 409), params=params)  # 409: an earlier attempt made it
            self._list(above)
        if path not in self.folders:
            raise InputError(f"OSF does not make the folder '{path}'. Look at the project's files, then try again.")
        return self.folders[path]

    def upload(self, path: str, source: Path, sha256: str, bar: tqdm) -> None:
        """Send a zip, unless it is there. After a failure, look first at what arrived: no file is sent twice."""
        if source.stat().st_size > MAX_BYTES:
            raise InputError(f"'{path}' has {source.stat().st_size:,} bytes; OSF stores {MAX_BYTES:,} per file.")
        full, is_in_doubt = f"{self.node}/{path}", False

        def attempt() -> None:
            nonlocal is_in_doubt
            if is_in_doubt:
                self._list(full.rpartition("/")[0])
            is_in_doubt = True
            there = self.files.get(full)
            if there and there.sha256 == sha256:
                return
            answer = self._put(full, source, bar)
            if answer.status_code != 409:  # 409: it is there already
                with explained(answer.url):
                    self.files[full] = _file(answer.json()["data"])
            if answer.status_code == 409 or self.files[full].sha256 != sha256:
                raise transfer.Interrupted(f"'{path}' did not arrive undamaged")

        with explained(path):
            transfer.retrying(attempt, say=bar.set_postfix_str)

    def _put(self, full: str, source: Path, bar: tqdm) -> requests.Response:
        """Send a file once: as a new file, or as a new version of a damaged one."""
        folder, _, name = full.rpartition("/")
        there = self.files.get(full)
        url, params = (there.url, {}) if there else (self.folder(folder), {"name": name})
        with source.open("rb") as file:
            body = CallbackIOWrapper(bar.update, file)
            try:
                return self.osf.once("PUT", url, (200, 201, 409), params={"kind": "file"} | params, data=body)
            except transfer.Interrupted:
                bar.update(-file.tell())
                raise

    def download(self, row: Row, path: Path, bar: tqdm) -> None:
        """Download the zip of a row to `path`; resume a partial download."""
        url = self.files[f"{self.node}/{row.zip}"].url
        file = Download(url, f"sha256:{row.sha256}", row.n_bytes, name=path.name)
        with explained(url):
            transfer.Transfer(self.osf, url, path, file, bar).run()

    def rows(self) -> list[Row]:
        """Return the rows of the newest undamaged version of the manifest; none if there is no manifest."""
        file = self.file(runs.MANIFEST)
        for version in range(file.version if file else 0, 0, -1):
            if (rows := self._version(file, version)) is not None:
                return rows
        if file:
            raise InputError(
                f"'{self.node}/{runs.MANIFEST}' is refused: it is damaged. Delete it on OSF and push again."
            )
        return []

    def _version(self, file: File, version: int) -> list[Row] | None:
        """Return the rows of one version of the manifest; None if it is damaged."""

        def attempt() -> bytes:
            text = self.osf.once("GET", file.url, params={"version": str(version)}).content
            if version == file.version and hashlib.sha256(text).hexdigest() != file.sha256:
                raise transfer.Interrupted("the manifest arrived damaged")
            return text

        with explained(file.url):
            return runs.read(transfer.retrying(attempt))

    def publish(self, ours: list[Row]) -> None:
        """Make rows the current versions of their runs in the manifest, and keep all rows of others.

        OSF replaces a file without asking, but keeps each version under its number. So after writing, read every version
        since the one that was read before; write again if rows of another machine were lost in between, or if ours arrived
        damaged.
        """
        zips, known, latest, n_read = {row.zip for row in ours}, [], None, 0
        for _ in range(N_MERGES):
            url = self.folder(self.node)
            self._list(self.node)
            file, new = self.file(runs.MANIFEST), []
            for version in range(file.version if file else 0, n_read, -1):
                rows = self._version(file, version)
                latest = rows if version == file.version else latest
                new = runs.merged(rows or [], new)
                if rows is not None and not n_read:  # older ones are in it
                    break
            known, n_read = runs.merged(known, new), file.version if file else 0
            wanted = [row for row in known if row.zip not in zips] + ours
            if latest == wanted:
                return
            params = {"kind": "file"} | ({} if file else {"name": runs.MANIFEST})
            self.osf.call("PUT", file.url if file else url, (200, 201, 409), params=params, data=runs.write(wanted))
        raise InputError(f"Others are pushing to '{self.node}', too. All runs are there: push again to list them.")


def _address(entry: dict[str, Any]) -> str:
    return entry["links"]["upload"].partition("?")[0]


def _file(entry: dict[str, Any]) -> File:
    extra = entry["attributes"]["extra"]
    return File(extra["hashes"].get("sha256") or "", int(extra["version"]), _address(entry))
