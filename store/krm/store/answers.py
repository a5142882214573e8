"""Answers over HTTP, for whoever reads with http.client: until a deadline, within a number of bytes.

http.client's own timeout is of one receive: a server that lets a byte drop in now and then holds it for
ever. Here the deadline is of the whole answer.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import zlib
from typing import Any, Callable, List, Union

CHUNK = 256 * 1024  # bytes read at once


def within(deadline: float) -> Callable[..., http.client.HTTPResponse]:
    """A connection's `response_class` whose answers end by the deadline (of time.monotonic), or raise OSError."""

    def response(sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        opened: Any = _Opened(sock, deadline)
        return http.client.HTTPResponse(opened, *args, **kwargs)

    return response


def whole_body(answer: http.client.HTTPResponse, most: int) -> bytes:
    """The body, decompressed. Raises HTTPException for one of more than `most` bytes, or cut short."""
    coding = (answer.getheader("Content-Encoding") or "").lower()
    if coding not in ("", "identity", "gzip"):
        raise http.client.HTTPException(f"an answer in {coding[:40]}, which was not asked for")
    unpack: Any = zlib.decompressobj(31) if coding == "gzip" else None
    pieces: List[bytes] = []
    size = 0
    while True:
        chunk = answer.read(CHUNK)
        piece = unpack.decompress(chunk, most - size + 1) if unpack else chunk
        size += len(piece)
        pieces.append(piece)
        if size > most:
            raise http.client.HTTPException(f"an answer of more than {most} bytes")
        if not chunk:
            break
    if unpack and not unpack.eof:
        raise http.client.IncompleteRead(b"")
    if answer.length:  # read(n) does not complain
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(pieces)


class _Timed(io.RawIOBase):
    """A socket's bytes until a deadline, however slowly they drop in."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Union[int, None]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)
        found: Union[int, None] = self._raw.readinto(buffer)
        return found

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Opened:
    """Stands for the socket where http.client asks it for a file."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Timed(self._sock, self._deadline), CHUNK)
