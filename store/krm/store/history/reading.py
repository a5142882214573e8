"""Reads: what memory and the file hold together, for any thread.

Memory is copied first and the file is read after it: what goes from one to the other meanwhile is in
both, and counts once, for a step and an hour are what they are whoever tells them.
"""

from __future__ import annotations

import threading
from math import ceil, floor
from typing import Callable, List, Optional, Sequence, Set, Tuple, Union

from krm.model import times
from krm.model.measures import Covers
from krm.model.metrics import TABLE
from krm.store.history import sums
from krm.store.history.adding import Adder, of_points
from krm.store.history.asked import DETAIL, HOUR, STEP, SUMS, Extent, NoHistory, Query, Ranged, Totalled
from krm.store.history.asking import namespaces
from krm.store.history.blobs import Damaged, Packed, Rows
from krm.store.history.live import AHEAD, Live
from krm.store.history.plan import cut_note, plan
from krm.store.history.points import Sheet, matches
from krm.store.history.resume import finding, opened
from krm.store.history.sqlite import File, Finding, PointsRow, SumsRow
from krm.store.history.steps import HOUR_PARTS, hour_at, hour_of, part_of

_MORE_STEPS = 4  # before the asked time, for what the first points stand for
Names = Optional[Sequence[str]]  # namespaces; None = all

# Seconds by which who asks for the whole day may be early: to ask takes time, and that is nothing to be told.
SLACK = 60.0


class Reading:
    """Answers. `report` hears of each blob that cannot be read."""

    def __init__(
        self, file: Callable[[], File], live: Live, lock: threading.Lock, report: Callable[[Finding], None]
    ) -> None:
        self._file = file
        self._live = live
        self._lock = lock
        self._report = report

    def points(self, query: Query) -> Ranged:
        """As History.range has it."""
        names, now = namespaces(query), self._now()
        begin, end = max(query.begin, now - DETAIL), min(query.end, now + AHEAD)
        notes = _Notes()
        if begin > query.begin + SLACK:
            notes.add(cut_note(begin, "points are kept for a day; of older time there are sums of hours"))
        first, last = ceil(begin / STEP), ceil(end / STEP) - 1
        sheet = Sheet(query, first, last)
        hours = self._lay(sheet, names, notes)
        series = sheet.series()
        newest = max((one.times[-1] for one in series), default=None)
        asked = range(hour_of(first + 1), hour_of(last) + 1)  # a point at an hour's begin is of the one before
        covers = Covers(sum(hour in hours for hour in asked), len(asked), "hours")
        return Ranged(series, Extent(begin, max(begin, end), self._oldest("points"), newest, notes.all(), covers))

    def totals(self, query: Query) -> Totalled:
        """As History.totals has it."""
        names, now = namespaces(query), self._now()
        begin = max(query.begin, now - SUMS)
        notes, adder = _Notes(), Adder()
        there: Set[int] = set()  # hours
        if begin > query.begin:
            notes.add(cut_note(begin, "sums are kept for 400 days"))
        way = plan(begin, min(query.end, now), now)
        self._add_hours(adder, query, names, way.hours, there, notes)
        for part_begin, part_end in way.ends:
            self._add_points(adder, query, names, part_begin, part_end, there, notes)
        for note in way.notes:
            notes.add(note)
        totals = adder.totals()
        newest = max((total.last for total in totals), default=None)
        covers = Covers(len(there), way.asked, "hours")
        return Totalled(totals, Extent(way.begin, way.end, self._oldest("sums"), newest, notes.all(), covers))

    # Points -------------------------------------------------------------------------------------

    def _lay(self, sheet: Sheet, names: Names, notes: _Notes) -> Set[int]:
        """Answers the hours of which there is anything at all."""
        query, first, last = sheet.query, sheet.first, sheet.first + sheet.width - 1
        with self._lock:
            pieces = list(self._live.pieces(query.metric, query.level, first, last, names))
            hours = {
                part // HOUR_PARTS
                for part, by_name in self._live.parts.items()
                if part_of(first) <= part <= part_of(last)
                and (names is None or not by_name.keys().isdisjoint(names))
            }
        file = self._file()
        notes.damaged("points", file.lost("points", names, hour_of(first), hour_of(last)))
        for row in file.points(names, hour_of(first), hour_of(last)):
            found = self._section(row, query, notes)
            if row.blob is not None:
                hours.add(row.hour)
            if found is not None:
                sheet.lay(found[1], found[0].first)
        for piece in pieces:
            sheet.lay_piece(piece)
        return hours

    def _add_points(
        self, adder: Adder, query: Query, names: Names, begin: float, end: float, there: Set[int], notes: _Notes
    ) -> None:
        """A part of an hour."""
        first, last = floor(begin / STEP) + 1 - _MORE_STEPS, ceil(end / STEP)
        sheet = Sheet(query, first, last)
        if hour_at(begin) in self._lay(sheet, names, notes):
            there.add(hour_at(begin))
        form = TABLE[query.metric].form
        for subject, row in sheet.rows():
            total = of_points(subject, form, row, first, begin, end)
            if total is not None:
                adder.add(total)

    # Sums ---------------------------------------------------------------------------------------

    def _add_hours(
        self, adder: Adder, query: Query, names: Names, hours: range, there: Set[int], notes: _Notes
    ) -> None:
        """Whole hours; the one that goes on, as far as it has come."""
        if not hours:
            return
        with self._lock:
            in_memory = {
                (hour, name)
                for hour, by_name in self._live.hours.items()
                if hour in hours
                for name in by_name
                if names is None or name in names
            }
            found = [
                (subject, tally)
                for hour, name in in_memory
                for subject, tally in self._live.tallies(query.metric, query.level, hour, name)
            ]
        there.update(hour for hour, _ in in_memory)
        for subject, tally in found:
            if matches(subject, query):
                adder.add_tally(subject, tally)
        file = self._file()
        notes.damaged("sums", file.lost("sums", names, hours[0], hours[-1]))
        for row in file.sums(names, hours[0], hours[-1]):
            if (row.hour, row.namespace) in in_memory:
                continue
            section = self._section(row, query, notes)
            if row.blob is not None:
                there.add(row.hour)
            for line in sums.lines(*section) if section is not None else ():
                if matches(line.subject, query):
                    adder.add_tally(*line)

    # Parts --------------------------------------------------------------------------------------

    def _section(
        self, row: Union[PointsRow, SumsRow], query: Query, notes: _Notes
    ) -> Optional[Tuple[Packed, Rows]]:
        """What is damaged is told, and the rest is served."""
        try:
            blob = opened(row)
            rows = blob.rows(query.level, query.metric)
        except Damaged as error:
            found = finding(row, error)
            self._report(found)
            notes.damaged(found.table, [(row.namespace, row.hour)])
            return None
        return None if rows is None else (blob, rows)

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


class _Notes:
    """Sentences, each once."""

    def __init__(self) -> None:
        self._all: List[str] = []

    def add(self, sentence: str) -> None:
        if sentence not in self._all:
            self._all.append(sentence)

    def damaged(self, table: str, keys: Sequence[Tuple[str, int]]) -> None:
        for namespace, hour in keys:
            whose = f"namespace {namespace}" if namespace else "the nodes"
            self.add(f"{table} of {whose} in the hour of {times.write(hour * HOUR)} are damaged and set aside")

    def all(self) -> Tuple[str, ...]:
        return tuple(self._all)
