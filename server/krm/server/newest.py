"""The newest measurements of one cluster as this server holds them, and what they are worth now."""

from __future__ import annotations

import time
from typing import NamedTuple, Optional, Tuple

from krm.server.statuses import unavailable
from krm.store.latest import CollectorState
from krm.store.latest_reader import Packed

# Turns of the collector, and seconds beside them, after which a newer one should have come.
LATE_TURNS, LATE_AFTER = 2.0, 2.0
# Turns, and at least seconds, after which they are no measure of now any more and are not shown.
OLD_TURNS, OLD_AFTER = 5.0, 60.0


class Newest:
    """One cluster's. It belongs to the event loop."""

    def __init__(self) -> None:
        self.packed: Optional[Packed] = None  # None = no collector ever wrote, or nothing was read yet
        self._offset = 0.0  # the Redis clock less our monotonic one

    def told(self, packed: Optional[Packed], offset: float) -> None:
        """What Redis holds; None = as before. Where Redis was emptied, what was held stays, and grows old."""
        self.packed = packed or self.packed
        self._offset = offset

    def now(self) -> float:
        """The Redis clock in seconds, as far as it is known."""
        return time.monotonic() + self._offset

    @property
    def collector(self) -> Optional[CollectorState]:
        """None = no collector ever wrote."""
        return None if self.packed is None else self.packed.collector


class Worth(NamedTuple):
    """What a turn of the collector is worth."""

    at: float  # when it was written, seconds of the Redis clock
    is_fresh: bool
    warnings: Tuple[str, ...]


def judged(collector: CollectorState, now: float) -> Worth:
    """`now`: seconds of the Redis clock. Raises ApiError 503 where it is too old to be shown."""
    age = max(0.0, now - collector.beat)
    if age > max(OLD_AFTER, OLD_TURNS * collector.every):
        raise unavailable(
            f"measurements cannot be read from krm now: the newest are {age:.0f} s old, its collector is away"
        )
    if age <= LATE_AFTER + LATE_TURNS * collector.every:
        return Worth(collector.beat, True, ())
    return Worth(collector.beat, False, (f"krm: the measurements are {age:.0f} s old: its collector is away",))
