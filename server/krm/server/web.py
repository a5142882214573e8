"""Requests and answers as values, over ASGI: what the parts of the server share."""

from __future__ import annotations

import asyncio
import contextlib
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)
from urllib.parse import parse_qsl

from krm.server.statuses import ApiError, bad_request

if TYPE_CHECKING:
    from krm.server.identity import Attributes, User

Scope = Dict[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]
Header = Tuple[str, str]

JSON_TYPE = "application/json"
# Bytes of a path with its query: kubectl's longest are below 2 KB; label selectors may be long.
MAX_TARGET = 64 * 1024
MAX_PARAMETERS = 100
# Bytes of an answer that are handed over whole; of a larger one: bytes of a piece, and bytes that may be handed
# over while others wait to be taken (asyncio's own limit).
WHOLE, PIECE, UNTAKEN = 128 * 1024, 512 * 1024, 64 * 1024
# Seconds in which a reader must take something of what waits for it, or be cut off.
SLOW_AFTER = 30.0
# Bytes that are read and dropped behind a request that was refused, and seconds: any client has its answer by then.
LINGER, LINGER_SECONDS = 8 * 1024 * 1024, 2.0
_BODY = "http.response.body"


class Request:
    """One request without its body: the POST API alone takes one, from `receive`."""

    def __init__(self, scope: Scope, path: str, receive: Optional[Receive] = None) -> None:
        """`receive`: None = its reader stays for ever."""
        self.receive = receive or _nothing
        self.method: str = scope["method"]
        self.path = path  # decoded, without the prefix that names a cluster
        self.whole_path: str = scope["path"]
        self.headers: Dict[str, str] = {}  # the first of each name
        self.repeated: Dict[str, List[str]] = {}  # all values of the names that come more than once
        rows = scope["headers"]
        self.header_count = len(rows)
        self.header_size = 0  # bytes
        for name, value in rows:  # ASGI has names in lower case
            self.header_size += len(name) + len(value)
            self._header(name.decode("latin-1"), value.decode("latin-1"))
        self._query: bytes = scope.get("query_string", b"")
        self._parameters: Optional[Dict[str, str]] = None
        self.twice = ""  # a parameter that stands there more than once, known after query()
        self.target_size = len(scope.get("raw_path") or b"") + len(self._query)  # bytes
        self.cluster = ""  # whose path it is
        self.user: Optional[User] = None  # who asks, once that is known
        self.impersonator: Optional[User] = None  # who really does
        self.asked: Optional[Attributes] = None  # what for, once that is known
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.ends: List[Callable[[], None]] = []  # to be called once its answer was taken, or cannot be any more
        self.certificate: bytes = (scope.get("state") or {}).get("peer_certificate", b"")  # DER, b"" = none

    def _header(self, name: str, value: str) -> None:
        if name in self.headers:
            self.repeated.setdefault(name, [self.headers[name]]).append(value)
        else:
            self.headers[name] = value

    def query(self) -> Dict[str, str]:
        """The first value of each name; read once. Raises ApiError 400."""
        if self._parameters is None:
            self._parameters = self._parsed() if self._query else {}
        return self._parameters

    def _parsed(self) -> Dict[str, str]:
        if len(self._query) > MAX_TARGET:
            raise ApiError(414, "", f"the query is longer than {MAX_TARGET} bytes")
        try:
            pairs = parse_qsl(
                self._query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
            )
        except (ValueError, UnicodeDecodeError):
            raise bad_request("the query is no URL-encoded text, or has too many parameters") from None
        found: Dict[str, str] = {}
        for name, value in pairs:
            if name in found:
                self.twice = self.twice or name
            found.setdefault(name, value)
        return found


async def _nothing() -> Dict[str, Any]:
    never: asyncio.Future[Dict[str, Any]] = asyncio.get_running_loop().create_future()
    return await never


class Answer(NamedTuple):
    """A whole answer."""

    body: bytes
    status: int = 200
    media: str = JSON_TYPE
    headers: Sequence[Header] = ()


class Stream(NamedTuple):
    """An answer that goes on: `run` is given a function that sends bytes and waits for a slow reader."""

    run: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
    media: str = JSON_TYPE
    headers: Sequence[Header] = ()


Reply = Union[Answer, Stream]


def of_error(error: ApiError, more: Sequence[Header] = ()) -> Answer:
    """An error as its answer."""
    headers = list(more)
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    return Answer(error.body(), error.code, error.media, headers)


class SlowReader(Exception):
    """A reader took nothing for `SLOW_AFTER` seconds. Its connection is gone, and all that waited for it."""


async def send(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """The reply on its connection; a stream ends as soon as its reader is gone. Raises SlowReader."""
    if isinstance(reply, Answer):
        headers = [("Content-Length", str(len(reply.body))), *reply.headers]
        await send(_start(reply.status, reply.media, headers))
        body = b"" if scope["method"] == "HEAD" else reply.body
        if ("Connection", "close") in headers:
            await send({"type": _BODY, "body": body, "more_body": True})
            await _read_on(receive)
            await send({"type": _BODY, "body": b""})
        elif len(body) <= WHOLE:
            await send({"type": _BODY, "body": body})
        else:
            await _in_pieces(body, _Body(scope, send).write)
        return
    await send(_start(200, reply.media, reply.headers))
    await send({"type": _BODY, "body": b"", "more_body": True})  # the headers go out at once
    if await _while_read(reply.run(_Body(scope, send).write), receive):
        await send({"type": _BODY, "body": b""})


async def _read_on(receive: Receive) -> None:
    """Until a request that was refused is whole, or its sender is gone, within bounds.

    A connection that is closed on unread bytes is reset, and a reset takes the answer with it (RFC 9112, 9.6).
    """

    async def read() -> None:
        left = LINGER
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body"):
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), LINGER_SECONDS)


class _Body:
    """The body of an answer that its reader may be slow to take."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._was_cut = scope, send, False
        self._loop = asyncio.get_running_loop()

    async def write(self, body: Union[bytes, memoryview], more: bool = True) -> None:
        """uvicorn waits here while more than 64 KiB of what was written before are not taken. Raises SlowReader."""
        late = self._loop.call_later(SLOW_AFTER, self._cut)  # asyncio.wait_for costs as much as a small write
        try:
            await self._send({"type": _BODY, "body": body, "more_body": more})
        finally:
            late.cancel()
        if self._was_cut:
            raise SlowReader

    def _cut(self) -> None:
        """Ends the connection at once: an orderly end would keep what was not taken until the reader takes it."""
        self._was_cut = True
        self._scope["state"]["abort"]()


async def _in_pieces(body: bytes, write: Callable[..., Awaitable[None]]) -> None:
    """Each once the one before is on its way: a slow reader costs one of them, not the whole again."""
    view = memoryview(body)
    for at in range(0, len(body), PIECE):
        await write(view[at : at + PIECE])
    await write(b"", False)


async def _while_read(run: Awaitable[None], receive: Receive) -> bool:
    """Whether it came to its end; else its reader went, and it was stopped. Raises what it raises."""
    running, leaving = asyncio.ensure_future(run), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait((running, leaving), return_when=asyncio.FIRST_COMPLETED)
        while not running.done():  # before Python 3.12 wait_for may swallow a cancellation
            running.cancel()
            await asyncio.wait((running,), timeout=0.1)
        if running.cancelled():
            return False
        running.result()
        return True
    finally:
        for one in (running, leaving):
            one.cancel()


async def gone(receive: Receive) -> None:
    """Until the reader is."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(status: int, media: str, headers: Sequence[Header]) -> Dict[str, Any]:
    rows = [("Cache-Control", "no-cache, private"), ("Content-Type", media), *headers]
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in rows]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def header_text(text: str) -> str:
    """Text as a header may hold it: no line ends and no control characters."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def merged(*parts: Mapping[str, str]) -> List[Header]:
    """Headers of several sources, the later ones win."""
    found: Dict[str, str] = {}
    for part in parts:
        found.update(part)
    return list(found.items())
