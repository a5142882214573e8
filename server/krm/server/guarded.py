"""What a connection may cost: uvicorn's protocols (httptools', and h11's) with bounds that they lack.

state      bounded by
head       HEAD_WITHIN seconds from the first byte, or from the connection; MAX_HEADER bytes
body       MAX_BODY bytes, never kept; the answer does not wait for it
answer     its reader: PROGRESS_WITHIN seconds in which nothing of what is written was taken (large answers
           and streams end sooner, in web.send; this is for small ones behind which nothing is read)
idle       IDLE seconds (uvicorn's keep-alive)
all        CONNECTIONS of one port; PIPELINED requests behind one that is being answered

What is refused is told as a Status where the connection is still able to, and then closed.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Optional, Union

from krm.server.limits import MAX_BODY, MAX_HEADER, body_too_large, head_too_large
from krm.server.memory import Returns
from krm.server.statuses import ApiError, unavailable
from krm.server.web import WHOLE

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
except ImportError:  # httptools is of the extra `fast`
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol  # type: ignore[assignment]

# Seconds from a connection, or from a request's first byte, to the end of its head.
HEAD_WITHIN = 4.0
# Seconds that a connection waits for the next request.
IDLE = 30
# Seconds in which a reader takes at least something of what waits for it.
PROGRESS_WITHIN = 40.0
# Seconds that a refused client is given to read why, and bytes of what it still sends that are dropped.
LAST_WORDS, LAST_BYTES = 1.0, MAX_BODY
# Connections of one port; requests of one connection that wait behind another.
CONNECTIONS, PIPELINED = 8_000, 32


_HEAD = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
# What a stranger sends must not fill the log: of uvicorn's words on it only errors of ours are kept.
_log = logging.getLogger("krm.server.connections")
_log.setLevel(logging.ERROR)


class TooManyPipelined(Exception):
    """Ends the parsing of what else came with them."""


class Joining:
    """A transport that holds an answer's head until the first bytes of its body come: both go out as one TLS
    record and one packet. All but writing is the transport's own."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Union[bytes, memoryview]) -> None:
        """A body that begins like a head is held too: what follows it, or the end of the answer, sends it."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) > WHOLE:  # to copy more costs more than it saves
                self._transport.write(head)
                self._transport.write(data)
            else:  # not by writelines: asyncio's does not pause who writes (seen on Python 3.13.0)
                self._transport.write(head + data)
        elif data[:9] == b"HTTP/1.1 " and data[9:10] != b"1":  # 100 Continue is nobody's head
            self._head = bytes(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Sends what is held."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Once all is sent."""
        self.flush()
        self._transport.close()


class Guarded(Protocol):
    """HTTP/1.1 as uvicorn speaks it, within the bounds above."""

    most = CONNECTIONS  # fewer where the process may open fewer files
    returns = Returns()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _log
        self._since = 0  # bytes since the newest request's head was complete
        self._timer: Optional[asyncio.TimerHandle] = None  # of the head
        self._writing: Optional[asyncio.TimerHandle] = None  # of a reader that falls behind
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.transport: Any = Joining(transport)
        if len(self.connections) > self.most:
            self._refuse(unavailable(f"{self.most} connections are open here: try again later"))
            return
        self._expect_head()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._end_timers()
        super().connection_lost(exc)
        self.returns.ended(self.loop)

    def data_received(self, data: bytes) -> None:
        self._since += len(data)
        if self._refused:
            if self._since > LAST_BYTES:
                self.transport.abort()
            return
        before = self.cycle
        if self._timer is None and (before is None or before.response_complete):
            self._expect_head()
        super().data_received(data)
        if self._refused:
            return
        if self.cycle is not before:
            self._since = 0
            self._head_is_complete()
        elif self._since > MAX_HEADER and self._since > self._allowed():
            self._refuse(head_too_large() if self._allowed() == MAX_HEADER else body_too_large())

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_progress(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def on_response_complete(self) -> None:
        self.transport.flush()  # to HEAD nothing follows the head
        super().on_response_complete()

    def on_headers_complete(self) -> None:
        """Of httptools; h11 stops reading by itself while it answers."""
        if len(self.pipeline) >= PIPELINED:
            raise TooManyPipelined
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What does not parse; uvicorn's own answer is text."""
        too_long = self._since > MAX_HEADER
        self._refuse(head_too_large() if too_long else ApiError(400, "BadRequest", "that is no HTTP/1.1 request"))

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for another protocol is answered in this one; the log does not grow by it."""

    # Parts

    def _allowed(self) -> int:
        """Bytes that may follow the newest head."""
        if self.cycle is None:
            return MAX_HEADER
        names = [name for name, _ in self.cycle.scope["headers"]]
        has_body = b"content-length" in names or b"transfer-encoding" in names
        return MAX_BODY + MAX_HEADER if has_body else MAX_HEADER

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_WITHIN, self._head_is_late)

    def _head_is_complete(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self.cycle is not None:  # unasked, an answer would be taken for that to the next request
            self.transport.close()
            return
        self._refuse(ApiError(408, "Timeout", f"the request's head was not complete within {HEAD_WITHIN:.0f} s"))

    def _watch_progress(self, left: int) -> None:
        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now >= left:
                self.transport.abort()
            else:
                self._watch_progress(now)

        if self._writing is not None:
            self._writing.cancel()
        self._writing = self.loop.call_later(PROGRESS_WITHIN, look)

    def _refuse(self, error: ApiError) -> None:
        """Tells it and closes; a connection on which an answer is under way is cut."""
        self._refused = True
        self._since = 0
        self._end_timers()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = error.body()
        self.transport.write(_HEAD % (error.code, HTTPStatus(error.code).phrase.encode(), len(body)) + body)
        self.transport.flush()
        self.loop.call_later(LAST_WORDS, self.transport.abort)

    def _end_timers(self) -> None:
        self._head_is_complete()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
