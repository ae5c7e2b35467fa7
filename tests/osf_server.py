"""A local OSF: the JSON:API, WaterButler's file protocol, and the storage it redirects to, with faults on demand.

After api/files/serializers.py and api/base/pagination.py of CenterForOpenScience/osf.io, and server/api/v1/provider/ and
providers/osfstorage/ of CenterForOpenScience/waterbutler. API and WaterButler share an address, storage has another.
"""

import hashlib
import hmac
import json
import re
import socket
import struct
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TOKEN = "tOkEn-0123456789-sEcReT"
BLOCK_BYTES = 2**18
DRAINED_BYTES = 2**16  # WaterButler answers an upload it does not want before it has come, and hangs up
DATE = "2026-11-25T12:00:00.000000Z"


@dataclass
class Fault:
    """What goes wrong with one request.

    `kind`: "reset" before anything; "busy" (429), "fails" (`status`); "stalls", no answer; "cut" after the share `at` of
    what is sent or received; "lost", done, but never answered; "corrupt", a byte changes on its way.
    """

    kind: str
    at: float = 0.5
    status: int = 503
    retry_after: int | None = None


@dataclass
class Version:
    path: Path
    n_bytes: int
    md5: str
    sha256: str


@dataclass
class Node:
    """A file or a folder; a folder may have one of each under the same name."""

    id: str
    kind: str
    name: str
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

    @property
    def path(self):
        return f"/{self.id}" if self.kind == "file" else f"/{self.id}/" if self.parent else "/"

    @property
    def materialized(self):
        return "/" if not self.parent else self.parent.materialized + self.name + ("/" if self.kind == "folder" else "")

    def child(self, name, kind):
        return next((each for each in self.children if (each.name, each.kind) == (name, kind)), None)


@dataclass
class Project:
    id: str
    is_public: bool
    tokens: set[str]
    root: Node
    quota: int = 2**40


class OsfServer:
    """The two servers and what they hold.

    `faults(where, method, path)` returns a `Fault` or None for each request ("api", "files" or "storage"); it may also
    change what is there. `asked` lists (where, method, path, headers).
    """

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.ids, self.lock = count(1), threading.RLock()
        self.projects, self.nodes, self.asked = {}, {}, []
        self.faults = lambda where, method, path: None
        self.is_closing, self.has_stalled = threading.Event(), threading.Event()
        self.other_tokens = {"aNoThEr-token"}
        self.servers = [_Server(self, _Osf), _Server(self, _Storage)]
        self.origin, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)
        self.url = f"{self.origin}/v2"
        self.threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in self.servers]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.is_closing.set()
        for server, thread in zip(self.servers, self.threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self.folder.cleanup()

    def add_project(self, project_id, *, is_public=False):
        self.projects[project_id] = Project(project_id, is_public, {TOKEN}, self.node("folder", "", None))
        return self.projects[project_id]

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
        place = self.new_place()
        place.write_bytes(body)
        file.versions.append(Version(place, len(body), hashlib.md5(body).hexdigest(), hashlib.sha256(body).hexdigest()))
        return file

    def new_place(self):
        return Path(self.folder.name, str(next(self.ids)))

    def files(self, project_id, below=""):
        """The bytes of every file of a project by its path."""
        found, waiting = {}, [self.projects[project_id].root]
        while waiting:
            node = waiting.pop()
            waiting += node.children
            if node.kind == "file":
                found[node.materialized[1:]] = node.versions[-1].path.read_bytes()
        return {path.removeprefix(below): body for path, body in found.items() if path.startswith(below)}

    def count(self, where, method):
        return sum((each[0], each[1]) == (where, method) for each in self.asked)

    def signature(self, path):
        return hmac.new(b"storage's own", path.encode(), "sha256").hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, osf, handler):
        self.osf = osf
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request, client_address):
        """Clients that go away in the middle are what the tests are about."""


class _Gone(Exception):
    """The connection is closed; nothing more is said."""


class _Answered(Exception):
    """The request was refused, the connection stays."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    where = ""

    def log_message(self, *words):
        pass

    def handle_one(self):
        osf = self.server.osf
        self.to_read, self.fault = int(self.headers.get("Content-Length") or 0), None
        address = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        self.parts = [part for part in address.path.split("/") if part]
        self.where = self.place_of()
        osf.asked.append((self.where, self.command, self.path, dict(self.headers)))
        self.fault = osf.faults(self.where, self.command, self.path)
        try:
            self.begin()
            self.answer()
        except _Answered:
            pass
        except (_Gone, ConnectionError):
            self.close_connection = True

    do_GET = do_PUT = do_DELETE = handle_one

    def begin(self):
        """Let what was ordered go wrong before the request is looked at."""
        fault = self.fault
        if fault is None:
            return
        if fault.kind == "reset":
            self.hang_up()
        if fault.kind == "stalls":
            self.server.osf.has_stalled.set()
            self.server.osf.is_closing.wait(20)
            raise _Gone
        if fault.kind == "busy":
            self.refuse(429, {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)})
        if fault.kind == "fails":
            self.refuse(fault.status)

    def hang_up(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise _Gone

    def refuse(self, status, headers=None, data=None):
        """Answer without the body that is still to come, and hang up if it is a long one."""
        if self.to_read <= DRAINED_BYTES:
            self.rfile.read(self.to_read)
        else:
            self.close_connection = True
        self.to_read = 0
        self.send_json(status, data or {"code": status, "message": "no"}, headers)
        raise _Gone if self.close_connection else _Answered

    def send_json(self, status, data, headers=None):
        self.send_body(
            status, json.dumps(data).encode(), {"Content-Type": "application/vnd.api+json"} | (headers or {})
        )

    def send_body(self, status, body, headers):
        if self.fault and self.fault.kind == "lost":
            self.hang_up()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.send_part(body)

    def send_part(self, body):
        if self.fault and self.fault.kind == "cut":
            self.wfile.write(body[: int(len(body) * self.fault.at)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            raise _Gone
        self.wfile.write(body)
        self.wfile.flush()


class _Osf(_Handler):
    """API below /v2, WaterButler below /v1."""

    def place_of(self):
        return "api" if self.parts[:1] == ["v2"] else "files"

    def answer(self):
        self.check_token()
        osf, parts = self.server.osf, self.parts
        if self.where == "files" and parts[1:2] == ["resources"] and parts[3:5] == ["providers", "osfstorage"]:
            return self.files(self.project(parts[2]), parts[5:])
        if parts[1:2] == ["guids"] and len(parts) == 3:
            project = self.project(parts[2])
            return self.send_body(302, b"", {"Location": f"{osf.url}/nodes/{project.id}/"})
        if parts[1:2] == ["nodes"]:
            return self.node(self.project(parts[2]), parts[3:])
        return self.refuse(404)

    def check_token(self):
        """Fail on a token that OSF does not know, also where none is needed."""
        said = self.headers.get("Authorization")
        self.token = said.removeprefix("Bearer ") if said else None
        osf = self.server.osf
        if said and self.token not in {TOKEN} | osf.other_tokens:
            self.refuse(401)

    def project(self, project_id):
        project = self.server.osf.projects.get(project_id)
        if project is None:
            self.refuse(404)
        reads = self.command == "GET" and project.is_public
        if not reads and self.token not in project.tokens:
            self.refuse(403 if self.token else 401)
        return project

    # The API

    def node(self, project, rest):
        url = f"{self.server.osf.url}/nodes/{project.id}"
        if not rest:
            related = {"links": {"related": {"href": f"{url}/files/", "meta": {}}}}
            attributes = {
                "title": "Cats",
                "date_created": DATE,
                "date_modified": DATE,
                "description": "",
                "public": project.is_public,
            }
            data = {
                "id": project.id,
                "type": "nodes",
                "attributes": attributes,
                "links": {"self": f"{url}/"},
                "relationships": {"files": related},
            }
            return self.send_json(200, {"data": data})
        if rest == ["files"]:
            return self.send_json(200, {"data": [self.provider(project, url)], "links": {"next": None}})
        if rest[:2] == ["files", "osfstorage"]:
            folder = self.found(project, rest[2:], "folder")
            return self.page(project, folder, f"{url}/files/osfstorage{folder.path}")
        return self.refuse(404)

    def provider(self, project, url):
        files = self.address(project, project.root)
        return {
            "id": f"{project.id}:osfstorage", "type": "files",
            "attributes": {"kind": "folder", "name": "osfstorage", "path": "/", "node": project.id, "provider": "osfstorage"},
            "links": {"upload": files, "new_folder": f"{files}?kind=folder", "storage_addons": f"{url}/addons/"},
            "relationships": {"files": {"links": {"related": {"href": f"{url}/files/osfstorage/", "meta": {}}}}},
        }  # fmt: skip

    def page(self, project, folder, url):
        size = min(int(self.query.get("page[size]", 10)), 100)
        number = int(self.query.get("page", 1))
        children = sorted(folder.children, key=lambda child: child.id)
        shown = children[(number - 1) * size : number * size]
        is_last = number * size >= len(children)
        follows = None if is_last else f"{url}?page%5Bsize%5D={size}&page={number + 1}"
        meta = {"total": len(children), "per_page": size}
        return self.send_json(
            200, {"data": [self.item(project, child) for child in shown], "links": {"next": follows, "meta": meta}}
        )

    def item(self, project, node):
        osf, files = self.server.osf, self.address(project, node)
        attributes = {
            "name": node.name, "kind": node.kind, "path": node.path, "provider": "osfstorage", "guid": None,
            "materialized_path": node.materialized, "date_modified": None, "date_created": None, "size": None, "tags": [],
            "extra": {"hashes": {"md5": None, "sha256": None}}, "current_version": max(1, len(node.versions)),
        }  # fmt: skip
        links = {
            "self": f"{osf.url}/files/{node.id}/",
            "html": f"{osf.origin}/{node.id}",
            "upload": files,
            "delete": files,
            "move": files,
        }
        item = {"id": node.id, "type": "files", "attributes": attributes, "links": links, "relationships": {}}
        if node.kind == "folder":
            links["new_folder"] = f"{files}?kind=folder"
            href = f"{osf.url}/nodes/{project.id}/files/osfstorage{node.path}"
            item["relationships"]["files"] = {"links": {"related": {"href": href, "meta": {}}}}
        else:
            last = node.versions[-1]
            hashes = {"hashes": {"md5": last.md5, "sha256": last.sha256}, "downloads": 0}
            attributes |= {"size": last.n_bytes, "date_modified": DATE, "date_created": DATE, "extra": hashes}
            links["download"] = f"{osf.origin}/download/{node.id}/"
        return item

    # WaterButler

    def address(self, project, node):
        return f"{self.server.osf.origin}/v1/resources/{project.id}/providers/osfstorage{node.path}"

    def found(self, project, ids, kind=None):
        """The node of an address, which ends in a slash just where it is a folder's."""
        node = self.server.osf.nodes.get(ids[0]) if ids else project.root
        is_folder = urlsplit(self.path).path.endswith("/")
        if node is None or (node.kind == "folder") != is_folder or (kind and node.kind != kind):
            self.refuse(404)
        return node

    def files(self, project, ids):
        node = self.found(project, ids)
        if self.command == "PUT":
            return self.put(project, node)
        if self.command == "DELETE":
            with self.server.osf.lock:
                node.parent.children.remove(node)
                del self.server.osf.nodes[node.id]
            return self.send_body(204, b"", {})
        if node.kind == "folder":
            return self.send_json(200, {"data": [self.entity(project, child) for child in node.children]})
        if "meta" in self.query:
            return self.send_json(200, {"data": self.entity(project, node)})
        path = f"/{node.versions[-1].path.name}"
        osf = self.server.osf
        return self.send_body(302, b"", {"Location": f"{osf.storage}{path}?signature={osf.signature(path)}"})

    def entity(self, project, node):
        files = self.address(project, node)
        attributes = {
            "kind": node.kind, "name": node.name, "path": node.path, "materialized": node.materialized, "provider": "osfstorage",
            "resource": project.id, "extra": {},
        }  # fmt: skip
        links = {"move": files, "delete": files, "upload": f"{files}?kind=file"}
        if node.kind == "folder":
            links["new_folder"] = f"{files}?kind=folder"
        else:
            last = node.versions[-1]
            extra = {
                "version": len(node.versions),
                "downloads": 0,
                "checkout": None,
                "hashes": {"md5": last.md5, "sha256": last.sha256},
            }
            attributes |= {
                "extra": extra,
                "contentType": None,
                "modified": DATE,
                "modified_utc": DATE,
                "size": last.n_bytes,
            }
            links["download"] = files
        return {"id": f"osfstorage{node.path}", "type": "files", "attributes": attributes, "links": links}

    def put(self, project, node):
        kind, name = self.query.get("kind", "file"), self.query.get("name")
        if kind == "file" and "Content-Length" not in self.headers:
            self.refuse(411)
        if (node.kind == "folder") != (name is not None):
            self.refuse(400)
        if kind == "folder":
            return self.make_folder(project, node, name)
        if node.kind == "folder" and node.child(name, "file"):
            self.refuse(
                409, data={"code": 409, "message": f'Cannot complete action: file or folder "{name}" already exists'}
            )
        if self.to_read > project.quota:
            self.refuse(507)
        version = self.receive()
        with self.server.osf.lock:  # of two who create it at a time, OSF makes the second one's a new version
            old = node if node.kind == "file" else node.child(name, "file")
            file = old or self.server.osf.node("file", name, node)
            file.versions.append(version)
        return self.send_json(200 if old else 201, {"data": self.entity(project, file)})

    def make_folder(self, project, node, name):
        if self.to_read:
            self.refuse(413)
        with self.server.osf.lock:
            if node.child(name, "folder"):
                self.refuse(409)
            folder = self.server.osf.node("folder", name, node)
        return self.send_json(201, {"data": self.entity(project, folder)})

    def receive(self):
        """Take an upload in; one that does not come to its end leaves nothing."""
        fault, n_bytes = self.fault, self.to_read
        wanted = int(n_bytes * fault.at) if fault and fault.kind == "cut" else n_bytes
        md5, sha256, place = hashlib.md5(), hashlib.sha256(), self.server.osf.new_place()
        with place.open("wb") as file:
            while wanted and (block := self.rfile.read(min(BLOCK_BYTES, wanted))):
                if fault and fault.kind == "corrupt":
                    block, fault = bytes([block[0] ^ 1]) + block[1:], None
                for to in (md5.update, sha256.update, file.write):
                    to(block)
                wanted -= len(block)
        if wanted or (self.fault and self.fault.kind == "cut"):
            place.unlink()
            self.hang_up()
        self.to_read = 0
        return Version(place, n_bytes, md5.hexdigest(), sha256.hexdigest())


class _Storage(_Handler):
    """Where WaterButler redirects to: no token is wanted here, an address is signed."""

    def place_of(self):
        return "storage"

    def answer(self):
        osf = self.server.osf
        path = urlsplit(self.path).path
        place = Path(osf.folder.name, path.strip("/"))
        if self.query.get("signature") != osf.signature(path) or not place.is_file():
            self.refuse(403)
        self.send_file(place)

    def send_file(self, place):
        n_bytes, tag = place.stat().st_size, f'"{place.name}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") in (None, tag) else 0
        if start and start >= n_bytes:
            self.refuse(416, {"Content-Range": f"bytes */{n_bytes}"})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{n_bytes - 1}/{n_bytes}")
        self.send_header("Content-Length", str(n_bytes - start))
        self.send_header("ETag", tag)
        self.end_headers()
        with place.open("rb") as file:
            file.seek(start)
            if self.fault and self.fault.kind in ("cut", "corrupt", "lost"):
                return self.send_part(self.changed(file.read()))
            while block := file.read(BLOCK_BYTES):
                self.wfile.write(block)
        return None

    def changed(self, body):
        if self.fault.kind == "corrupt" and body:
            at = int(len(body) * self.fault.at) % len(body)
            return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        return body
