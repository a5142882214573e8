"""Where the collector's history listens: as the collector tells it in Redis."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional, Tuple

from krm.store.connect import Database
from krm.store.errors import StoreError
from krm.store.history.asked import NoHistory
from krm.store.latest_reader import LatestReader

# Seconds for which an address counts: a collector that began anew has another one.
COUNTS = 1.0


class Collected:
    """The place of one cluster's history, for RemoteHistory. For any thread."""

    def __init__(self, database: Database, cluster: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._cluster, self._clock = database, cluster, clock
        self._lock = threading.Lock()
        self._known: Optional[Tuple[str, str]] = None
        self._until = float("-inf")

    def __call__(self) -> Optional[Tuple[str, str]]:
        """Address and certificate digest; None = no collector keeps one. Raises NoHistory."""
        with self._lock:
            if self._clock() >= self._until:
                self._known = self._read()
                self._until = self._clock() + COUNTS
            return self._known

    def _read(self) -> Optional[Tuple[str, str]]:
        try:
            reader = LatestReader(self._database, self._cluster)
            try:
                collector = reader.beat().collector
            finally:
                reader.close()
        except StoreError as error:
            raise NoHistory(
                f"no history: where it is could not be read from Redis ({type(error).__name__})"
            ) from None
        return (collector.address, collector.certificate) if collector and collector.address else None
