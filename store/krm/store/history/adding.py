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
        self._totals: Dict[Subject, Total] = {}
        self._lines = 0

    def add(self, total: Total) -> None:
        """A part of the time. Raises TooMuch."""
        self._lines += 1
        if self._lines > MOST_LINES:
            raise TooMuch(f"more than {MOST_LINES:,} sums of an hour: ask for less time, or one namespace")
        key = key_of(total.subject)
        so_far = self._totals.get(key)
        self._totals[key] = total if so_far is None else _both(so_far, total)

    def totals(self) -> List[Total]:
        """By subject."""
        return [self._totals[key] for key in sorted(self._totals)]


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


def of_tally(subject: Subject, tally: array[float]) -> Total:
    """An hour's."""
    return Total(
        subject,
        tally[SUM],
        tally[COVERED],
        tally[MAXIMUM],
        int(tally[SAMPLES]),
        tally[FIRST],
        tally[LAST],
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
