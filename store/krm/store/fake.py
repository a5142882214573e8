"""fakeredis behind a socket: the last resort of embedded.py, and the quick double of the tests.

`python -m krm.store.fake --unixsocket PATH` takes redis-server's arguments and ignores the rest.
What it cannot do stands in LIMITS, and a test asserts each.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple, Union

from redis import exceptions

# What differs from a real server, and what krm does about it.
LIMITS: Dict[str, str] = {
    "info": "no INFO: run_id is unknown, so an aggregator that starts anew never resumes, it rebuilds",
    "policy": "maxmemory-policy is unknown: connect() warns; there is no maxmemory, so never OutOfMemory",
    "persistence": "nothing outlives the process",
    "memory": "values over 1 MB take seconds",
}

# Seconds that a client may leave a reply unread.
_SLOWEST = 30.0


def serve(address: Union[str, Tuple[str, int]]) -> Any:
    """A server bound to a unix socket's path or (host, port), not yet serving."""
    from fakeredis import TcpFakeServer

    numbers = itertools.count()
    base: Any = TcpFakeServer  # its annotations know no unix sockets

    class Server(base):  # type: ignore[misc]
        address_family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX

        def finish_request(self, request: Any, client_address: Any) -> None:
            # Clients are told apart by address, and those of a unix socket have none.
            self.RequestHandlerClass(request, client_address or ("unix", next(numbers)), self)

    server = Server(address, server_version=(7, 0))
    server.daemon_threads = True
    server.RequestHandlerClass = _answering(server.RequestHandlerClass, isinstance(address, tuple))
    return server


def _answering(handler: Any, tcp: bool) -> Any:
    """The handler with errors as replies like any other; fakeredis' own hangs up after one."""

    class Answering(handler):  # type: ignore[misc]
        # Replies are written one by one: with Nagle's algorithm a pipeline takes 40 ms.
        disable_nagle_algorithm = tcp

        def setup(self) -> None:
            super().setup()
            self.writer.writer = _Patient(self.connection)
            ask = self.current_client.read_response

            def reply(*args: Any, **named: Any) -> Any:
                try:
                    return ask(*args, **named)
                except exceptions.ResponseError as error:
                    return error

            self.current_client.read_response = reply

    return Answering


class _Patient:
    """The reply's way out. fakeredis makes the socket non-blocking under Python's feet, and a reply larger
    than the kernel's buffer then ended the connection: 200 KB on a unix socket, less than a list of pods."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, reply: bytes) -> None:
        """All of it, however slowly it is read. Raises ConnectionError where nobody reads for half a minute."""
        left = memoryview(reply)
        while left:
            try:
                left = left[self._connection.send(left) :]
            except BlockingIOError:
                if not select.select([], [self._connection], [], _SLOWEST)[1]:
                    raise ConnectionError("the client does not read its reply") from None

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def running() -> Iterator[str]:
    """A served fakeredis on the loopback, as a URL; for tests."""
    server = serve(("127.0.0.1", 0))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()


def main(arguments: List[str]) -> None:
    """Serves until SIGTERM."""
    path = arguments[arguments.index("--unixsocket") + 1]
    os.umask(0o077)
    server = serve(path)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
