"""A local OSF: its API as far as we use it, WaterButler's file protocol, and the storage it redirects to, with faults on demand.

After api/files/serializers.py of CenterForOpenScience/osf.io, and server/api/v1/provider/ and providers/osfstorage/ of
CenterForOpenScience/waterbutler. API and WaterButler share an address; the storage has another one.
"""

import hashlib
import hmac
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs, urlsplit

from file_server import LocalServer, QuietHandler

TOKEN = "tOkEn-0123456789-sEcReT"
OTHER_TOKEN = "aNoThEr-token"
DRAINED_BYTES = 2**16  # WaterButler answers an upload it refuses before it has arrived, and closes the connection


@dataclass
class Fault:
    """What goes wrong with one request.

    `kind`: "reset" before anything; "busy" (429); "fails" (`status`); "stalls", no answer; "cut" after the share `at` of
    what is sent or received; "lost", done, but never answered; "corrupt", one byte changes on its way.
    """

    kind: str
    at: float = 0.5
    status: int = 503
    retry_after: int | None = None


@dataclass
class Node:
    """A file with all its versions, or a folder."""

    id: str
    kind: str
    name: str
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    versions: list[bytes] = field(default_factory=list)

    @property
    def path(self):
        return f"/{self.id}" if self.kind == "file" else f"/{self.id}/" if self.parent else "/"

    def child(self, name, kind):
        return next((each for each in self.children if (each.name, each.kind) == (name, kind)), None)


@dataclass
class Project:
    id: str
    root: Node
    is_public: bool = False
    quota: int = 2**40


class OsfServer:
    """The two servers and what they hold.

    `faults(where, method, path)` returns a `Fault` or None for each request ("api", "files" or "storage"); it may also
    change what is there. `asked` lists (where, method, path, headers).
    """

    def __init__(self):
        self.ids, self.lock = count(1), threading.RLock()
        self.projects, self.nodes, self.asked = {}, {}, []
        self.faults = lambda where, method, path: None
        self.servers = [LocalServer(_Osf), LocalServer(_Storage)]
        self.origin, self.storage = (server.url for server in self.servers)
        self.url = f"{self.origin}/v2"

    def __enter__(self):
        for server in self.servers:
            server.osf = self
            server.__enter__()
        return self

    def __exit__(self, *error):
        for server in self.servers:
            server.__exit__()

    def add_project(self, project_id):
        self.projects[project_id] = Project(project_id, self.node("folder", "", None))

    def node(self, kind, name, parent):
        with self.lock:
            node = Node(f"{next(self.ids):024x}", kind, name, parent)
            self.nodes[node.id] = node
            if parent:
                parent.children.append(node)
            return node

    def write(self, project_id, path, body):
        """Put a file into a project, as somebody else would; return its node."""
        node = self.projects[project_id].root
        *folders, name = path.split("/")
        for folder in folders:
            node = node.child(folder, "folder") or self.node("folder", folder, node)
        file = node.child(name, "file") or self.node("file", name, node)
        file.versions.append(body)
        return file

    def files(self, project_id):
        """The newest bytes of every file of a project by its path."""
        found, waiting = {}, [("", self.projects[project_id].root)]
        while waiting:
            above, node = waiting.pop()
            waiting += [(f"{above}/{each.name}", each) for each in node.children]
            if node.kind == "file":
                found[above[1:]] = node.versions[-1]
        return found

    def count(self, where, method):
        return sum(each[:2] == (where, method) for each in self.asked)

    def signature(self, path):
        return hmac.new(b"storage's own", path.encode(), "sha256").hexdigest()


class _Done(Exception):
    """Nothing more is said about this request."""


class _Handler(QuietHandler):
    def handle_one(self):
        self.osf, self.to_read = self.server.osf, int(self.headers.get("Content-Length") or 0)
        address = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        self.parts = [part for part in address.path.split("/") if part]
        where = self.where()
        self.osf.asked.append((where, self.command, self.path, dict(self.headers)))
        self.fault = self.osf.faults(where, self.command, self.path) or Fault("none")
        try:
            self.fail_early()
            self.answer()
        except _Done:
            pass
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = handle_one

    def fail_early(self):
        if self.fault.kind == "reset":
            self.hang_up()
        if self.fault.kind == "stalls":
            self.server.is_closing.wait(20)
            self.hang_up()
        if self.fault.kind == "busy":
            after = self.fault.retry_after
            self.refuse(429, {} if after is None else {"Retry-After": str(after)})
        if self.fault.kind == "fails":
            self.refuse(self.fault.status)

    def hang_up(self):
        self.reset()
        self.close_connection = True
        raise _Done

    def refuse(self, status, headers=None):
        """Answer without the body that is still to come, and hang up if it is a long one."""
        self.close_connection = self.to_read > DRAINED_BYTES
        self.rfile.read(0 if self.close_connection else self.to_read)
        self.send(status, {"code": status, "message": "no"}, headers)
        raise _Done

    def send(self, status, content, headers=None):
        """Send an answer, a piece of it, or none, as the fault wants it."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        if self.fault.kind == "lost":
            self.hang_up()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.fault.kind == "cut":
            self.wfile.write(body[: int(len(body) * self.fault.at)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            raise _Done
        self.wfile.write(body)


class _Osf(_Handler):
    """The API below /v2, WaterButler below /v1."""

    def where(self):
        return "api" if self.parts[:1] == ["v2"] else "files"

    def answer(self):
        said = self.headers.get("Authorization")
        self.token = said.removeprefix("Bearer ") if said else None
        if self.token not in (None, TOKEN, OTHER_TOKEN):  # an unknown token is refused even where none is needed
            self.refuse(401)
        match self.parts:
            case ["v2", "guids", project]:
                location = f"{self.osf.url}/nodes/{self.project(project).id}/"
                self.send(302, b"", {"Location": location})
            case ["v2", "nodes", project]:
                href = f"{self.osf.url}/nodes/{self.project(project).id}/files/"
                related = {"files": {"links": {"related": {"href": href, "meta": {}}}}}
                self.send(200, {"data": {"id": project, "type": "nodes", "relationships": related}})
            case ["v2", "nodes", project, "files"]:
                files = self.address(self.project(project), self.project(project).root)
                attributes = {"kind": "folder", "name": "osfstorage", "path": "/", "provider": "osfstorage"}
                self.send(
                    200, {"data": [{"attributes": attributes, "links": {"upload": files}}], "links": {"next": None}}
                )
            case ["v1", "resources", project, "providers", "osfstorage", *ids]:
                self.files(self.project(project), ids)
            case _:
                self.refuse(404)

    def project(self, project_id):
        project = self.osf.projects.get(project_id)
        if project is None:
            self.refuse(404)
        is_allowed = self.token == TOKEN or (self.command == "GET" and project.is_public)
        if not is_allowed:
            self.refuse(403 if self.token else 401)
        return project

    def address(self, project, node):
        return f"{self.osf.origin}/v1/resources/{project.id}/providers/osfstorage{node.path}"

    def files(self, project, ids):
        node = self.osf.nodes.get(ids[0]) if ids else project.root
        is_folder = urlsplit(self.path).path.endswith("/")  # just where it is a folder's address
        if node is None or (node.kind == "folder") != is_folder:
            self.refuse(404)
        if self.command == "PUT":
            self.put(project, node)
        elif is_folder:
            self.send(200, {"data": [self.entity(project, child) for child in node.children]})
        else:
            path = f"/{node.id}/{self.query.get('version', len(node.versions))}"
            self.send(302, b"", {"Location": f"{self.osf.storage}{path}?signature={self.osf.signature(path)}"})

    def entity(self, project, node):
        files = self.address(project, node)
        attributes = {"kind": node.kind, "name": node.name, "path": node.path, "provider": "osfstorage", "extra": {}}
        if node.kind == "file":
            hashes = {kind: hashlib.new(kind, node.versions[-1]).hexdigest() for kind in ("md5", "sha256")}
            attributes |= {"size": len(node.versions[-1]), "extra": {"version": len(node.versions), "hashes": hashes}}
        links = {"upload": f"{files}?kind=file"}
        return {"id": f"osfstorage{node.path}", "type": "files", "attributes": attributes, "links": links}

    def put(self, project, node):
        kind, name = self.query.get("kind", "file"), self.query.get("name")
        if kind == "file" and "Content-Length" not in self.headers:
            self.refuse(411)
        if (node.kind == "folder") != (name is not None):
            self.refuse(400)
        if node.kind == "folder" and node.child(name, kind):
            self.refuse(409)
        if self.to_read > project.quota:
            self.refuse(507)
        body = self.receive()
        with self.osf.lock:  # when two create a file at the same time, OSF makes the second one a new version
            old = node if node.kind == "file" else node.child(name, kind)
            new = old or self.osf.node(kind, name, node)
            if kind == "file":
                new.versions.append(body)
        self.send(200 if old else 201, {"data": self.entity(project, new)})

    def receive(self):
        """Read an upload; one that does not arrive completely leaves nothing."""
        wanted = int(self.to_read * self.fault.at) if self.fault.kind == "cut" else self.to_read
        body = self.rfile.read(wanted)
        if len(body) < self.to_read or self.fault.kind == "cut":
            self.hang_up()
        return _changed(body, 0) if self.fault.kind == "corrupt" else body


class _Storage(_Handler):
    """Where WaterButler redirects to: no token is wanted here; addresses are signed."""

    def where(self):
        return "storage"

    def answer(self):
        path = urlsplit(self.path).path
        if self.query.get("signature") != self.osf.signature(path):
            self.refuse(403)
        body, tag = self.osf.nodes[self.parts[0]].versions[int(self.parts[1]) - 1], f'"{path}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") in (None, tag) else 0
        if start and start >= len(body):
            self.refuse(416, {"Content-Range": f"bytes */{len(body)}"})
        part = _changed(body[start:], self.fault.at) if self.fault.kind == "corrupt" else body[start:]
        place = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        self.send(206 if start else 200, part, {"ETag": tag} | place)


def _changed(body, at):
    place = int(len(body) * at)
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else body
