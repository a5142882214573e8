"""The history, served to krm's own readers: HTTPS, a bearer token, packed questions and answers.

    POST /v1/range, /v1/totals   a packed Query -> 200 with the packed answer (krm.store.history.wire)
    GET  /v1/backup              200 with a consistent copy of the file
    what goes wrong              400, 401, 404, 413 or 503 with a sentence

Whoever holds the token reads all namespaces: it is for krm's server and command, which narrow what people see.
"""

from __future__ import annotations

import hmac
import logging
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, Callable, ContextManager, Optional, Tuple

from krm.collector.certificate import Serving
from krm.store.history import wire
from krm.store.history.asked import History, NoHistory, TooMuch

SLOWEST = 30.0  # seconds that a reader may rest between two bytes
AT_ONCE = 4  # questions answered at once: each may take the memory of its answer
CHUNK = 1024 * 1024  # bytes of a backup written at once
# A consistent copy of the history, open for reading; gone when it is left.
Backup = Callable[[], ContextManager[BinaryIO]]

log = logging.getLogger("krm")


class Server:
    """Listens from the start; `close` ends it."""

    def __init__(
        self, history: History, backup: Optional[Backup], token: str, serving: Serving, where: Tuple[str, int]
    ) -> None:
        """`where`: address and port, 0 = any that is free. Raises OSError."""
        self.digest = serving.digest
        self._server = _Listening(where, _handler(history, backup, token), serving.context)
        host, port = self._server.server_address[:2]
        self.address = f"https://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}"
        threading.Thread(target=self._server.serve_forever, name="history", daemon=True).start()

    def close(self) -> None:
        """No question is taken any more."""
        self._server.shutdown()
        self._server.server_close()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: Tuple[str, int], handler: Any, context: ssl.SSLContext) -> None:
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self._context = context
        super().__init__(where, handler)

    def get_request(self) -> Tuple[Any, Any]:
        plain, peer = self.socket.accept()
        plain.settimeout(SLOWEST)
        # The handshake is done by the connection's own thread: a silent peer must hold up no other.
        return self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a reader of the history went away", exc_info=True)


def _handler(history: History, backup: Optional[Backup], token: str) -> Any:
    room = threading.BoundedSemaphore(AT_ONCE)

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "krm", ""
        protocol_version = "HTTP/1.1"
        # Head and body go out together, and at once: else each answer on a kept connection waits 40 ms for an ACK.
        disable_nagle_algorithm, wbufsize = True, CHUNK

        def do_POST(self) -> None:
            body = self._body()
            if body is None or not self._knows():
                return
            ask = {wire.RANGE: _range, wire.TOTALS: _totals}.get(self.path)
            if ask is None:
                self._say(404, f"{wire.RANGE} or {wire.TOTALS}")
                return
            with room:
                self._answer(ask, body)

        def do_GET(self) -> None:
            self.close_connection = True
            if not self._knows():
                return
            if self.path != wire.BACKUP or backup is None:
                self._say(404, "there is nothing here" if backup else "this history has no file to copy")
                return
            with room:
                self._copy(backup)

        def _answer(self, ask: Callable[[History, bytes], bytes], body: bytes) -> None:
            try:
                self._send(200, "application/msgpack", ask(history, body))
            except wire.BadQuery as error:
                self._say(400, str(error))
            except TooMuch as error:
                self._say(413, str(error))
            except NoHistory as error:
                self._say(503, str(error))

        def _copy(self, made: Backup) -> None:
            try:
                with made() as file:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/octet-stream")
                    self.send_header("Content-Length", str(file.seek(0, 2)))
                    self.end_headers()
                    file.seek(0)
                    for chunk in iter(lambda: file.read(CHUNK), b""):
                        self.wfile.write(chunk)
            except NoHistory as error:
                self._say(503, str(error))

        def _body(self) -> Optional[bytes]:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit() and int(length) <= wire.MAX_QUERY):
                self.close_connection = True
                self._say(413, f"a question has at most {wire.MAX_QUERY} bytes, and says how many")
                return None
            return self.rfile.read(int(length))

        def _knows(self) -> bool:
            given = self.headers.get("Authorization", "").encode("utf-8", "replace")
            if token and hmac.compare_digest(given, f"Bearer {token}".encode()):
                return True
            self.close_connection = True
            self._say(401, "the token of the history is another one")
            return False

        def _say(self, code: int, sentence: str) -> None:
            self._send(code, "text/plain; charset=utf-8", (sentence + "\n").encode())

        def _send(self, code: int, media: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody's addresses in the log."""

    return Handler


def _range(history: History, body: bytes) -> bytes:
    return wire.pack_ranged(history.range(wire.unpack_query(body)))


def _totals(history: History, body: bytes) -> bytes:
    return wire.pack_totalled(history.totals(wire.unpack_query(body)))
