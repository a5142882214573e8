"""Reads: what memory and the file hold together, for any thread.

Memory is copied first and the file is read after it: what goes from one to the other meanwhile is in
both, and counts once, for a step and an hour are what they are whoever tells them.
"""

from __future__ import annotations

import threading
from math import ceil, floor
from typing import Callable, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.model import times
from krm.model.measures import Covers
from krm.model.metrics import TABLE
from krm.store.history import sums
from krm.store.history.adding import Adder, of_points, of_tally
from krm.store.history.asked import DETAIL, HOUR, STEP, SUMS, Extent, NoHistory, Query, Ranged, Total, Totalled
from krm.store.history.asking import namespaces
from krm.store.history.blobs import POINTS, Damaged, Packed, decode
from krm.store.history.blobs import SUMS as SUMS_KIND
from krm.store.history.live import Live
from krm.store.history.points import Sheet, matches
from krm.store.history.sqlite import File
from krm.store.history.steps import HOUR_PARTS, hour_at, hour_of, part_of

_MORE_STEPS = 4  # before the asked time, for what the first points stand for

Span = range  # hours: a method of Reading has that name
Aside = Callable[[str, str, int, int, str], None]  # table, namespace, hour, part, why


class Reading:
    """Answers. `aside` hears of each blob that cannot be read."""

    def __init__(self, file: Callable[[], File], live: Live, lock: threading.Lock, aside: Aside) -> None:
        self._file = file
        self._live = live
        self._lock = lock
        self._aside = aside

    def range(self, query: Query) -> Ranged:
        """As History has it."""
        names = namespaces(query)
        now = self._now()
        kept = max(query.begin, now - DETAIL)
        notes = (
            _cut_note(kept, "points are kept for a day; older ones are sums of hours") if kept > query.begin else []
        )
        first, last = ceil(kept / STEP), ceil(min(query.end, now + HOUR) / STEP) - 1
        sheet = Sheet(query, first, last)
        hours = self._lay(sheet, names, first, last, notes)
        series = sheet.series()
        newest = max((one.times[-1] for one in series), default=None)
        asked = range(hour_of(first + 1), hour_of(last) + 1)  # a point at an hour's begin is of the one before
        covers = Covers(sum(hour in hours for hour in asked), len(asked), "hours")
        end = min(query.end, max(kept, now))
        return Ranged(series, Extent(kept, end, self._oldest("points"), newest, tuple(notes), covers))

    def totals(self, query: Query) -> Totalled:
        """As History has it."""
        names = namespaces(query)
        now = self._now()
        kept = max(query.begin, now - SUMS)
        notes = _cut_note(kept, "sums are kept for 400 days") if kept > query.begin else []
        end = min(query.end, now)
        plan = _plan(kept, end, now)
        adder = Adder()
        there: Set[int] = set()
        for total in self._whole_hours(query, names, plan.hours, there, notes):
            adder.add(total)
        for begin, until in plan.ends:
            for total in self._part_of_hour(query, names, begin, until, there, notes):
                adder.add(total)
        totals = adder.totals()
        newest = max((total.last for total in totals), default=None)
        notes += plan.notes
        covers = Covers(len(there), plan.asked, "hours")
        return Totalled(totals, Extent(plan.begin, plan.end, self._oldest("sums"), newest, tuple(notes), covers))

    # Points -------------------------------------------------------------------------------------

    def _lay(
        self, sheet: Sheet, names: Optional[Sequence[str]], first: int, last: int, notes: List[str]
    ) -> Set[int]:
        """Answers the hours of which there is anything at all."""
        query = sheet.query
        hours: Set[int] = set()
        with self._lock:
            pieces = list(self._live.pieces(query.metric, query.level, first, last, names))
            hours.update(
                part // HOUR_PARTS
                for part, by_name in self._live.parts.items()
                if part_of(first) <= part <= part_of(last)
                and (names is None or not by_name.keys().isdisjoint(names))
            )
        for row in self._file().points(names, hour_of(first), hour_of(last)):
            hours.add(row.hour)
            blob = self._opened("points", POINTS, row.namespace, row.hour, row.part, row.blob, notes)
            if blob is None:
                continue
            try:
                rows = blob.rows(query.level, query.metric)
            except Damaged as error:
                self._tell("points", row.namespace, row.hour, row.part, str(error), notes)
                continue
            if rows is not None:
                sheet.lay(rows, blob.first)
        for piece in pieces:
            sheet.lay_piece(piece)
        return hours

    def _part_of_hour(
        self,
        query: Query,
        names: Optional[Sequence[str]],
        begin: float,
        end: float,
        there: Set[int],
        notes: List[str],
    ) -> List[Total]:
        first, last = floor(begin / STEP) + 1 - _MORE_STEPS, ceil(end / STEP)
        sheet = Sheet(query, first, last)
        hours = self._lay(sheet, names, first, last, notes)
        there |= hours & {hour_at(begin)}
        form = TABLE[query.metric].form
        found = (of_points(subject, form, row, first, begin, end) for subject, row in sheet.rows())
        return [total for total in found if total is not None]

    # Sums ---------------------------------------------------------------------------------------

    def _whole_hours(
        self, query: Query, names: Optional[Sequence[str]], hours: Span, there: Set[int], notes: List[str]
    ) -> List[Total]:
        if not hours:
            return []
        found: List[Total] = []
        with self._lock:
            in_memory = {
                (hour, name) for hour in self._live.hours if hour in hours for name in self._live.hours[hour]
            }
            for hour, name in in_memory:
                if names is None or name in names:
                    there.add(hour)
                    for subject, tally in self._live.tallies(query.metric, query.level, hour, name):
                        if matches(subject, query):
                            found.append(of_tally(subject, tally))
        for row in self._file().sums(names, hours[0], hours[-1]):
            there.add(row.hour)
            if (row.hour, row.namespace) in in_memory:
                continue
            blob = self._opened("sums", SUMS_KIND, row.namespace, row.hour, 0, row.blob, notes)
            if blob is None:
                continue
            try:
                rows = blob.rows(query.level, query.metric)
            except Damaged as error:
                self._tell("sums", row.namespace, row.hour, 0, str(error), notes)
                continue
            for line in sums.lines(blob, rows) if rows is not None else ():
                if matches(line.subject, query):
                    found.append(of_tally(line.subject, line.tally))
        return found

    # Parts --------------------------------------------------------------------------------------

    def _opened(
        self, table: str, kind: str, namespace: str, hour: int, part: int, raw: bytes, notes: List[str]
    ) -> Optional[Packed]:
        try:
            return opened(kind, namespace, hour, raw)
        except Damaged as error:
            self._tell(table, namespace, hour, part, str(error), notes)
            return None

    def _tell(self, table: str, namespace: str, hour: int, part: int, why: str, notes: List[str]) -> None:
        self._aside(table, namespace, hour, part, why)
        what = "points" if table == "points" else "sums"
        notes.append(
            f"{what} of {namespace or 'the nodes'} in the hour of {times.write(hour * HOUR)} are damaged: set aside"
        )

    def _now(self) -> float:
        """The collector's clock at its last turn; of a file that nobody writes, its newest hour's end."""
        with self._lock:
            now = self._live.now
        if now > 0:
            return now
        newest = self._file().newest_sums()
        if newest is None:
            raise NoHistory("there is no history yet: nothing was measured")
        return (newest + 1) * HOUR

    def _oldest(self, table: str) -> Optional[float]:
        hour = self._file().oldest(table)
        with self._lock:
            live = min(self._live.hours, default=None)
        known = [one for one in (hour, live) if one is not None]
        return min(known) * HOUR if known else None


def opened(kind: str, namespace: str, hour: int, raw: bytes) -> Packed:
    """A blob that is what its key says. Raises Damaged."""
    blob = decode(raw)
    its_hour = hour_of(blob.first) if blob.kind == POINTS else blob.first
    if (blob.kind, blob.namespace, its_hour) != (kind, namespace, hour):
        raise Damaged("it stands at the key of another one")
    return blob


class _Plan(NamedTuple):
    """How totals are put together."""

    hours: Span  # whole ones, from sums
    ends: List[Tuple[float, float]]  # parts of hours, from points
    begin: float  # what the answer then is of
    end: float
    asked: int  # hours that are touched
    notes: List[str]


def _plan(begin: float, end: float, now: float) -> _Plan:
    """`end` is at most now; an hour that is asked for until now is whole as far as it is."""
    if end <= begin:
        return _Plan(range(0), [], begin, max(begin, end), 0, [])
    detail = hour_at(now - DETAIL) + 1  # hours from here on are kept in points
    first, last = hour_at(begin), hour_at(end) - (end == hour_at(end) * HOUR)
    whole_first = first if begin == first * HOUR else first + 1
    whole_last = last if end >= min((last + 1) * HOUR, now) else last - 1
    ends: List[Tuple[float, float]] = []
    notes: List[str] = []
    asked = last - first + 1
    if whole_first > whole_last + 1:  # within one hour
        ends = [(begin, end)]
    else:
        if whole_first > first:
            ends.append((begin, min(whole_first * HOUR, end)))
        if whole_last < last:
            ends.append((last * HOUR, end))
    kept = [one for one in ends if hour_at(one[0]) >= detail]
    for one in ends:
        if one not in kept:
            hour = hour_at(one[0])
            whole_first, whole_last = min(whole_first, hour), max(whole_last, hour)
            begin, end = min(begin, hour * HOUR), max(end, min((hour + 1) * HOUR, now))
            notes.append(
                f"the hour of {times.write(hour * HOUR)} is counted whole: points of it are no longer kept"
            )
    return _Plan(range(whole_first, whole_last + 1), kept, begin, end, asked, notes)


def _cut_note(kept: float, why: str) -> List[str]:
    return [f"the answer begins at {times.write(floor(kept))}: {why}"]
