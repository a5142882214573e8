"""A server of gRPC that exists only on paper: its frames are given, byte for byte.

PaperSocket stands where the client's socket would, with what the server sends in pieces of any size. PaperCri
listens on a unix socket and answers calls of a CRI with messages that a test gives.
"""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Tuple, Union

from krm.agent.runtime.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
)

HELLO = frame(SETTINGS, 0, 0, b"")
TRAILERS = b"\x00\x0bgrpc-status\x010"
_FRAME = struct.Struct(">HBBBI")


def message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


def answer(body: bytes, stream: int = 1, cut: int = 16_384) -> bytes:
    """The frames of a call that succeeded."""
    whole = message(body)
    out = frame(HEADERS, END_HEADERS, stream, b"\x88")
    for at in range(0, len(whole), cut):
        out += frame(DATA, 0, stream, whole[at : at + cut])
    return out + frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS)


def refusal(stream: int = 1) -> bytes:
    """Headers alone, as of a method that the server does not know."""
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88\x00\x0bgrpc-status\x0212")


def frames(raw: bytes) -> List[Tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each."""
    found, at = [], 0
    while at < len(raw):
        high, low, kind, flags, stream = _FRAME.unpack_from(raw, at)
        size = high << 8 | low
        found.append((kind, flags, stream, raw[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


class PaperSocket:
    """Sends `pieces`, then nothing more: the end of the connection, or what `then` raises."""

    def __init__(self, pieces: Iterable[bytes], then: Optional[Exception] = None) -> None:
        self._pieces, self._then = iter(pieces), then
        self.deadline = 0.0
        self.sent = b""

    def sendall(self, raw: bytes) -> None:
        self.sent += raw

    def recv(self, size: int) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            if self._then is not None:
                raise self._then
            return b""
        assert len(piece) <= size
        return piece

    def close(self) -> None:
        pass

    def frames(self) -> List[Tuple[int, int, int, bytes]]:
        """What the client sent, behind the preface."""
        assert self.sent.startswith(PREFACE)
        return frames(self.sent[len(PREFACE) :])


# A message; None to refuse; or what makes the frames to send, of the stream and the question.
Answer = Union[bytes, None, Callable[[int, bytes], bytes]]


class PaperCri:
    """Use as a context. `answers`: method -> what it answers; `calls`: (path, message) as they came."""

    def __init__(self, path: Path, answers: Dict[str, Answer], package: str = "runtime.v1") -> None:
        self.path, self.answers, self.package = str(path), answers, package
        self.calls: List[Tuple[str, bytes]] = []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._open: List[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> PaperCri:
        self._listener.bind(self.path)
        self._listener.listen(5)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join(5)

    def hang_up(self) -> None:
        """Ends the connections that there are, as a runtime that is started anew."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was faster
                continue

    def methods(self) -> List[str]:
        return [path.rpartition("/")[2] for path, _ in self.calls]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                if stream.read(len(PREFACE)) != PREFACE:
                    return  # it does not speak HTTP/2
                connection.sendall(HELLO)
                path = ""
                while True:
                    head = stream.read(9)
                    if len(head) < 9:
                        return
                    high, low, kind, flags, of = _FRAME.unpack(head)
                    payload = stream.read(high << 8 | low)
                    if kind == HEADERS:
                        path = _path(payload)
                    elif kind == DATA and flags & END_STREAM:
                        self.calls.append((path, payload[5:]))
                        connection.sendall(self._answer(path, of, payload[5:]))
                    elif kind == SETTINGS and not flags & ACK:
                        connection.sendall(frame(SETTINGS, ACK, 0, b""))
            except OSError:
                return

    def _answer(self, path: str, stream: int, question: bytes) -> bytes:
        service, _, method = path.rpartition("/")
        found = self.answers.get(method) if service == f"/{self.package}.RuntimeService" else None
        if found is None:
            return refusal(stream)
        return found(stream, question) if callable(found) else answer(found, stream)


def _path(block: bytes) -> str:
    """Of a block of literals without indexing and without Huffman's code."""
    at, named = 0, {}
    while at < len(block):
        assert block[at] == 0
        texts = []
        at += 1
        for _ in range(2):
            texts.append(block[at + 1 : at + 1 + block[at]].decode())
            at += 1 + block[at]
        named[texts[0]] = texts[1]
    assert (named[":method"], named["te"], named["content-type"]) == ("POST", "trailers", "application/grpc")
    return named[":path"]
