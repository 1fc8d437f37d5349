"""HTTP: each request is checked, handed to the stand-in, and its answer sent."""

import base64
import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from kaggle_stand_in.answers import Body, ConnectionBroken, Redirect, RefusedError, part_of

if TYPE_CHECKING:
    from kaggle_stand_in.server import StandIn

API = "/api/v1/"
LOG_STREAM = "/api/v1/kernels/logs/stream/"
OPEN_TO_ALL = {"security.OAuthService/IntrospectToken"}


class Server(ThreadingHTTPServer):
    """Listens on a free port; closing it ends every connection and its thread."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 64

    def __init__(self, stand_in: "StandIn"):
        self.stand_in = stand_in
        self.errors: list[BaseException] = []  # of the stand-in itself
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request, client_address):
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        with self._lock:
            for connection in self._connections:
                end(connection)
        super().server_close()


def end(connection: socket.socket) -> None:
    """End a connection, whose other side may have done so already."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        self._answer(self._call)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(self._upload)

    def log_message(self, *_: object) -> None:
        """Say nothing: tests read `calls`."""

    def _answer(self, answer) -> None:
        self.parts = urlsplit(self.path)
        try:
            body = self._body()
            try:
                answer(body)
            except RefusedError as error:
                message = {"code": error.status, "message": error.message}
                self._send_json(message, error.status, error.headers)
            self.wfile.flush()
        except ConnectionBroken:
            self.wfile.flush()
            self.close_connection = True
            end(self.connection)
        except ConnectionError:
            self.close_connection = True  # the client is gone
        except Exception as error:
            self.server.stand_in.report(error)
            self.close_connection = True
            self._send_json({"code": 500, "message": f"the stand-in failed: {error!r}"}, 500)

    def _call(self, body: bytes) -> None:
        """A method of the API."""
        method = self.parts.path.removeprefix(API)
        if method not in OPEN_TO_ALL:
            self._require_credentials()
        answer = self.server.stand_in.call(method, json.loads(body or b"{}"))
        if isinstance(answer, Redirect):
            self._send(HTTPStatus.FOUND, {"Location": answer.url})
        else:
            self._send_json(answer)

    def _get(self, _: bytes) -> None:
        """A file, or the log of a kernel."""
        path = self.parts.path
        query = {key: values[0] for key, values in parse_qs(self.parts.query).items()}
        if path.startswith(LOG_STREAM):
            self._require_credentials()
            self._stream_log(unquote(path.removeprefix(LOG_STREAM)), query.get("versionLabel", ""))
            return
        stand_in = self.server.stand_in
        stand_in.note(self.command, {"path": path, "range": self.headers["Range"]})
        name, file = stand_in.file_at(path, query.get("Signature", ""))
        part = part_of(file, self.headers["Range"], self.headers["If-Range"])
        self._start(part.status, part.headers)
        break_after = stand_in.breaks.next(name)
        for block in part.blocks(break_after):
            self.wfile.write(block)
        if break_after is not None and break_after < part.length:
            stand_in.expire(query.get("Signature", ""))
            raise ConnectionBroken

    def _upload(self, body: bytes) -> None:
        self.server.stand_in.receive(self.parts.path, body)
        self._send(HTTPStatus.OK, {})

    def _stream_log(self, ref: str, label: str) -> None:
        """The lines as they come, or all of them at once where the run is over."""
        finished, events = self.server.stand_in.log_events(ref, label)
        if finished:
            self._send_json(list(events))
            return
        headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        self._start(HTTPStatus.OK, headers)
        self.wfile.flush()
        for event in events:
            self._send_chunk(f"data: {json.dumps(event)}\n\n")
        self._send_chunk("data: END_OF_LOG\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode("ascii"))
        self.wfile.flush()

    def _require_credentials(self) -> None:
        stand_in = self.server.stand_in
        kind, _, value = (self.headers["Authorization"] or "").partition(" ")
        basic = base64.b64encode(f"{stand_in.user}:{stand_in.key}".encode()).decode()
        if (kind, value) not in (("Basic", basic), ("Bearer", stand_in.token)):
            raise RefusedError(401, "Unauthenticated")

    def _body(self) -> bytes:
        """What was sent, whole or in chunks."""
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send_json(
        self, answer: Body | list[Body], status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        content = json.dumps(answer).encode()
        about = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        self._send(status, about, content)

    def _send(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self._start(status, {**headers, "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
