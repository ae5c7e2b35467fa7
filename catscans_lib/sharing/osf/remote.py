"""The copy's folder on OSF: what lies in it, and how folders are made there."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath

import requests
from osfclient.models import File, Folder, Storage
from osfclient.models.file import _WaterButlerFolder

from catscans_lib.errors import InputError
from catscans_lib.sharing.osf import session as osf
from catscans_lib.sharing.osf.manifest import is_hidden, is_safe

PAGE = "page[size]=100"  # OSF's default is ten
META = {"meta": ""}  # tell of a file or folder rather than send it
AnyFolder = Storage | Folder | _WaterButlerFolder


@dataclass(frozen=True)
class Remote:
    """A file on OSF: checksum and size as OSF has computed them, and the address to send to and to fetch from."""

    sha256: str
    n_bytes: int
    url: str


@dataclass
class Copy:
    """A folder in a project's storage.

    `files` holds what was in it when it was read, by paths from it on; `folders`, by paths from the storage on, also what
    was made since.
    """

    session: osf.Session
    node: str
    files: dict[str, Remote] = field(default_factory=dict)
    folders: dict[str, AnyFolder] = field(default_factory=dict)

    @classmethod
    def read(cls, session: osf.Session, project: str, node: str, n_jobs: int) -> "Copy":
        """List the folder with all below it; empty where it is not there yet."""
        if not all(is_safe(name) and not is_hidden(name) for name in node.split("/")):
            raise InputError(
                f"No folder of a project: '{node}'. Give its path in the project's storage, such as results/demo."
            )
        copy = cls(session, node, folders={"": osf.storage(session, project)})
        path = ""
        for name in node.split("/"):
            found = [each for each in _children(copy.folders[path]) if isinstance(each, Folder) and each.name == name]
            if not found:
                return copy
            path = f"{path}/{name}".lstrip("/")
            copy.folders[path] = found[0]
        copy._list_all(n_jobs)
        return copy

    def _list_all(self, n_jobs: int) -> None:
        """List level by level, the folders of a level side by side."""
        level = [self.node]
        with ThreadPoolExecutor(n_jobs) as pool:
            while level:
                lists = list(pool.map(lambda path: _children(self.folders[path]), level))
                found = [
                    (f"{path}/{each.name}", each)
                    for path, children in zip(level, lists, strict=True)
                    for each in children
                ]
                self.folders |= {path: each for path, each in found if isinstance(each, Folder)}
                self.files |= {
                    path.removeprefix(f"{self.node}/"): _remote(each.hashes, each.size, each._upload_url)
                    for path, each in found if isinstance(each, File)
                }  # fmt: skip
                level = [path for path, each in found if isinstance(each, Folder)]

    def make_folders(self, paths: Iterable[str], do: Callable[[list[Callable[[], object]]], object]) -> None:
        """Make the folders that files are to lie in, level by level; `do` does the jobs of a level side by side."""
        places = [PurePosixPath(self.node, path) for path in paths]
        missing = {each.as_posix() for place in places for each in place.parents if each.name} - set(self.folders)
        for _, level in groupby(sorted(missing, key=_depth), key=_depth):
            do([partial(self._make, path) for path in level])

    def folder_of(self, path: str) -> AnyFolder:
        """Return the folder that a file lies in."""
        return self.folders[f"{self.node}/{path}".rpartition("/")[0]]

    def _make(self, path: str) -> None:
        """Make a folder; one that is there, perhaps by a try whose answer was lost, is as good."""
        above, _, name = path.rpartition("/")
        parent = self.folders[above]
        answer = self.session.put(parent._new_folder_url, may_exist=True, params={"name": name})
        with osf.understood(answer.url):
            data = answer.json()["data"] if answer.ok else self._find(parent, "folder", name)
            if data is None:
                raise InputError(
                    f"OSF neither has nor makes the folder '{path}'. Look at the project's files, then try again."
                )
            self.folders[path] = _WaterButlerFolder(data, self.session)

    def look_up(self, path: str) -> Remote | None:
        """Return a file as it is on OSF now."""
        data = self._find(self.folder_of(path), "file", path.rpartition("/")[2])
        return _remote_of(data) if data else None

    def _find(self, folder: AnyFolder, kind: str, name: str) -> dict | None:
        """What a folder has under a name, by WaterButler: it also answers about folders made a moment ago."""
        answer = self.session.get(folder._new_file_url, params=META)
        with osf.understood(answer.url):
            known = {(each["attributes"]["kind"], each["attributes"]["name"]): each for each in answer.json()["data"]}
        return known.get((kind, name))

    def look_at(self, url: str) -> Remote | None:
        """Return what the file at an address is now; None: it is gone."""
        answer = self.session.get(url, params=META, allowed=(404, 410))
        return answered(answer) if answer.ok else None


def answered(answer: requests.Response) -> Remote:
    """Return what WaterButler tells of a file."""
    with osf.understood(answer.url):
        return _remote_of(answer.json()["data"])


def _remote_of(data: dict) -> Remote:
    return _remote(data["attributes"]["extra"]["hashes"], data["attributes"]["size"], data["links"]["upload"])


def _remote(hashes: dict[str, str | None], n_bytes: int | str | None, url: str) -> Remote:
    return Remote(hashes.get("sha256") or "", int(n_bytes or 0), url)


def _depth(path: str) -> int:
    return path.count("/")


def _children(folder: AnyFolder) -> list[File | Folder]:
    """Files and folders right in a folder; hidden ones are not ours."""
    url = folder._files_url
    with osf.understood(url):
        listed = folder._follow_next(f"{url}{'&' if '?' in url else '?'}{PAGE}")
        names = [each["attributes"]["name"] for each in listed]
        odd = [name for name in names if not is_safe(name)]
        if odd:
            raise InputError(f"A file on OSF has the name {odd[0]!r}, which is none on every system. Rename it there.")
        kinds = [File if each["attributes"]["kind"] == "file" else Folder for each in listed]
        rows = zip(listed, names, kinds, strict=True)
        return [kind(each, folder.session) for each, name, kind in rows if not is_hidden(name)]
