"""News for whoever waits on the event loop."""

from __future__ import annotations

import asyncio
from typing import Set


class Bell:
    """Wakes whoever waits for a replica's next version. It belongs to the event loop."""

    def __init__(self) -> None:
        self._waiting: Set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Something happened."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until the next ring, or for so long."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        timer = asyncio.get_running_loop().call_later(seconds, _end, future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
