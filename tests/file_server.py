"""A local HTTP server that does to a download what real ones do: cuts it, stalls, ignores ranges, changes the file."""

import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What one request is answered.

    `status` None: 200, 206 or 416, as the Range and If-Range headers ask. Of the body, `cut_after` bytes are sent before
    the connection is closed, or `stall_after` before nothing more comes; both count from where the range begins.
    `length`: "given", "chunked", or "none" (the end of the connection is the end of the file).
    """

    body: bytes = b""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    has_ranges: bool = True
    minds_if_range: bool = True
    cut_after: int | None = None
    stall_after: int | None = None
    length: str = "given"
    resets: bool = False


class LocalServer(ThreadingHTTPServer):
    """Serves `url` within a with statement; clients that go away in the middle are what the tests are about."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.has_stalled, self.is_closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.is_closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        pass


class QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *words):
        pass

    def reset(self):
        """Close the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class FileServer(LocalServer):
    """Answers a path with its answers, one a request, the last one again and again; `asked` holds the requests' headers."""

    def __init__(self):
        super().__init__(_Handler)
        self.answers, self.asked = {}, {}

    def put(self, path, *answers):
        """Set what a path is answered from now on, and return its address."""
        self.answers[path], self.asked[path] = list(answers), []
        return self.url + path

    def ranges(self, path):
        """The Range header of every request for a path."""
        return [headers.get("Range") for headers in self.asked[path]]


class _Handler(QuietHandler):
    def do_GET(self):
        answers = self.server.answers.get(self.path, [Answer(status=404)])
        self.server.asked.setdefault(self.path, []).append(dict(self.headers))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        if answer.resets:
            self.reset()
            return
        status, start = self._range(answer)
        self._send_headers(answer, status, start)
        self._send_body(answer, b"" if status == 416 else answer.body[start:])

    def _range(self, answer):
        """Status, and first byte of the body that is sent."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        validators = (answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        is_same = self.headers.get("If-Range") in (None, *validators) or not answer.minds_if_range
        if answer.status or not found or not answer.has_ranges or not is_same:
            return answer.status or 200, 0
        start = int(found[1])
        return (206, start) if start < len(answer.body) else (416, 0)

    def _send_headers(self, answer, status, start):
        n = len(answer.body)
        self.send_response(status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if status in (206, 416):
            self.send_header("Content-Range", f"bytes {start}-{n - 1}/{n}" if status == 206 else f"bytes */{n}")
        if answer.length == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length == "given":
            self.send_header("Content-Length", str(0 if status == 416 else n - start))
        self.send_header("Connection", "close")
        self.end_headers()

    def _send_body(self, answer, body):
        limits = [limit for limit in (answer.cut_after, answer.stall_after) if limit is not None]
        sent = body[: min(limits)] if limits else body
        if answer.length == "chunked":
            sent = b"%x\r\n%b\r\n" % (len(sent), sent) + (b"" if limits else b"0\r\n\r\n")
        self.wfile.write(sent)
        self.wfile.flush()
        if answer.stall_after is not None:
            self.server.has_stalled.set()
            self.server.is_closing.wait(30)
