"""A plain port on loopback for a server that speaks TLS alone, so that a proxy can read what passes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import Set

# Bytes of one read.
_PIECE = 65536


class Plain:
    """`with Plain(port, tls) as plain:` forwards `plain.port` to 127.0.0.1:port. One thread does it all: a TLS
    socket of Python's must not be read and written by two at once."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._target, self._tls = port, tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plain", daemon=True)
        self._serving: Set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Plain:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.base_events.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]
        self._serving.add(task)
        writers = [writer]
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                theirs, to_server = await asyncio.open_connection("127.0.0.1", self._target, ssl=self._tls)
                writers.append(to_server)
                ways = [
                    asyncio.ensure_future(_copy(reader, to_server)),
                    asyncio.ensure_future(_copy(theirs, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for one in writers:
                one.close()
            self._serving.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        data = await reader.read(_PIECE)
        if not data:
            return
        writer.write(data)
        await writer.drain()
