"""The collector's own history: a file, a live window before it, and reads over both.

`record` takes a turn into memory, writes it to the file each FLUSH seconds, and in the turns after an
hour's end puts that hour's parts together, a little each turn. Points and sums of a turn are in the file
together or not at all. A killed process loses what it took since the last flush; the next one goes on from
the file: a sample that it knows already changes nothing.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Callable, List, Optional, Sequence, Set, Tuple

from krm.model.measures import Sample
from krm.store.history import giving
from krm.store.history.asked import DETAIL, SUMS, NoHistory, Query, Ranged, Totalled
from krm.store.history.blobs import POINTS, Damaged
from krm.store.history.lease import FileLease
from krm.store.history.live import LATE, MOST_SERIES, Live
from krm.store.history.reading import Reading, opened
from krm.store.history.resume import resume
from krm.store.history.sqlite import File, PointsRow, SumsRow
from krm.store.history.steps import HOUR_PARTS, WHOLE, hour_at, part_key

FLUSH = 60.0  # seconds of measurements that a killed process may lose
_TIDY = 0.25  # seconds of a turn that may go into putting hours together


class LocalHistory:
    """History and Recorder over one file. `record`, `flush` and `close` are for one thread, reads for any.

    Raises Held where another process has the file, NoHistory where it is of another form, OSError.
    """

    def __init__(self, path: str, flush_every: float = FLUSH, most_series: int = MOST_SERIES) -> None:
        self.path = path
        self._flush_every = flush_every
        self._lease = FileLease(path)
        try:
            self._file = File(path)
        except sqlite3.Error as error:
            self._lease.release()
            raise NoHistory(f"{path} cannot be opened: {error}") from None
        except BaseException:
            self._lease.release()
            raise
        self._live = Live(most_series)
        self._lock = threading.Lock()
        self._reading = Reading(lambda: self._file, self._live, self._lock, self._found_damaged)
        self._damaged: Set[Tuple[str, str, int, int, str]] = set()
        self._flushed: Optional[float] = None  # by the clock of `record`
        self._put_back = ""
        self._failure = ""
        self._kept = (-1, -1)  # hours before which points and sums were dropped

    # Recorder -----------------------------------------------------------------------------------

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """As Recorder has it; `now` in Unix seconds. It may take as long as a flush."""
        if self._flushed is None:
            self._begin(now)
        elif now < self._live.now - LATE:
            self._put_back = f"the clock was put back by {self._live.now - now:.0f} s"
            self.flush()
            self._begin(now)
        with self._lock:
            self._live.take(samples, now)
        if now - (self._flushed or 0.0) >= self._flush_every:
            self.flush()
            self._tidy()

    def _begin(self, now: float) -> None:
        with self._lock:
            self._live.clear()
            self._live.take((), now)
            self._guarded(lambda: resume(self._file, self._live, now, self._found_damaged))
        self._flushed = now

    def flush(self) -> bool:
        """What was taken goes into the file. False: it could not, and waits."""
        live = self._live
        parts, hours = sorted(live.dirty_parts), sorted(live.dirty_hours)
        points = [PointsRow(name, *part_key(part), giving.part_blob(live, name, part)) for name, part in parts]
        sums = [SumsRow(name, hour, giving.hour_blob(live, name, hour)) for name, hour in hours]
        done = not (points or sums) or self._guarded(lambda: self._file.put(points, sums))
        with self._lock:
            if done:
                live.dirty_parts.difference_update(parts)
                live.dirty_hours.difference_update(hours)
            live.let_go()
        self._flushed = live.now
        return done

    def _tidy(self) -> None:
        """Puts hours together, sets aside what is damaged, and drops what is old."""
        began = time.monotonic()
        for found in sorted(self._damaged):
            if self._guarded(lambda found=found: self._file.set_aside(*found)):  # type: ignore[misc]
                self._damaged.discard(found)
        before = min(self._live.oldest_hour, self._live.oldest_part // HOUR_PARTS)
        unfinished: List[Tuple[str, int]] = []
        self._guarded(lambda: unfinished.extend(self._file.unfinished(before)))
        for namespace, hour in unfinished:
            if time.monotonic() - began > _TIDY:
                return
            self._guarded(lambda n=namespace, h=hour: self._put_together(n, h))  # type: ignore[misc]
        kept = (hour_at(self._live.now - DETAIL), hour_at(self._live.now - SUMS))
        if kept != self._kept and self._guarded(lambda: self._file.drop_before(*kept)):
            self._kept = kept

    def _put_together(self, namespace: str, hour: int) -> None:
        parts = []
        for row in self._file.points([namespace], hour, hour):
            try:
                parts.append(opened(POINTS, namespace, hour, row.blob))
            except Damaged as error:
                self._file.set_aside("points", namespace, hour, row.part, str(error))
        self._file.put_whole(PointsRow(namespace, hour, WHOLE, giving.whole_blob(namespace, hour, parts)))

    def _guarded(self, work: Callable[[], object]) -> bool:
        """What the file refuses is told in `health`, and tried again at the next flush."""
        try:
            work()
        except (sqlite3.Error, OSError) as error:
            self._failure = f"the history's file {self.path} cannot be written or read: {error}"
            return False
        self._failure = ""
        return True

    def health(self) -> List[str]:
        """As Recorder has it."""
        return [self._failure] if self._failure else []

    def _found_damaged(self, table: str, namespace: str, hour: int, part: int, why: str) -> None:
        self._damaged.add((table, namespace, hour, part, why))

    # History ------------------------------------------------------------------------------------

    def range(self, query: Query) -> Ranged:
        """As History has it."""
        try:
            return self._reading.range(query)
        except sqlite3.Error as error:
            raise NoHistory(f"the history's file cannot be read: {error}") from None

    def totals(self, query: Query) -> Totalled:
        """As History has it."""
        try:
            return self._reading.totals(query)
        except sqlite3.Error as error:
            raise NoHistory(f"the history's file cannot be read: {error}") from None

    def close(self) -> None:
        """Writes what waits, and gives the file free."""
        if self._flushed is not None:
            self.flush()
        self._file.close()
        self._lease.release()
