"""The async iterator of a watch: the same watch, its blocking turns in a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import AsyncIterator, Callable, Generator

from krm.client.watch import Change
from krm.model.trust import Trust

OnTrust = Callable[[Trust], None]


class _Left(Exception):
    """Nobody iterates any more: ends the watch from within its thread."""


def bridged(watch: Callable[[OnTrust], Generator[Change, None, None]], on_trust: OnTrust) -> AsyncIterator[Change]:
    """Each change of the watch that `watch` opens, and its errors. Opened now; closed at its end, or when left."""
    left = Event()

    def each_turn(trust: Trust) -> None:
        if left.is_set():
            raise _Left
        on_trust(trust)

    return _iterated(watch(each_turn), left)


async def _iterated(changes: Generator[Change, None, None], left: Event) -> AsyncIterator[Change]:
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="krm-watch")
    try:
        while True:
            change = await loop.run_in_executor(thread, next, changes, None)
            if change is None:
                return
            yield change
    finally:
        # A turn that goes on ends within a second, and the watch with it; closing stands behind it in the thread.
        left.set()
        thread.submit(changes.close)
        thread.shutdown(wait=False)
