"""Where an HTTP/1.1 body begins and ends in the bytes of a connection: chunked, counted, or until the close.

Pure: bytes in, pieces of the body out. Each framing has `feed(data) -> pieces`, `ended` (the body is
complete) and `excess` (bytes came after it, so the connection is not fit for another request).
"""

from __future__ import annotations

import re
from typing import List, Optional, Union

from krm.cluster.errors import Malformed

# Bytes of one chunk-size line or trailer; API servers send under 20.
MAX_CHUNK_LINE = 4096
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")


class Chunked:
    """`SIZE CRLF data CRLF ... 0 CRLF trailers CRLF` (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self.ended = False
        self.excess = False
        self._left = 0  # bytes of the chunk still to come
        self._after_data = False  # the CRLF behind a chunk's data comes next
        self._in_trailers = False
        self._rest = b""  # an unfinished line

    def feed(self, data: bytes) -> List[bytes]:
        """The pieces of body in `data`. Raises Malformed."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        pieces: List[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._after_data = self._left == 0
                continue
            newline = data.find(b"\n", at, at + MAX_CHUNK_LINE)
            if newline < 0:
                self._keep(data[at:])
                return pieces
            self._line(data[at:newline])
            at = newline + 1
        self.excess = self.excess or at < end
        return pieces

    def _keep(self, rest: bytes) -> None:
        if len(rest) >= MAX_CHUNK_LINE:
            raise Malformed(f"a chunk's size line is over {MAX_CHUNK_LINE} bytes: this is no HTTP/1.1 answer")
        self._rest = rest

    def _line(self, line: bytes) -> None:
        line = line[:-1] if line.endswith(b"\r") else line
        if self._after_data:
            if line:
                raise Malformed("a chunk is longer than its size says: this is no HTTP/1.1 answer")
            self._after_data = False
        elif self._in_trailers:
            self.ended = not line
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise Malformed("a chunk's size is no hexadecimal number: this is no HTTP/1.1 answer")
            self._left = int(size.group(1), 16)
            self._in_trailers = self._left == 0


class Counted:
    """Content-Length bytes."""

    def __init__(self, length: int) -> None:
        self.ended = length == 0
        self.excess = False
        self._left = length

    def feed(self, data: bytes) -> List[bytes]:
        piece = data[: self._left]
        self._left -= len(piece)
        self.ended = self._left == 0
        self.excess = self.excess or len(piece) < len(data)
        return [piece] if piece else []


class UntilClose:
    """Neither chunked nor counted: the close alone ends it, so it never says that it is complete."""

    ended = False
    excess = False

    def feed(self, data: bytes) -> List[bytes]:
        return [data]


Framing = Union[Chunked, Counted, UntilClose]


def framing_of(transfer_encoding: str, content_length: Optional[str]) -> Framing:
    """The framing that the headers name. Raises Malformed where they make no sense."""
    if transfer_encoding.strip().lower() == "chunked":
        return Chunked()
    if transfer_encoding.strip():
        raise Malformed("the answer has a Transfer-Encoding other than chunked, which no API server sends")
    if content_length is None:
        return UntilClose()
    if not (content_length.isascii() and content_length.isdigit() and len(content_length) <= 15):
        raise Malformed("the answer's Content-Length is no number: this is no HTTP/1.1 answer")
    return Counted(int(content_length))
