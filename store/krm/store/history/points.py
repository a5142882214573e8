"""Points of many blobs, laid into one row a subject. Pure."""

from __future__ import annotations

import re
from array import array
from math import nan
from typing import Dict, List, Optional, Sequence, Tuple

from krm.model.measures import Subject
from krm.store.history.asked import STEP, Query, Series, TooMuch
from krm.store.history.blobs import Rows
from krm.store.history.live import GAP, Piece

MOST_POINTS = 6_000_000  # of one answer: 1,000 series of a day; 8 bytes each
_RUNS = re.compile(b"\x01+").finditer


def matches(subject: Subject, query: Query) -> bool:
    """Whether a subject of the right level is asked for. `allowed` is looked at before, by `namespaces`."""
    return (
        (not query.pod or subject.pod == query.pod)
        and (not query.container or subject.container == query.container)
        and (not query.node or subject.node == query.node)
        and (not query.namespace or subject.namespace == query.namespace)
    )


def key_of(subject: Subject) -> Subject:
    """What makes two blobs' rows one series: a pod's node is a tag, which not every source names."""
    return subject._replace(node="") if subject.namespace else subject


class Sheet:
    """Rows of steps `first` to `last`, a subject each."""

    def __init__(self, query: Query, first: int, last: int) -> None:
        self.query = query
        self.first = first
        self.width = max(0, last - first + 1)
        self._nothing = array("d", [nan]) * self.width
        self._rows: Dict[Subject, Tuple[Subject, array[float]]] = {}
        self._keys: Dict[Subject, Subject] = {}
        self._until: Dict[Subject, int] = {}  # the step before which a row may hold something

    def lay(self, rows: Rows, first: int) -> None:
        """A blob's section, whose rows begin at step `first`."""
        values = as_values(rows.numbers, rows.step)
        for run in _RUNS(rows.marks):
            values[run.start() : run.end()] = array("d", [nan]) * (run.end() - run.start())
        width = rows.width
        for index, subject in enumerate(rows.subjects):
            if matches(subject, self.query):
                self._lay(subject, first, values[index * width : (index + 1) * width])

    def lay_piece(self, piece: Piece) -> None:
        """Points from memory."""
        if matches(piece.subject, self.query):
            values = as_values(piece.numbers, piece.step)
            for place, number in enumerate(piece.numbers):
                if number == GAP:
                    values[place] = nan
            self._lay(piece.subject, piece.first, values)

    def _lay(self, subject: Subject, first: int, values: array[float]) -> None:
        start = first - self.first
        if start < 0:
            values, start = values[-start:], 0
        values = values[: self.width - start] if start < self.width else values[:0]
        if not values:
            return
        key = self._keys.get(subject)
        if key is None:
            key = self._keys[subject] = key_of(subject)
        found = self._rows.get(key)
        if found is None:
            if (len(self._rows) + 1) * self.width > MOST_POINTS:
                raise TooMuch(
                    f"more than {MOST_POINTS:,} points: ask for less time, one namespace or pod, or for totals"
                )
            found = self._rows[key] = (subject, self._nothing[:])
        elif subject.node and not found[0].node:
            found = self._rows[key] = (subject, found[1])
        row, end = found[1], start + len(values)
        if start < self._until.get(key, 0):
            old = row[start:end]
            values = array("d", (new if new == new else then for new, then in zip(values, old)))
        row[start:end] = values
        self._until[key] = max(end, self._until.get(key, 0))

    def rows(self) -> List[Tuple[Subject, array[float]]]:
        """All, by subject."""
        return [self._rows[key] for key in sorted(self._rows)]

    def series(self) -> List[Series]:
        """Each from its first point to its last; one without any is left out."""
        times = [step * STEP for step in range(self.first, self.first + self.width)]
        shared: Dict[Tuple[int, int], Sequence[float]] = {(0, self.width): times}
        found = []
        for subject, row in self.rows():
            begin = _known(row, range(self.width))
            if begin is None:
                continue
            end = (_known(row, range(self.width - 1, -1, -1)) or 0) + 1
            if (begin, end) not in shared:
                shared[begin, end] = times[begin:end]
            values = row if (begin, end) == (0, self.width) else row[begin:end]
            found.append(Series(subject, shared[begin, end], values))
        return found


def _known(row: array[float], places: Sequence[int]) -> Optional[int]:
    return next((place for place in places if row[place] == row[place]), None)


def as_values(numbers: Sequence[int], step: float) -> array[float]:
    """In the metric's unit; by division where a step is a fraction, so that 123 tenths are 12.3."""
    if step == 1:
        return array("d", numbers)
    # By way of a list: an array takes one in a third of the time that it takes an iterator.
    if step > 1:
        return array("d", [number * step for number in numbers])
    per = float(round(1 / step))
    return array("d", [number / per for number in numbers])
