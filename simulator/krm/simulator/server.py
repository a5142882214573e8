"""The sockets: HTTP/1.1 on loopback, a thread a connection, keep-alive, chunked watches, optional TLS."""

from __future__ import annotations

import gzip
import select
import socket
import ssl
import threading
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from .access import Access
from .control import Control
from .messages import Answer, Request
from .routes import Routes, Timing
from .watching import Cut
from .world import World

MAX_HEAD = 256 * 1024  # bytes of request line and headers
MAX_BODY = 3 * 1024 * 1024
PACK_FROM = 128 * 1024  # bytes from which the API server gzips for those who ask
IDLE = 300.0  # seconds a connection may wait for its next request


class Server:
    """Serves a world. `with Server(world) as server: server.url`. Binds loopback only.

    port 0: any free one. tls: an ssl context of a server. access: None lets everyone do everything.
    """

    def __init__(
        self,
        world: World,
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        access: Optional[Access] = None,
        timing: Optional[Timing] = None,
        host: str = "127.0.0.1",
    ) -> None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("the simulator binds loopback only, not %r" % host)
        self.world, self.tls, self.access, self.host, self.port = world, tls, access, host, port
        self.timing = timing or Timing()
        self.routes = Routes(world, access, self.timing)
        self.control = Control(self)
        self.requests: Dict[Tuple[str, str], int] = {}  # (method, path) -> how often, for tests
        self._lock = threading.Lock()
        self._listener: Optional[socket.socket] = None
        self._connections: Set[socket.socket] = set()
        self._threads: List[threading.Thread] = []

    # -- life

    @property
    def url(self) -> str:
        return "%s://%s:%d" % ("https" if self.tls else "http", self.host, self.port)

    def start(self) -> Server:
        """Listen; answers itself. Refused connections end here."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(512)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="accept", daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the listener and every connection: from now on connections are refused."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _hang_up(listener)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _hang_up(connection)
        self.world.faults.cut_all()

    pause = stop

    def resume(self) -> None:
        """Listen again on the same port."""
        if self._listener is None:
            self.start()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- connections

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="connection", daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(IDLE)
            if self.tls is not None:
                connection = self.tls.wrap_socket(raw, server_side=True)
            with self._lock:
                self._connections.add(connection)
            reader = connection.makefile("rb", 65536)
            while self._listener is not None and self._exchange(connection, reader):
                pass
        except (OSError, ValueError, Cut):
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            _hang_up(connection)

    def _exchange(self, connection: socket.socket, reader: Any) -> bool:
        """One request and its answer; answers whether the connection goes on."""
        request = read_request(reader)
        if request is None:
            return False
        with self._lock:
            seen = (request.method, request.target.partition("?")[0])
            self.requests[seen] = self.requests.get(seen, 0) + 1
        door = self.control if request.parts[:1] == ["simulator"] else self.routes
        answer = door.answer(request)
        keep = request.headers.get("connection", "").lower() != "close"
        if answer.stream is not None:
            self._send_stream(connection, answer, answer.stream)
            return keep
        connection.sendall(_whole(answer, request, keep))
        return keep

    def _send_stream(self, connection: socket.socket, answer: Answer, stream: Iterator[bytes]) -> None:
        headers = dict(answer.headers)
        pack: Callable[[bytes], bytes] = _same
        if answer.gzip_anyway:
            headers["Content-Encoding"] = "gzip"
            pack = gzip.compress  # a member of its own for each flush
        connection.sendall(_head(answer, dict(headers, **{"Transfer-Encoding": "chunked"})))
        for chunk in stream:
            if chunk:
                send_chunk(connection, pack(chunk))
            elif _gone(connection):
                return
        connection.sendall(b"0\r\n\r\n")


def send_chunk(connection: socket.socket, payload: bytes) -> None:
    """One chunk. Large payloads are not copied only to add six bytes."""
    head = b"%x\r\n" % len(payload)
    if len(payload) < 65536:
        connection.sendall(head + payload + b"\r\n")
        return
    connection.sendall(head)
    connection.sendall(payload)
    connection.sendall(b"\r\n")


def read_request(reader: Any) -> Optional[Request]:
    """The next request of a connection; None at its end. ValueError for what is no HTTP."""
    line = reader.readline(MAX_HEAD)
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: Dict[str, str] = {}
    size = len(line)
    while True:
        line = reader.readline(MAX_HEAD)
        size += len(line)
        if size > MAX_HEAD or not line:
            raise ValueError("headers too large, or cut short")
        if line in (b"\r\n", b"\n"):
            break
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY or "chunked" in headers.get("transfer-encoding", ""):
        raise ValueError("bodies come with a length of at most %d" % MAX_BODY)
    return Request(method, target, headers, reader.read(length) if length else b"")


def _whole(answer: Answer, request: Request, keep: bool) -> bytes:
    headers, body = dict(answer.headers), answer.body
    asked = "gzip" in request.headers.get("accept-encoding", "") and len(body) >= PACK_FROM
    if answer.gzip_anyway or asked:
        headers["Content-Encoding"], body = "gzip", gzip.compress(body, 1)
    headers["Content-Length"] = str(len(body))
    if not keep:
        headers["Connection"] = "close"
    return _head(answer, headers) + body


def _head(answer: Answer, headers: Dict[str, str]) -> bytes:
    try:
        phrase = HTTPStatus(answer.code).phrase
    except ValueError:
        phrase = ""
    lines = ["HTTP/1.1 %d %s" % (answer.code, phrase), "Audit-Id: 00000000-0000-4000-8000-000000000000"]
    lines += ["Cache-Control: no-cache, private", "Content-Type: " + answer.content_type]
    lines += ["%s: %s" % pair for pair in headers.items()]
    lines.append("Date: " + formatdate(usegmt=True))
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _gone(connection: socket.socket) -> bool:
    """Whether the client closed its side; a watch would else notice only at its next event."""
    if isinstance(connection, ssl.SSLSocket):
        return False  # peeking is not offered there; the next write finds out
    try:
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        # A plain recv would wait as long as the socket's timeout, whatever its flags.
        return bool(waiting.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was first
        pass
    connection.close()


def _same(chunk: bytes) -> bytes:
    return chunk
