"""A unary gRPC call over HTTP/2 (RFC 9113), as much of it as a client of a node's own runtime needs.

Frames are read and written by hand. Headers of answers are not decoded, since HPACK would need its tables and
Huffman's: a unary answer that succeeded has a whole message in DATA frames and then ends; one that failed has
none. The headers of a request are literals without indexing, so that no table has to be kept on either side.

    refused     the stream ended without a message: an error of gRPC, e.g. a method that the server does not know
    lost        the connection ended: GOAWAY, end of file, an error of the socket
    late        no answer came in time
    broken      what came is no HTTP/2, or breaks its rules or the caps below
"""

from __future__ import annotations

import socket
import struct
from typing import Iterator, Tuple

from krm.agent.runtime.unix_socket import UnixSocket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0x0, 0x1, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9,
)  # fmt: skip
END_STREAM = ACK = 0x1
END_HEADERS, PADDED = 0x4, 0x8
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x1, 0x2, 0x4, 0x5
HEADER_BYTES = 9  # of a frame
FRAME_BYTES = 16_384  # the largest payload of a frame that either side may send before it is told otherwise
DEFAULT_WINDOW = 65_535  # bytes
MAX_WINDOW = 2**31 - 1
MAX_ANSWER = 16 * 1024 * 1024  # bytes of a message, as the kubelet takes at most
MAX_FRAMES = 20_000  # in one answer: 1,024 full ones are MAX_ANSWER
MAX_REQUEST = FRAME_BYTES - 5  # bytes: a request is one frame
LAST_STREAM = 2**30  # then the connection is made anew; ids end at 2**31
_FRAME = struct.Struct(">HBBBI")  # length (16 and 8 bits), type, flags, stream
_PREFIX = struct.Struct(">BI")  # of a gRPC message: compressed or not, length


class Http2Error(Exception):
    """A call that gave no message. str() is a sentence without its full stop."""


class Refused(Http2Error):
    """The server answered that it does not; the connection goes on."""


class Lost(Http2Error):
    """The connection ended. `unheard`: before a byte of an answer, so that another connection may do."""

    def __init__(self, sentence: str, unheard: bool) -> None:
        super().__init__(sentence)
        self.unheard = unheard


class Late(Http2Error):
    """No answer came in time: the connection is of no use, since it may still come."""


class Broken(Http2Error):
    """The peer breaks the rules: the connection is of no use any more."""


class Connection:
    """One connection, for one call at a time. After all but Refused it is to be closed."""

    def __init__(self, opened: UnixSocket) -> None:
        self._socket, self._buffer = opened, bytearray()
        self._stream = -1
        self._window = DEFAULT_WINDOW  # bytes that we may send, on the connection
        self._stream_window = DEFAULT_WINDOW  # and on the stream of this call
        self._first_window = DEFAULT_WINDOW  # of streams to come
        self._greeted = False  # the server's SETTINGS came
        self._leaving = False  # GOAWAY came
        self._heard = False  # a part of the answer to this call came
        # A window that no answer fills, no pushes, and no table of headers.
        settings = struct.pack(
            ">HIHIHI", HEADER_TABLE_SIZE, 0, ENABLE_PUSH, 0, INITIAL_WINDOW_SIZE, MAX_ANSWER + FRAME_BYTES
        )
        more = struct.pack(">I", MAX_ANSWER + FRAME_BYTES - DEFAULT_WINDOW)
        self._unsent = PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more)

    def close(self) -> None:
        self._socket.close()

    @property
    def is_spent(self) -> bool:
        """Another connection has to be made for the next call."""
        return self._leaving or self._stream >= LAST_STREAM

    def unary(self, path: str, message: bytes, deadline: float) -> bytes:
        """The answer to `message` sent to `path` (/package.Service/Method). `deadline`: time.monotonic().

        Raises Refused, Lost, Late or Broken.
        """
        if len(message) > MAX_REQUEST:
            raise ValueError(f"a request of {len(message)} bytes: at most {MAX_REQUEST} are sent")
        self._socket.deadline = deadline
        self._stream += 2
        self._stream_window, self._heard = self._first_window, False
        try:
            return self._call(path, _PREFIX.pack(0, len(message)) + message)
        except socket.timeout:
            raise Late("no answer came in time") from None
        except OSError as error:
            raise Lost(f"the connection broke: {error.strerror or error}", not self._heard) from error

    def _call(self, path: str, body: bytes) -> bytes:
        stream, frames = self._stream, self._frames()
        question = frame(HEADERS, END_HEADERS, stream, headers(path))
        if len(body) > min(self._window, self._stream_window):
            self._send(question)
            question = b""
            while len(body) > min(self._window, self._stream_window):
                self._control(*next(frames))
        self._window -= len(body)
        self._stream_window -= len(body)
        # In one piece: a server that speaks something else may close after the first, and then nothing can be sent.
        self._send(question + frame(DATA, END_STREAM, stream, body))
        answer, consumed = bytearray(), 0
        for kind, flags, of, payload in frames:
            self._heard = self._heard or of == stream
            if kind == DATA and of == stream:
                answer += _unpadded(flags, payload)
                consumed += len(payload)
                if len(answer) > MAX_ANSWER:
                    raise Broken(f"an answer of more than {MAX_ANSWER} bytes")
            elif kind == HEADERS and of == stream:
                self._skip_headers(flags, frames)
            else:
                self._control(kind, flags, of, payload)
                continue
            if flags & END_STREAM:
                break
        if consumed:  # what was taken from the connection's window is given back; the stream's ends with it
            self._send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", consumed)))
        return _message(bytes(answer))

    def _skip_headers(self, flags: int, frames: Iterator[Tuple[int, int, int, bytes]]) -> None:
        """Up to the end of a block of headers, which nothing may interrupt."""
        while not flags & END_HEADERS:
            kind, flags, of, _ = next(frames)
            if kind != CONTINUATION or of != self._stream:
                raise Broken("a block of headers that is interrupted")

    def _control(self, kind: int, flags: int, of: int, payload: bytes) -> None:
        """A frame that is no part of the answer."""
        if kind == SETTINGS:
            self._settings(flags, of, payload)
        elif kind == PING:
            if len(payload) != 8 or of:
                raise Broken("a PING that is none")
            if not flags & ACK:
                self._send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._more_window(of, _number(payload, 4))
        elif kind == RST_STREAM and of == self._stream:
            raise Refused(f"the server ended the call with error {_number(payload, 4)} of HTTP/2")
        elif kind == GOAWAY:
            self._leaving = True
            if len(payload) < 8:
                raise Broken("a GOAWAY that is none")
            if _number(payload[:4], 4) & MAX_WINDOW < self._stream:
                raise Lost("the server takes no more calls on this connection", True)
        elif kind in (DATA, HEADERS, PUSH_PROMISE, CONTINUATION):
            raise Broken(f"a frame of type {kind} of stream {of}, which nobody opened")
        # Passed over: RST_STREAM of a call that is over, and types that the standard does not know.

    def _settings(self, flags: int, of: int, payload: bytes) -> None:
        if of or len(payload) % 6 or (flags & ACK and payload):
            raise Broken("a SETTINGS frame that is none")
        if flags & ACK:
            return
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise Broken("a window that is too large")
                self._stream_window += value - self._first_window
                self._first_window = value
        self._send(frame(SETTINGS, ACK, 0, b""))

    def _more_window(self, of: int, more: int) -> None:
        if not 0 < more <= MAX_WINDOW:
            raise Broken("a WINDOW_UPDATE of nothing")
        if of == 0:
            self._window += more
        elif of == self._stream:
            self._stream_window += more
        if max(self._window, self._stream_window) > MAX_WINDOW:
            raise Broken("a window that is too large")

    def _send(self, frames: bytes) -> None:
        """What waits to be sent goes with it: the preface, with the first call."""
        waiting, self._unsent = self._unsent, b""
        self._socket.sendall(waiting + frames)

    def _frames(self) -> Iterator[Tuple[int, int, int, bytes]]:
        """Frames as they come: type, flags, stream, payload."""
        for _ in range(MAX_FRAMES):
            self._fill(HEADER_BYTES)
            high, low, kind, flags, of = _FRAME.unpack_from(self._buffer)
            length = (high << 8) | low
            if not self._greeted:
                self._greet(kind, flags)
            if length > FRAME_BYTES:
                raise Broken(f"a frame of {length} bytes: {FRAME_BYTES} were agreed on")
            self._fill(HEADER_BYTES + length)
            payload = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + length])
            del self._buffer[: HEADER_BYTES + length]
            yield kind, flags, of & MAX_WINDOW, payload
        raise Broken(f"an answer in more than {MAX_FRAMES} frames")

    def _greet(self, kind: int, flags: int) -> None:
        """An HTTP/2 server's first frame is its SETTINGS."""
        if kind != SETTINGS or flags & ACK:
            raise Broken("it does not speak HTTP/2, as a server of gRPC does")
        self._greeted = True

    def _fill(self, size: int) -> None:
        """Reads until there are `size` bytes."""
        while len(self._buffer) < size:
            received = self._socket.recv(65_536)
            if not received:
                raise Lost("the server closed the connection", not self._heard)
            self._buffer += received


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def headers(path: str) -> bytes:
    """The block of headers of a call: each a literal without indexing, no Huffman code (RFC 7541, 6.2.2)."""
    named = (
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "krm-agent"),
    )  # fmt: skip
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in named)


def _text(text: str) -> bytes:
    raw = text.encode("ascii")
    if len(raw) >= 127:  # beyond, a length takes more bytes
        raise ValueError("a header of %d bytes: %.40r" % (len(raw), text))
    return bytes((len(raw),)) + raw


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken("a padding that is longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def _number(payload: bytes, size: int) -> int:
    if len(payload) != size:
        raise Broken("a frame of a wrong size")
    return int.from_bytes(payload, "big")


def _message(answer: bytes) -> bytes:
    """The one gRPC message in the DATA of an answer."""
    if not answer:
        raise Refused("it refused the call, or does not know it")
    if len(answer) < _PREFIX.size:
        raise Broken("an answer that breaks off")
    compressed, length = _PREFIX.unpack_from(answer)
    if compressed or length != len(answer) - _PREFIX.size:
        raise Broken("an answer that is not one message of gRPC")
    return answer[_PREFIX.size :]
