"""Totals: hours from their sums, the ends of the asked time from points. Pure."""

from __future__ import annotations

from array import array
from typing import Dict, List, Optional

from krm.model.measures import Subject
from krm.model.metrics import COUNTER, RATE
from krm.store.history.asked import STEP, TooMuch, Total
from krm.store.history.points import key_of
from krm.store.history.sums import COVERED, FIRST, LAST, MAXIMUM, SAMPLES, SUM

MOST_LINES = 12_000_000  # series-hours of one answer: some 10 s of work
_HOLD_STEPS = 2  # a gauge's point stands for the time since the one before it, at most these steps


class Adder:
    """Adds up, a subject each."""

    def __init__(self) -> None:
        self._tallies: Dict[Subject, array[float]] = {}  # as blobs name them: a pod with its node and without
        self._lines = 0

    def add(self, total: Total) -> None:
        """A part of the time. Raises TooMuch."""
        self.add_tally(total.subject, array("d", (*total[1:], 0.0)))

    def add_tally(self, subject: Subject, tally: array[float]) -> None:
        """The same, of an hour. Raises TooMuch. A year of a large cluster passes here: it is short."""
        self._lines += 1
        if self._lines > MOST_LINES:
            raise TooMuch(f"more than {MOST_LINES:,} sums of an hour: ask for less time, or one namespace")
        so_far = self._tallies.get(subject)
        if so_far is None:
            self._tallies[subject] = tally[:]
            return
        so_far[SUM] += tally[SUM]
        so_far[COVERED] += tally[COVERED]
        so_far[SAMPLES] += tally[SAMPLES]
        if tally[MAXIMUM] > so_far[MAXIMUM]:
            so_far[MAXIMUM] = tally[MAXIMUM]
        if tally[FIRST] < so_far[FIRST]:
            so_far[FIRST] = tally[FIRST]
        if tally[LAST] > so_far[LAST]:
            so_far[LAST] = tally[LAST]

    def totals(self) -> List[Total]:
        """By subject."""
        found: Dict[Subject, Total] = {}
        for subject, tally in self._tallies.items():
            total = Total(
                subject,
                tally[SUM],
                tally[COVERED],
                tally[MAXIMUM],
                int(tally[SAMPLES]),
                tally[FIRST],
                tally[LAST],
            )
            key = key_of(subject)
            found[key] = _both(found[key], total) if key in found else total
        return [found[key] for key in sorted(found)]


def _both(one: Total, other: Total) -> Total:
    return Total(
        one.subject if one.subject.node else other.subject,
        one.sum + other.sum,
        one.covered + other.covered,
        max(one.maximum, other.maximum),
        one.samples + other.samples,
        min(one.first, other.first),
        max(one.last, other.last),
    )


def of_points(
    subject: Subject, form: str, row: array[float], first: int, begin: float, end: float
) -> Optional[Total]:
    """What points between two moments come to. `row` begins at step `first`, two steps before `begin` or more."""
    total = covered = 0.0
    samples, maximum = 0, float("-inf")
    earliest = latest = 0.0
    before: Optional[int] = None
    for place, value in enumerate(row):
        if value != value:
            continue
        at = (first + place) * STEP
        since = _since(form, before, place)
        previous, before = before, place
        if form == COUNTER and previous is None:
            continue  # from where it counts on
        since_at = (first + since) * STEP
        share = _overlap(since_at, at, begin, end)
        if not share:
            continue
        if form == COUNTER and previous is not None:
            grown = value - row[previous] if value >= row[previous] else value
            total += grown * share / (at - since_at)
        else:
            total += value * share
        covered += share
        samples += 1
        maximum = max(maximum, value)
        earliest, latest = earliest or min(at, end), min(at, end)
    return Total(subject, total, covered, maximum, samples, earliest, latest) if samples else None


def _since(form: str, before: Optional[int], place: int) -> int:
    """The place at whose end a point's time begins."""
    if form == RATE or before is None:
        return place - 1
    return before if form == COUNTER else max(before, place - _HOLD_STEPS)


def _overlap(begin: float, end: float, first: float, last: float) -> float:
    return max(0.0, min(end, last) - max(begin, first))
