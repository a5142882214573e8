"""Work that waits for others, in a few threads that keep no process from ending.

An executor's threads are waited for at the end of the process, however long they wait for somebody else
themselves; these are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any, Callable, Deque, Tuple, TypeVar

T = TypeVar("T")


class Full(Exception):
    """As many wait as may."""


class Threads:
    """At most so many at work, and so many more that wait. It belongs to the event loop."""

    def __init__(self, name: str, at_work: int, waiting: int) -> None:
        self._name, self._most, self._waiting = name, at_work, waiting
        self._running = 0
        self._queue: Deque[Tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()

    async def run(self, work: Callable[[], T], within: float) -> T:
        """What `work` gives, or raises. Raises Full, and asyncio.TimeoutError after `within` seconds, the waiting
        included: work that has begun goes on, and counts until it has ended."""
        self._queue = deque(one for one in self._queue if not one[0].done())
        if self._running >= self._most and len(self._queue) >= self._waiting:
            raise Full
        told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((told, work))
        self._next()
        return await asyncio.wait_for(told, within)

    def _next(self) -> None:
        while self._queue and self._running < self._most:
            told, work = self._queue.popleft()
            if not told.done():  # who asked did not go
                self._running += 1
                threading.Thread(target=self._work, args=(told, work), name=self._name, daemon=True).start()

    def _work(self, told: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        """In the thread."""
        give: Callable[[Any], None] = told.set_result
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 (whoever waits is told)
            give, found = told.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            told.get_loop().call_soon_threadsafe(self._ended, told, give, found)

    def _ended(self, told: asyncio.Future[Any], give: Callable[[Any], None], found: Any) -> None:
        self._running -= 1
        if not told.done():
            give(found)
        self._next()
