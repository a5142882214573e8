"""From Redis to the newest measurements: a thread a cluster, never a Redis read a request.

Each second it asks which turn the collector has come to, and reads everything anew where that is another.
It stays packed: who asks unpacks what they need.
While Redis does not answer, what is held grows old, and so it does while the collector is away.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Callable, Optional, Tuple

from krm.server.feeds import OnLoop, offset_of
from krm.server.newest import Newest
from krm.store.connect import Database
from krm.store.errors import StoreError
from krm.store.latest import CollectorState
from krm.store.latest_reader import LatestReader, Packed

# Seconds between two looks at the collector's turn.
LOOK_EVERY = 1.0

log = logging.getLogger("krm.server")


class Measured:
    """One cluster's thread. It changes `newest` on the event loop alone."""

    def __init__(
        self, database: Database, cluster: str, newest: Newest, on_loop: OnLoop, looked: Callable[[], None]
    ) -> None:
        """`looked` is called on the loop once it was seen whether there is a collector, or that Redis is away."""
        self.error = ""  # of the last attempt, '' = none
        self._database, self._cluster, self._newest, self._on_loop = database, cluster, newest, on_loop
        self._looked = looked
        self._has: Tuple[int, float] = (0, 0.0)  # turn and beat of what is held
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"measurements of {cluster}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread within a second or two; `join` waits for it."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        reader: Optional[LatestReader] = None
        while not self._stop.is_set():
            try:
                reader = reader or LatestReader(self._database, self._cluster)
                self._look(reader)
                self.error = ""
            except StoreError as error:
                self._failed(error)
            except RuntimeError:  # the event loop has ended
                if not self._stop.is_set():
                    raise
            self._stop.wait(LOOK_EVERY)
        if reader is not None:
            reader.close()

    def _look(self, reader: LatestReader) -> None:
        asked = time.monotonic()
        beat = reader.beat()
        offset = offset_of(beat.now, asked)
        packed = self._read(reader, beat.collector) if beat.collector is not None else None
        self._on_loop(lambda: self._told(packed, offset))

    def _read(self, reader: LatestReader, collector: CollectorState) -> Optional[Packed]:
        """None where nothing is new."""
        if (collector.turn, collector.beat) == self._has:
            return None
        packed = reader.packed()
        if packed.collector is None:
            return None
        self._has = (packed.collector.turn, packed.collector.beat)
        return packed

    def _told(self, packed: Optional[Packed], offset: float) -> None:
        self._newest.told(packed, offset)
        self._looked()

    def _failed(self, error: StoreError) -> None:
        if type(error).__name__ != self.error:
            log.warning("measurements of %s: %s", self._cluster, error)
        self.error = type(error).__name__
        with suppress(RuntimeError):  # the event loop has ended
            self._on_loop(self._looked)
