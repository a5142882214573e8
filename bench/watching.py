"""`python bench/watching.py URL TOKEN PATH... --count N --idle N --seconds S`: watchers, as a process of their own.

Each of `count` connections watches one of the paths in turn and notes when it was told of which
resourceVersion; each of `idle` asks for the first path and never reads. JSON on the standard output:
{"told": [[resourceVersion, seconds since the epoch], ...], "ended": N, "bytes": N}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import ssl
import sys
import time
from typing import Any, List, Optional, Tuple
from urllib.parse import urlsplit

RV = re.compile(rb'"resourceVersion":"(\d+)"')
# Connections opened at once: a handshake is 2 ms of the server's time.
OPENING = 20


class Told:
    """What all watchers were told."""

    def __init__(self) -> None:
        self.rows: List[Tuple[int, float]] = []
        self.ended = self.bytes = 0


class Watcher(asyncio.Protocol):
    """One watch. Of what comes at once the first event is noted: it has waited longest."""

    def __init__(self, head: bytes, told: Told, answered: asyncio.Future[None]) -> None:
        self._head, self._told, self._answered = head, told, answered

    def connection_made(self, transport: Any) -> None:
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if not self._answered.done():
            if not data.startswith(b"HTTP/1.1 200"):
                self._answered.set_exception(RuntimeError(f"a watch was refused: {data[:300]!r}"))
                return
            self._answered.set_result(None)
            return
        self._told.bytes += len(data)
        found = RV.search(data)
        if found:
            self._told.rows.append((int(found.group(1)), time.time()))

    def connection_lost(self, exc: Optional[Exception]) -> None:  # noqa: ARG002
        self._told.ended += 1


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--accept", default="application/json")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    where = urlsplit(options.url)
    context: Optional[ssl.SSLContext] = None
    if where.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    loop, told = asyncio.get_running_loop(), Told()
    heads = [_head(path, options) for path in options.paths]
    idle = [
        await _never_reads(where.hostname or "", where.port or 0, context, heads[0]) for _ in range(options.idle)
    ]

    async def open_one(number: int) -> None:
        answered: asyncio.Future[None] = loop.create_future()
        head = heads[number % len(heads)]
        await loop.create_connection(lambda: Watcher(head, told, answered), where.hostname, where.port, ssl=context)
        await answered

    for start in range(0, options.count, OPENING):
        await asyncio.gather(*[open_one(n) for n in range(start, min(options.count, start + OPENING))])
    print("open", file=sys.stderr, flush=True)
    await asyncio.sleep(options.seconds)
    json.dump({"told": told.rows, "ended": told.ended, "bytes": told.bytes}, sys.stdout)
    sys.stdout.flush()
    del idle
    sys.exit(0)


def _head(path: str, options: argparse.Namespace) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: krm",
        f"Authorization: Bearer {options.token}",
        f"Accept: {options.accept}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _never_reads(
    host: str, port: int, context: Optional[ssl.SSLContext], head: bytes
) -> asyncio.StreamWriter:
    """A connection whose window is small and stays full."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, port))
    raw.setblocking(False)
    _, writer = await asyncio.open_connection(
        sock=raw, ssl=context, server_hostname=host if context else None, limit=1024
    )
    writer.write(head)
    await writer.drain()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
