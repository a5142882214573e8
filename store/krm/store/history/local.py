"""The collector's own history: a file, a live window before it, and reads over both.

`record` takes a turn into memory, writes it to the file each FLUSH seconds, and in the turns after an
hour's end puts that hour's parts together, a little each turn. Points and sums of a turn are in the file
together or not at all. A killed process loses what it took since the last flush; the next one goes on from
the file: a sample that it knows already changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar

from krm.model.measures import Sample
from krm.store.history import giving
from krm.store.history.asked import DETAIL, HOUR, SUMS, NoHistory, Query, Ranged, Totalled
from krm.store.history.backup import swept
from krm.store.history.blobs import Damaged
from krm.store.history.lease import FileLease
from krm.store.history.live import AHEAD, LATE, MOST_SERIES, Live
from krm.store.history.reading import Reading
from krm.store.history.repair import Repaired, finish, repair
from krm.store.history.resume import finding, opened, resume
from krm.store.history.sqlite import File, Finding, PointsRow, SumsRow, is_malformed
from krm.store.history.steps import HOUR_PARTS, WHOLE, hour_at, part_key

FLUSH = 60.0  # seconds of measurements that a killed process may lose
_TIDY = 0.25  # seconds of a turn that may go into putting hours together
_AGAIN = 600.0  # seconds between two tries to mend the file, and for which a clock that was put back is told
_JUMP = 600.0  # seconds between two turns from which on the clock may have jumped
_STEADY = HOUR  # seconds that it must go on evenly before anything is dropped by it
_DAY = 24 * HOUR  # seconds for which a repair is told
T = TypeVar("T")


class LocalHistory:
    """History and Recorder over one file. `record`, `flush` and `close` are for one thread, reads for any.

    Raises Held where another process has the file, NoHistory where it is of another form or cannot be opened.
    """

    def __init__(self, path: str, flush_every: float = FLUSH, most_series: int = MOST_SERIES) -> None:
        self.path = path
        self._flush_every = flush_every
        self._lock = threading.Lock()  # over the live window, and what readers found
        self._live = Live(most_series)
        self._found: Set[Finding] = set()
        self._failures: Dict[str, str] = {}  # what is wrong now, by what was tried
        self._told: Dict[str, Tuple[str, float]] = {}  # what happened, and until when it is told
        self._mended = float("-inf")  # monotonic: when it was last tried
        self._steady = 0.0  # since when the clock goes on evenly
        self._flushed = 0.0  # by the clock of `record`
        self._known_until: Optional[int] = None  # the last hour that was looked up in the file; None = none
        self._kept = (-1, -1)  # hours before which points and sums were dropped
        self._lease = FileLease(path)
        try:
            self._file = self._opened()
        except BaseException as error:
            self._lease.release()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise NoHistory(f"{path} cannot be opened: {error}") from None
            raise
        self._reading = Reading(lambda: self._file, self._live, self._lock, self._report)

    def _opened(self) -> File:
        finish(self.path)
        swept(self.path)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            return File(self.path)
        except sqlite3.DatabaseError as error:
            if not is_malformed(error):
                raise
            self._tell_repaired(repair(self.path), time.time())
            return File(self.path)

    # Recorder -----------------------------------------------------------------------------------

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """As Recorder has it; `now` in Unix seconds. Now and then it takes as long as a flush."""
        live = self._live
        if not live.now - LATE <= now < live.now + _JUMP:
            self._steady = now
        if now < live.now - LATE:
            self._told["clock"] = (f"the clock was put back by {live.now - now:.0f} s", now + _AGAIN)
            self.flush()
            with self._lock:
                live.clear()
            self._known_until = None
        with self._lock:
            live.take((), now)
        if not self._knows(now):
            live.refused.unresumed += len(samples)
            return
        with self._lock:
            live.take(samples, now)
        if not 0 <= now - self._flushed < self._flush_every:
            self.flush()
            self._tidy()

    def _knows(self, now: float) -> bool:
        """What the file holds of the hours that begin is in memory: else it would be written over."""
        last = hour_at(now + AHEAD)
        if self._known_until is None:
            self._flushed = now
            first = self._live.oldest_hour - 1
        elif last > self._known_until:
            first = self._known_until + 1
        else:
            return True
        if not self._resumed(first, last) and not (self._mend() and self._resumed(first, last)):
            return False
        self._known_until = last
        self._set_found_aside()
        return True

    def _resumed(self, first: int, last: int) -> bool:
        with self._lock, self._trying("go on from it") as tried:
            self._found.update(resume(self._file, self._live, first, last))
        return tried.done

    def flush(self) -> bool:
        """What was taken goes into the file. False: it could not, and waits."""
        live = self._live
        parts, hours = sorted(live.dirty_parts), sorted(live.dirty_hours)
        points = [PointsRow(name, *part_key(part), giving.part_blob(live, name, part)) for name, part in parts]
        sums = [SumsRow(name, hour, giving.hour_blob(live, name, hour)) for name, hour in hours]
        with self._trying("write") as tried:
            self._file.put(points, sums)
        with self._lock:
            if tried.done:
                live.dirty_parts.difference_update(parts)
                live.dirty_hours.difference_update(hours)
            live.let_go()
        self._flushed = live.now
        live.refused.turn(live.now)
        return tried.done

    def _tidy(self) -> None:
        """Mends, sets aside what is damaged, puts hours together, drops what is old."""
        began = time.monotonic()
        self._set_found_aside()
        if self._mend():
            self.flush()
        before = min(self._live.oldest_hour, self._live.oldest_part // HOUR_PARTS)
        with self._trying("put hours together"):
            for namespace, hour in self._file.unfinished(before):
                if time.monotonic() - began > _TIDY and hour >= before - 1:  # older ones wait no longer
                    return
                self._put_together(namespace, hour)
        kept = (hour_at(self._live.now - DETAIL), hour_at(self._live.now - SUMS))
        if kept != self._kept and self._live.now >= self._steady + _STEADY:
            with self._trying("drop what is old"):
                self._file.drop_before(*kept)
                self._kept = kept

    def _put_together(self, namespace: str, hour: int) -> None:
        parts = []
        for row in list(self._file.points([namespace], hour, hour)):
            try:
                part = opened(row)
                part.prove()
                parts.append(part)
            except Damaged as error:
                self._file.set_aside(finding(row, error))
        self._file.put_whole(PointsRow(namespace, hour, WHOLE, giving.whole_blob(namespace, hour, parts)))

    # What goes wrong ----------------------------------------------------------------------------

    def _report(self, found: Finding) -> None:
        with self._lock:
            self._found.add(found)

    def _set_found_aside(self) -> None:
        with self._lock:
            found, self._found = self._found, set()
        with self._trying("set aside what is damaged"):
            for each in sorted(found):
                row = self._file.row(each)
                try:
                    if row is not None:
                        opened(row).prove()  # a reader may have met what was replaced meanwhile
                except Damaged as error:
                    self._file.set_aside(each._replace(why=str(error)))

    def _mend(self) -> bool:
        """A file whose trees are broken is copied as far as it can be read. Whether it was."""
        if not self._file.malformed or time.monotonic() < self._mended + _AGAIN:
            return False
        self._mended = time.monotonic()
        self._file.close()
        with self._trying("mend") as mended:
            self._tell_repaired(repair(self.path), self._live.now)
        with self._trying("open") as tried:
            self._file = File(self.path)
        self._file.malformed = not (mended.done and tried.done)
        with self._lock:
            self._live.touch()  # what only the old file had is written again
        if self._file.malformed:
            return False
        self._failures.clear()  # they were the old file's
        return True

    def _tell_repaired(self, done: Repaired, now: float) -> None:
        self._told["mended"] = (str(done), now + _DAY)

    @contextmanager
    def _trying(self, what: str) -> Iterator[_Try]:
        """What the file refuses is told in `health`, and tried again at the next flush."""
        tried = _Try()
        try:
            yield tried
        except (sqlite3.Error, OSError) as error:
            if is_malformed(error):
                self._file.malformed = True
            self._failures[what] = str(error)
            return
        tried.done = True
        self._failures.pop(what, None)

    def health(self) -> List[str]:
        """As Recorder has it. For any thread."""
        found = [
            f"the history's file {self.path} does not work ({what}): {why}; what is measured waits in memory"
            for what, why in sorted(self._failures.items())
        ]
        found += [sentence for sentence, until in list(self._told.values()) if self._live.now < until]
        try:
            damage = self._file.damage()
        except sqlite3.Error:
            damage = 0  # the file's failure is told above
        if damage:
            found.append(f"{damage} damaged blobs of the history are set aside; what they held is a gap")
        return found + self._live.refused.sentences()

    def counts(self) -> Dict[str, int]:
        """What was not kept, by reason, since the start. For any thread."""
        return self._live.refused.counts()

    # History ------------------------------------------------------------------------------------

    def range(self, query: Query) -> Ranged:
        """As History has it."""
        return self._asked(lambda: self._reading.points(query))

    def totals(self, query: Query) -> Totalled:
        """As History has it."""
        return self._asked(lambda: self._reading.totals(query))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except sqlite3.Error as error:
            if is_malformed(error):
                self._file.malformed = True
                raise NoHistory("the history's file is damaged and will be mended: ask again in a minute") from None
            raise NoHistory(f"the history's file cannot be read: {error}") from None

    def close(self) -> None:
        """Writes what waits, and gives the file free."""
        if self._known_until is not None:
            self.flush()
        self._file.close()
        self._lease.release()


class _Try:
    """Whether it was done."""

    done = False
