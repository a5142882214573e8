"""The agent's door: GET over TLS with a bearer token. All but /healthz is 401 without it.

    /v1/node, /v1/processes, /v1/kills   JSON: docs/dev/agent-protocol.md
    /metrics                             the same turn as Prometheus reads it
    /healthz                             200 while turns end in time; no token

Certificate, key and token are read anew when their files change. Without them nothing is served beyond loopback.
"""

from __future__ import annotations

import gzip
import hmac
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from krm.agent.access import Changing, Files, certificate, is_loopback, refused, secret

AT_ONCE = 16  # connections: the collector has three, Prometheus one
OF_ONE = 8  # of them, of one address: a pod that only opens them keeps nobody else out
SLOWEST = 10.0  # seconds that a peer may rest within a request, and its handshake takes
IDLE = 60.0  # seconds that a connection may wait for its next request: collectors ask each few seconds
HEAD_BYTES = 8 * 1024  # of a request's line and headers
COMPRESSION = 1  # level: nine tenths of the saving at a fifth of the CPU
HEALTH = "/healthz"
_TOO_LONG = f"a request's head has at most {HEAD_BYTES} bytes"
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"

log = logging.getLogger("krm")


class Answer:
    """One document of one turn: made when it is first asked for, kept until the next turn's."""

    def __init__(self, make: Callable[[], bytes], media: str = _JSON) -> None:
        self.media = media
        self._make = make
        self._lock = threading.Lock()
        self._plain: Optional[bytes] = None
        self._zipped: Optional[bytes] = None

    def body(self, zipped: bool) -> bytes:
        """From any thread."""
        with self._lock:
            if self._plain is None:
                self._plain = self._make()
            if zipped and self._zipped is None:
                self._zipped = gzip.compress(self._plain, COMPRESSION)
            return self._zipped if zipped and self._zipped is not None else self._plain


class Server:
    """Listens from the start; `close` ends it."""

    def __init__(
        self,
        answers: Callable[[], Mapping[str, Answer]],
        ill: Callable[[], str],
        where: Tuple[str, int],
        files: Files,
    ) -> None:
        """`answers`: the newest turn's, by path; empty before there is one. `ill`: why it is not healthy, else "".
        `where`: address and port, 0 = any that is free. Raises ValueError with a sentence, OSError."""
        why = refused(where[0], files)
        if why:
            raise ValueError(why)
        context = certificate(files) if all(files) else None
        token = secret(files) if all(files) else None
        try:
            self._server = _Listening(where, _handler(answers, ill, token), context)
        except OSError as error:
            raise OSError(f"{where[0]}, port {where[1]}: {error.strerror or error}") from error
        host, port = self._server.server_address[:2]
        scheme = "https" if context else "http"
        self.address = f"{scheme}://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}"
        threading.Thread(target=self._server.serve_forever, name="serving", daemon=True).start()

    def close(self) -> None:
        """No question is taken any more."""
        self._server.shutdown()
        self._server.server_close()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = AT_ONCE

    def __init__(self, where: Tuple[str, int], handler: Any, context: Optional[Changing]) -> None:
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._context = context
        self._lock = threading.Lock()
        self._held: Dict[str, int] = {}  # address -> connections
        self.until: Dict[Any, float] = {}  # connection -> monotonic moment at which it is cut
        super().__init__(where, handler)

    def server_bind(self) -> None:
        """Without the name look-up of http.server, which may wait for a resolver."""
        socket_bind = super(ThreadingHTTPServer, self).server_bind
        self.server_name, self.server_port = "krm-agent", 0
        socket_bind()

    def get_request(self) -> Tuple[Any, Any]:
        plain, peer = self.socket.accept()
        plain.settimeout(SLOWEST)
        if self._context is None:
            return plain, peer
        # The handshake is done by the connection's own thread: a silent peer must hold up no other.
        return self._context.now().wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            held = self._held.get(client_address[0], 0)
            room = held < OF_ONE and sum(self._held.values()) < AT_ONCE
            if room:
                self._held[client_address[0]] = held + 1
        if not room:
            self.shutdown_request(request)
            return
        self.until[request] = time.monotonic() + SLOWEST
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.until.pop(request, None)
            with self._lock:
                left = self._held.pop(client_address[0]) - 1
                if left:
                    self._held[client_address[0]] = left

    def service_actions(self) -> None:
        """Twice a second: who is slower than a whole request may be is cut, byte by byte as he may come."""
        now = time.monotonic()
        for connection in [one for one, until in list(self.until.items()) if until < now]:
            self.until.pop(connection, None)
            try:  # below TLS: the connection's own thread is still in it
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                log.debug("a connection that was to be cut had ended")

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a reader of the agent went away", exc_info=True)


class _Bounded:
    """A connection's bytes, of which a request's head may take HEAD_BYTES."""

    def __init__(self, file: Any) -> None:
        self._file, self.left = file, HEAD_BYTES

    def readline(self, most: int = -1) -> bytes:
        line: bytes = self._file.readline(min(self.left, most) if most >= 0 else self.left)
        self.left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)


def _handler(answers: Callable[[], Mapping[str, Answer]], ill: Callable[[], str], token: Optional[Changing]) -> Any:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "krm", ""
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.rfile: Any = _Bounded(self.rfile)

        def handle_one_request(self) -> None:
            self.rfile.left = HEAD_BYTES
            super().handle_one_request()
            self._may_take(IDLE)

        def _may_take(self, seconds: float) -> None:
            until: Dict[Any, float] = self.server.until  # type: ignore[attr-defined]
            if self.request in until:
                until[self.request] = time.monotonic() + seconds
                self.connection.settimeout(seconds)

        def parse_request(self) -> bool:
            if self.rfile.left <= 0:  # its first line alone was too long: half of it is none
                self.requestline, self.request_version, self.command = "", self.protocol_version, "GET"
                self._refuse(431, _TOO_LONG)
                return False
            return super().parse_request()

        def do_GET(self) -> None:
            self._may_take(SLOWEST)
            if self.rfile.left <= 0:
                self._refuse(431, _TOO_LONG)
            elif self.path == HEALTH:
                why = ill()
                self.close_connection = True  # who has no token holds no connection
                self._say(503 if why else 200, why or "ok")
            elif not self._knows():
                self._refuse(401, "the token of the agent is another one, or none was sent")
            elif token is None and not is_loopback(self._host()):
                self._refuse(403, "without a token this machine alone is answered, by its own name")
            elif "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
                self._refuse(400, "a request here has no body")
            else:
                self._answer(answers())

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self._refuse(405 if self._knows() else 401, "GET and HEAD alone")

        do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

        def _answer(self, known: Mapping[str, Answer]) -> None:
            if not known:
                self._say(503, "the first turn has not ended")
                return
            answer = known.get(self.path)
            if answer is None:
                self._say(404, f"{', '.join(sorted(known))} or {HEALTH}")
                return
            zipped = "gzip" in self.headers.get("Accept-Encoding", "")
            self._send(200, answer.media, answer.body(zipped), zipped)

        def _host(self) -> str:
            """Whom the asker thinks it asks: a page in a browser may call this machine by a name of its own."""
            try:
                return urlsplit("//" + self.headers.get("Host", "")).hostname or ""
            except ValueError:
                return ""

        def _knows(self) -> bool:
            if token is None:
                return True
            wanted = token.now()
            given = self.headers.get("Authorization", "").encode("utf-8", "replace")
            return wanted is not None and hmac.compare_digest(given, b"Bearer " + wanted)

        def _refuse(self, code: int, sentence: str) -> None:
            self.close_connection = True
            self._say(code, sentence)

        def _say(self, code: int, sentence: str) -> None:
            self._send(code, _TEXT, (sentence + "\n").encode())

        def _send(self, code: int, media: str, body: bytes, zipped: bool = False) -> None:
            self.send_response(code)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if zipped:
                self.send_header("Content-Encoding", "gzip")
            if code == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            if code == 405:
                self.send_header("Allow", "GET, HEAD")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody's addresses in the log."""

    return Handler
