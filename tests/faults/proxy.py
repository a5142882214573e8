"""A TCP proxy on loopback that does to a connection what networks do, and loses chosen events on purpose.

Plain HTTP/1.1 alone is understood (the simulator's); what it cannot parse it must not be asked to eat.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Iterator, List, NamedTuple, Optional, Set

# Bytes of one recv.
_PIECE = 65536
# Seconds between two looks at the gate while a connection is stalled.
_LOOK = 0.05


class Eaten(NamedTuple):
    """An event that never arrived."""

    type: str  # ADDED, MODIFIED, DELETED
    key: str  # namespace/name
    rv: int


class Cut(Exception):
    """The connection ends here."""


class Proxy:
    """`with Proxy(port) as proxy:` listens on `proxy.url` and forwards to 127.0.0.1:port."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: Set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = False
        self._refusing = False
        self._delay = 0.0
        self._halve = 0
        self._appetite = 0
        self._taste = b""
        self.eaten: List[Eaten] = []

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        # A blocked accept() keeps the port open over close(); shutdown wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self.cut()

    # What a test does ----------------------------------------------------------------------------

    def cut(self) -> None:
        """Every connection ends now, without a last word."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Cut, and end each new connection at once."""
        self._refusing = True
        self.cut()

    def stall(self) -> None:
        """A black hole: connections stay open, and nothing passes in either direction."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Every piece from the server waits so long."""
        self._delay = seconds

    def cut_mid_line(self) -> None:
        """The next event passes by half, then its connection ends."""
        self._halve += 1

    def eat(self, count: int = 1, taste: bytes = b"") -> None:
        """The next `count` events whose line holds `taste` are lost; bookmarks never are."""
        self._appetite, self._taste = count, taste

    def heal(self) -> None:
        """All as if nothing had been. What was eaten stays eaten, what was stalled goes on."""
        self._refusing, self._delay, self._halve, self._appetite = False, 0.0, 0, 0
        self._flowing.set()

    # Within --------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            try:
                self._wait()
                if self._refusing:
                    return
                server.connect(self._target)
            except (OSError, Cut):
                return
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=self._answers, args=(server, client), name="answers", daemon=True)
            back.start()
            self._requests(client, server)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, Cut):
            while True:
                data = client.recv(_PIECE)
                if not data:
                    break
                self._wait()
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        parser = _Answers(self)
        with contextlib.suppress(OSError, Cut):
            while True:
                data = server.recv(_PIECE)
                if not data:
                    break
                self._wait()
                if self._delay:
                    time.sleep(self._delay)
                for piece in parser.feed(data):
                    client.sendall(piece)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        while not self._flowing.wait(_LOOK):
            pass
        if self._closed:
            raise Cut

    def spoil(self, line: bytes) -> Optional[bytes]:
        """What is left of an event's line; None = nothing."""
        if b'"BOOKMARK"' in line[:40] or b'"ERROR"' in line[:40]:
            return line
        with self._lock:
            if self._appetite and self._taste in line:
                self._appetite -= 1
                self.eaten.append(_eaten(line))
                return None
            if self._halve:
                self._halve -= 1
                return line[: len(line) // 2]
        return line


class _Answers:
    """HTTP answers of one connection, one after the other; chunked ones line by line."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._buffer = b""
        self._left = 0  # bytes of a body with a length
        self._chunked = False
        self._tail = b""  # of a line

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Bytes to pass on. Raises Cut behind half a line."""
        self._buffer += data
        while self._buffer:
            if self._left:
                piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                self._left -= len(piece)
                yield piece
            elif self._chunked:
                payload = self._chunk()
                if payload is None:
                    return
                yield from self._lines(payload)
            else:
                head, mark, rest = self._buffer.partition(b"\r\n\r\n")
                if not mark:
                    return
                self._buffer = rest
                self._begin(head.lower())
                yield head + mark

    def _begin(self, head: bytes) -> None:
        self._chunked = b"transfer-encoding: chunked" in head
        _, mark, value = head.partition(b"content-length:")
        self._left = int(value.split(b"\r\n")[0]) if mark and not self._chunked else 0

    def _chunk(self) -> Optional[bytes]:
        """The next whole chunk's payload; None where it is not whole yet."""
        size_line, mark, rest = self._buffer.partition(b"\r\n")
        if not mark:
            return None
        size = int(size_line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        self._buffer = rest[size + 2 :]
        return rest[:size]

    def _lines(self, payload: bytes) -> Iterator[bytes]:
        if not payload:
            self._chunked = False
            if self._tail:
                yield _framed(self._tail)
            self._tail = b""
            yield b"0\r\n\r\n"
            return
        *lines, self._tail = (self._tail + payload).split(b"\n")
        for line in lines:
            left = self._proxy.spoil(line)
            if left is None:
                continue
            if left != line:
                yield _framed(left)
                raise Cut
            yield _framed(line + b"\n")


def _framed(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def _eaten(line: bytes) -> Eaten:
    event = json.loads(line)
    metadata = event["object"]["metadata"]
    key = f"{metadata.get('namespace', '')}/{metadata['name']}"
    return Eaten(event["type"], key, int(metadata["resourceVersion"]))
