"""Memory that goes back to the system. glibc keeps what is freed for itself: after thousands of connections
have gone, it would hold hundreds of megabytes that nobody needs."""

from __future__ import annotations

import asyncio
import ctypes
from typing import Callable, Optional

# Connections that ended since the last time, and seconds between two times and before the first.
ENOUGH, EVERY, SOON = 20, 5.0, 2.0


def _trimmer() -> Optional[Callable[[int], int]]:
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library gives back by itself, or cannot
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    trim: Callable[[int], int] = found
    return trim


class Returns:
    """Counts what ended, and gives back once in a while. It belongs to one event loop."""

    def __init__(self, trim: Optional[Callable[[int], int]] = None) -> None:
        self._trim = trim or _trimmer()
        self._ended = 0
        self._next = 0.0  # by the loop's clock
        self._waiting = False

    def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """One more connection has gone."""
        self._ended += 1
        if self._ended < ENOUGH or self._waiting or self._trim is None:
            return
        self._waiting = True
        loop.call_at(max(self._next, loop.time() + SOON), self._give, loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting, self._ended, self._next = False, 0, loop.time() + EVERY
        if self._trim is not None:
            loop.run_in_executor(None, self._trim, 0)  # ctypes lets others run meanwhile
