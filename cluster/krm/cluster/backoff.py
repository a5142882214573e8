"""How long to wait before asking an API server again: client-go's figures, as a pure value."""

from __future__ import annotations

from typing import Optional

FIRST = 0.8  # seconds
FACTOR = 2.0
CAP = 30.0  # seconds, before jitter
# A wait is between once and twice its base, so that clients cut off together do not return together.
JITTER = 1.0
# Seconds without a failure after which the next one counts as the first.
QUIET = 120.0


class Backoff:
    """Waits of .8, 1.6, 3.2 ... 30 s, each plus up to as much again: at most 60 s.

    `wait(now, draw)` after each failure: `now` in seconds of a monotonic clock, `draw` a random number
    in [0, 1). A Retry-After that is longer wins: `max(wait, error.retry_after)` is the caller's.
    """

    def __init__(self) -> None:
        self._base = FIRST
        self._until: Optional[float] = None  # when the last wait was over

    def wait(self, now: float, draw: float) -> float:
        """Seconds to wait now, after one more failure."""
        if self._until is not None and now - self._until > QUIET:
            self._base = FIRST
        wait = self._base * (1.0 + JITTER * draw)
        self._base = min(self._base * FACTOR, CAP)
        self._until = now + wait
        return wait
