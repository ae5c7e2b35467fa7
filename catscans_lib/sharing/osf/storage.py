"""The storage of an OSF project: requests with the token, a profile's folder, uploads, downloads."""

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
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf.runs import Version, is_safe, version_at

TOKEN = "OSF_TOKEN"
UPLOAD_TIMEOUT_S = (20.0, 600.0)  # OSF answers only once it has stored the file
MAX_BYTES = int(4.9 * 2**30)  # OSF cuts larger files without notice
ADVICE = {
    401: f"OSF needs a token, or does not accept this one. Set {TOKEN} to a personal access token of an account with "
    "access to the project (osf.io/settings/tokens).",
    403: "The account of the token has no access. Ask for access to the project, or use another token.",
    404: "There is no such project, folder or file. Check the project's address: its ID follows osf.io/.",
    507: "The storage of the project is full. Move files to another project or component, or use add-on storage.",
}


def token() -> str | None:
    """Return the personal access token of `OSF_TOKEN`; None if it is not set."""
    found = os.environ.get(TOKEN)
    if found and not re.fullmatch(r"[\x21-\x7e]+", found):
        raise InputError(f"{TOKEN} is not a token: it has unusual characters. Copy it again.")
    return found or None


class Session(requests.Session):
    """Requests to OSF alone, with the token; redirects to the cloud storage behind it are followed without the token."""

    def __init__(self, base_url: str, token: str | None) -> None:
        super().__init__()
        transfer.prepared(self)
        self.base_url = base_url.rstrip("/")
        self.auth = partial(_authorise, token)  # also keeps requests from sending the passwords in ~/.netrc
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        base = urlsplit(self.base_url)
        if token and base.scheme != "https" and base.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InputError(f"'{transfer.shown(base_url)}' is not https, so it gets no token. Give an https address.")

    def trusts(self, url: str) -> bool:
        """Return whether an address is OSF's own: the API's, or, if that is below osf.io, any https address below osf.io."""
        base, other = urlsplit(self.base_url), urlsplit(url)
        are_osf = all(f".{each.hostname}".endswith(".osf.io") and each.scheme == "https" for each in (base, other))
        return are_osf or (base.scheme, base.netloc) == (other.scheme, other.netloc)

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send one request; do not check the status of the answer."""
        if not self.trusts(url):
            raise InputError(f"OSF's answer names a foreign address, '{transfer.shown(url)}': nothing was sent there.")
        timeout_s = UPLOAD_TIMEOUT_S if method == "PUT" else transfer.TIMEOUT_S
        return super().request(method, url, **{"timeout": timeout_s} | kwargs)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the token when a redirect leaves OSF; requests calls this at every redirect."""
        if not self.trusts(prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def once(self, method: str, url: str, allowed: tuple[int, ...] = (200,), **kwargs: Any) -> requests.Response:
        """Send a request; raise `transfer.Interrupted` or `transfer.Refused` if it fails."""
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
    """Turn failed requests and unexpected answers into InputError."""
    where = f"'{transfer.shown(url)}'"
    try:
        yield
    except InputError:
        raise
    except transfer.Refused as error:
        advice = ADVICE.get(error.status, "Run the command again later; status.cos.io lists known problems of OSF.")
        raise InputError(f"OSF cannot be used: {where}: {error}. {advice}") from None
    except transfer.Interrupted as error:
        raise InputError(
            f"OSF could not be reached after {transfer.RETRY.total} retries: {where}: {error}. What was transferred is "
            "kept: run the same command again later."
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{where} does not answer like OSF: {error!r}. Check the ID of the project.") from error


class File(NamedTuple):
    """A file on OSF: SHA-256 and size as OSF reports them, and its address."""

    sha256: str
    n_bytes: int
    url: str


class Storage:
    """A profile's folder `node` on OSF. `folders` has the address of each folder by path, `listed` the files in it by name."""

    def __init__(self, session: Session, project: str, node: str) -> None:
        self.session, self.node = session, node
        self.listed: dict[str, dict[str, File]] = {}
        self.folders = {"": self._root(project)}
        parts = node.split("/")
        for folder in ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]:
            if folder in self.folders:
                self._list(folder)
        for step in [path for path in self.folders if path.startswith(f"{node}/")]:
            self._list(step)

    def _root(self, project: str) -> str:
        """Return the address of the project's own storage, which depends on its storage region."""
        url = f"{self.session.base_url}/guids/{project}/"
        with explained(url):
            related = self.session.data(url)["relationships"]["files"]["links"]["related"]["href"]
            providers = {each["attributes"]["provider"]: each for each in self.session.data(related)}
            return _address(providers["osfstorage"])

    def _list(self, folder: str) -> dict[str, File]:
        """List a folder, without names that are hidden or unsafe: those are not ours. Return its files by name."""
        url = self.folders[folder]
        with explained(url):
            entries = {each["attributes"]["name"]: each for each in self.session.data(url, meta="")}
            safe = {name: each for name, each in entries.items() if is_safe(name)}
            are_folders = {name: each["attributes"]["kind"] == "folder" for name, each in safe.items()}
            self.folders |= {f"{folder}/{name}".lstrip("/"): _address(safe[name]) for name in safe if are_folders[name]}
            self.listed[folder] = {name: _file(safe[name]) for name in safe if not are_folders[name]}
        return self.listed[folder]

    def file(self, path: str) -> File | None:
        """Return a file by its path below the profile's folder."""
        folder, _, name = f"{self.node}/{path}".rpartition("/")
        return self.listed.get(folder, {}).get(name)

    def versions(self) -> dict[str, list[Version]]:
        """Return the undamaged versions of every run, the newest last; none for a run whose zips are all damaged."""
        found: dict[str, list[Version]] = {}
        for folder, files in self.listed.items():
            for name, file in files.items():
                version = version_at(f"{folder}/{name}".removeprefix(f"{self.node}/"), file.n_bytes)
                if version and folder.startswith(f"{self.node}/"):
                    versions = found.setdefault(version.key, [])
                    if file.sha256.startswith(version.sha256):
                        versions.append(version)
        return {key: sorted(versions, key=lambda version: version.finished) for key, versions in found.items()}

    def folder(self, path: str) -> str:
        """Return the address of a folder; make it if it is missing."""
        if path not in self.folders:
            above, _, name = path.rpartition("/")
            params = {"kind": "folder", "name": name}
            self.session.call("PUT", self.folder(above), (201, 409), params=params)  # 409: an earlier attempt made it
            self._list(above)
            self.listed.setdefault(path, {})
        if path not in self.folders:
            raise InputError(f"OSF does not make the folder '{path}'. Look at the project's files, then try again.")
        return self.folders[path]

    def upload(self, path: str, source: Path, sha256: str, bar: tqdm) -> None:
        """Send a zip, unless it is there. After a failure, look first at what arrived: no file is sent twice."""
        n_bytes = source.stat().st_size
        if n_bytes > MAX_BYTES:
            raise InputError(f"'{path}' has {n_bytes:,} bytes; OSF stores {MAX_BYTES:,} per file.")
        folder, _, name = f"{self.node}/{path}".rpartition("/")
        is_first = True

        def attempt() -> None:
            nonlocal is_first
            there = self.file(path) if is_first else self._list(folder).get(name)
            is_first = False
            if there and there.sha256 == sha256:
                return
            # A damaged one is replaced.
            url, params = (there.url, {}) if there else (self.folder(folder), {"name": name})
            with source.open("rb") as file:
                body = CallbackIOWrapper(bar.update, file)
                answer = self.session.once("PUT", url, (200, 201, 409), params={"kind": "file"} | params, data=body)
            if answer.status_code == 409 or _file(answer.json()["data"]).sha256 != sha256:
                raise transfer.Interrupted(f"'{path}' did not arrive undamaged")

        with explained(path):
            transfer.retrying(attempt, say=bar.set_postfix_str)

    def download(self, version: Version, path: Path, bar: tqdm) -> None:
        """Download a zip to `path`; resume a partial download."""
        sha256, n_bytes, url = self.file(version.path)
        file = Download(url, f"sha256:{sha256}", n_bytes, name=path.name)
        with explained(url):
            transfer.Transfer(self.session, url, path, file, bar).run()


def _address(entry: dict[str, Any]) -> str:
    return entry["links"]["upload"].partition("?")[0]


def _file(entry: dict[str, Any]) -> File:
    known = entry["attributes"]
    return File(known["extra"]["hashes"].get("sha256") or "", int(known["size"]), _address(entry))
