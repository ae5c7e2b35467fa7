"""Requests to OSF: osfclient's session, made patient and polite, with a token that no other host sees."""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from osfclient import OSF
from osfclient.exceptions import OSFException
from osfclient.models import OSFSession, Storage
from requests.adapters import HTTPAdapter

from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer

TOKEN = "OSF_TOKEN"
KEYRING = ("osf.io", "token")  # as in: keyring set osf.io token
SPREAD = 0.5  # share by which pauses differ between files that are under way side by side
UPLOAD_TIMEOUT_S = (20.0, 600.0)  # OSF answers an upload once it has put the file away
BLOCK_BYTES = 2**18
JSON = {"Accept": "application/vnd.api+json"}
FORBIDDEN = {
    401: f"OSF does not accept the token, or wants one. Set {TOKEN} to a personal access token of an account that may "
    "do this (osf.io/settings/tokens).",
    403: "The account that the token belongs to may not do this. Ask for access to the project, or take another token.",
    404: "There is no such project, folder or file. Look at the project's address: the five letters after osf.io/.",
    410: "It was deleted on OSF.",
    413: "The file is too large for OSF, which takes up to 5 GB a file.",
    507: "The project's storage is full. Move something to another project or component, or use add-on storage.",
}


def token() -> str | None:
    """Return the personal access token: `OSF_TOKEN`, else the keyring's where the library keyring is there; None: neither."""
    found = os.environ.get(TOKEN) or _from_keyring()
    if found and not re.fullmatch(r"[\x21-\x7e]+", found):
        raise InputError(
            f"{TOKEN} (or the keyring's entry) is no token: it holds spaces or odd characters. Copy it again."
        )
    return found or None


def _from_keyring() -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(*KEYRING)
    except KeyringError:  # no keyring on this machine, or it is locked
        return None


class Limiter:
    """Lets requests of all threads pass one by one, so many a second at most, and none while the server wants a pause."""

    def __init__(self, per_second: float) -> None:
        self.interval_s = 1 / per_second
        self.next_s = 0.0
        self.lock = threading.Lock()

    def wait(self) -> None:
        with self.lock:
            slot = max(time.monotonic(), self.next_s)
            self.next_s = slot + self.interval_s
        if (pause_s := slot - time.monotonic()) > 0:
            transfer.sleep(pause_s)

    def hold(self, pause_s: float) -> None:
        """Let nothing pass for a while."""
        with self.lock:
            self.next_s = max(self.next_s, time.monotonic() + min(pause_s, transfer.MAX_PAUSE_S))


class Session(OSFSession):
    """osfclient's session with timeouts, further tries, and one rate for all threads instead of one request a second.

    `get` and `put` raise `InputError` where OSF says no. Only requests to OSF itself carry the token: what it redirects
    to, such as the storage behind it, gets none.

    Parameters
    ----------
    base_url : str
        Address of the API, such as https://api.osf.io/v2.
    token : str, optional
        None: as anybody, which is enough to read public projects.
    rate : float
        Requests a second, all threads together.
    n_connections : int
        Requests at a time.
    """

    def __init__(self, base_url: str, token: str | None, *, rate: float, n_connections: int) -> None:
        super().__init__()
        self.base_url = base_url.rstrip("/")  # osfclient joins the parts of an address with slashes
        self.limiter = Limiter(rate)
        self.headers = requests.structures.CaseInsensitiveDict({"User-Agent": transfer.USER_AGENT})
        self.auth = partial(_authorise, token)  # also keeps requests from sending what ~/.netrc has for a host
        self.hooks["response"].append(transfer.refuse_other_schemes)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(n_connections, n_connections))
            self.get_adapter(scheme).poolmanager.connection_pool_kw["blocksize"] = BLOCK_BYTES
        base = urlsplit(self.base_url)
        if token and base.scheme != "https" and base.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InputError(
                f"'{transfer.shown(base_url)}' is not https, so the token is not sent there. Give an https address."
            )

    def trusts(self, url: str) -> bool:
        """Return whether an address is OSF's own: that of the API, or, for api.osf.io, any below osf.io."""
        base, other = urlsplit(self.base_url), urlsplit(url)
        if (base.scheme, base.netloc) == (other.scheme, other.netloc):
            return True
        domain = (base.hostname or "").removeprefix("api.")
        is_domain = domain != base.hostname and "." in domain
        return is_domain and other.scheme == "https" and f".{other.hostname}".endswith(f".{domain}")

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Send one request once; its answer is not looked at."""
        if not self.trusts(url):
            raise InputError(
                f"OSF names an address that is not its own, '{transfer.shown(url)}': nothing was sent there."
            )
        self.limiter.wait()
        response = super().request(method, url, **{"timeout": transfer.TIMEOUT_S} | kwargs)
        if response.status_code == 429:
            self.limiter.hold(transfer.retry_after(response))
        return response

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Called by requests at every redirect."""
        if not self.trusts(prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        """Ask until there is an answer; a stream is asked for once, whoever reads it looks after it."""
        if kwargs.get("stream"):
            return self.request("GET", url, **kwargs)
        return self._insist("GET", url, headers=JSON, **kwargs)

    def put(self, url: str, *, may_exist: bool = False, **kwargs: Any) -> requests.Response:
        """Make a folder; `may_exist`: 409 is an answer too."""
        return self._insist("PUT", url, headers=JSON, allowed=(409,) if may_exist else (), **kwargs)

    def _insist(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        try:
            return transfer.insist(partial(self.once, method, url, **kwargs), spread=SPREAD)
        except transfer.Interrupted as error:
            raise gave_up(url, error) from error

    def once(self, method: str, url: str, allowed: tuple[int, ...] = (), **kwargs: Any) -> requests.Response:
        """Send one request; raise `web.Interrupted` where another try may help, `InputError` where OSF says no."""
        with transfer.network_errors(partial(refused, url)):
            response = self.request(method, url, **kwargs)
            transfer.raise_if_busy(response)
        if not response.ok and response.status_code not in allowed:
            raise refused(url, f"the answer is {response.status_code}", response.status_code)
        return response


def _authorise(token: str | None, request: requests.PreparedRequest) -> requests.PreparedRequest:
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


def refused(url: str, why: str, status: int = 0) -> InputError:
    """Return the error for a request that no further try can help."""
    hint = FORBIDDEN.get(status, "Look at status.cos.io whether OSF has trouble.")
    return InputError(f"OSF cannot be used: '{transfer.shown(url)}': {why}. {hint}")


def gave_up(url: str, error: transfer.Interrupted) -> InputError:
    """Return the error for a request that was tried long enough."""
    asked = f" It asks to wait for {error.pause_s:.0f} s." if error.pause_s > transfer.MAX_PAUSE_S else ""
    return InputError(
        f"OSF could not be reached, tried {len(transfer.PAUSES_S) + 1} times: '{transfer.shown(url)}': {error}.{asked} "
        "What is done is done: give the same command again later."
    )


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Turn an answer that is not made as OSF's are into the error that says so."""
    try:
        yield
    except InputError:
        raise
    except (OSFException, RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"'{transfer.shown(url)}' does not answer as OSF does about a project or component: {type(error).__name__} {error}. "
            "Check the ID."
        ) from error


def storage(session: Session, project: str) -> Storage:
    """Return osfclient's view of a project's own storage."""
    if not re.fullmatch(r"[A-Za-z0-9]{3,12}", project):
        raise InputError(f"No project ID: '{project}'. It is the five letters and digits after osf.io/ in its address.")
    osf = OSF()
    osf.session = session
    with understood(f"{session.base_url}/guids/{project}"):
        return osf.project(project).storage()
