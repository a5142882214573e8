"""A proxy before an API server that hands on what a watch sends some seconds late, and everything else at once."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Iterator, List, Optional, Tuple

_READ = 65536


@contextlib.contextmanager
def slow_watch(host: str, port: int, seconds: float) -> Iterator[int]:
    """The port that it listens on, plain HTTP; it ends with its context."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections: List[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
                upstream = socket.create_connection((host, port), timeout=5)
            except OSError:
                return
            upstream.settimeout(None)
            connections.extend((client, upstream))
            _Pair(client, upstream, seconds)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.close()
        for one in connections:
            _end(one)


class _Pair:
    """One connection: a thread up, a thread down, and one that writes what is due."""

    def __init__(self, client: socket.socket, upstream: socket.socket, seconds: float) -> None:
        self._client, self._upstream, self._seconds = client, upstream, seconds
        self._watches = False
        self._due: queue.Queue[Tuple[float, Optional[bytes]]] = queue.Queue()
        for work in (self._up, self._down, self._hand_on):
            threading.Thread(target=work, daemon=True).start()

    def _up(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = self._client.recv(_READ)
                if not data:
                    break
                if data.startswith(b"GET "):
                    self._watches = b"watch=" in data.split(b"\r\n", 1)[0]
                self._upstream.sendall(data)
        _end(self._upstream)

    def _down(self) -> None:
        data: Optional[bytes] = b"-"
        while data:
            try:
                data = self._upstream.recv(_READ) or None
            except OSError:
                data = None
            self._due.put((time.monotonic() + (self._seconds if self._watches else 0.0), data))

    def _hand_on(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = self._due.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if data is None:
                    break
                self._client.sendall(data)
        _end(self._client)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
