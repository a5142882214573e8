"""What an hour comes to for one series: sum over time, covered seconds, maximum, samples, first, last. Pure.

It is made of the samples as they came, not of the points that are stored, so it does not depend on how
often anybody looked. What a sample stands for:

    rate     value x window: the increase of its counter. A window never reaches back over the sample before
             it, so nothing counts twice; one that spans a silence holds what happened in the silence
    gauge,   its value since the sample before it, but at most HOLD (of a source that looks each minute one
    share    and a half of its window); the first one since its start, where that is told, else one STEP.
             What lies before that is a gap: it is not covered
    counter  its increase since the sample before it; after a restart, or where it fell, its value

What reaches back over an hour's begin is shared out by time. Of hours that are closed already, the oldest
open one takes the share: nothing is lost, and its covered seconds may then exceed its length.
"""

from __future__ import annotations

from array import array
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from krm.model.measures import Sample, Subject
from krm.model.metrics import COUNTER, RATE
from krm.store.history.asked import HOUR, STEP
from krm.store.history.blobs import SUMS, Packed, Rows, Section, encode

HOLD = 2 * STEP  # seconds that a gauge stands for, at the most
_OWN_WINDOWS, _SLOWEST = 1.5, 90.0  # of a slow source: windows, and seconds, at the most
NEVER = float("-inf")
SUM, COVERED, MAXIMUM, SAMPLES, FIRST, LAST, TAIL = range(7)  # places in a Tally
_FIELDS = 8  # numbers a series in a blob: the sum takes two
_HIGH = 1 << 40  # what a sum's second number counts: a tenth of a small step over a large quota needs it
_TENTHS = 10  # a sum is kept to a tenth of (metric's step x second), of a counter to a tenth of its step
_MILLIS = 1000
ROUNDED = 1 / _MILLIS  # seconds by which a time in a blob may be off


def new_tally() -> array[float]:
    """Nothing yet."""
    return array("d", (0.0, 0.0, NEVER, 0.0, 0.0, 0.0, 0.0))


def stands_for(form: str, before: float, tail: float, value: float, sample: Sample) -> Tuple[float, float]:
    """(since when, how much) a sample adds. `before`: time of the series' last sample, NEVER = none."""
    at, window, started = sample.at, sample.window, sample.started
    if form == COUNTER:
        return _increase(before, tail, value, at, started)
    if form == RATE and window > 0:
        begin = max(at - window, before)
    else:
        limit = max(HOLD, min(_OWN_WINDOWS * window, _SLOWEST))
        known = before if before > NEVER else (at - STEP if started is None else started)
        begin = max(known, at - limit)
        if started is not None and begin < started <= at:
            begin = started
    return begin, value * (at - begin)


def _increase(before: float, tail: float, value: float, at: float, started: Optional[float]) -> Tuple[float, float]:
    if started is not None and not before < started <= at:
        started = None  # it counts since before the last sample: no restart
    if before == NEVER:
        # What began within the hour was never counted before: all of it is new. Of others nobody knows.
        return (started, value) if started is not None and at - started <= HOUR else (at, 0.0)
    if started is not None:
        return started, value
    return before, value - tail if value >= tail else value


def add(tally: array[float], begin: float, at: float, amount: float, value: float) -> None:
    """A part of what a sample stands for."""
    tally[SUM] += amount
    tally[COVERED] += at - begin
    if value > tally[MAXIMUM]:
        tally[MAXIMUM] = value
    if not tally[FIRST]:
        tally[FIRST] = at
    if at > tally[LAST]:
        tally[LAST] = at
        tally[TAIL] = value


class Line(NamedTuple):
    """One series of an hour, as a blob's rows give it."""

    subject: Subject
    tally: array[float]


def encode_hour(
    namespace: str, hour: int, subjects: Sequence[Subject], groups: Dict[Tuple[str, str, float], Group]
) -> bytes:
    """The blob of one namespace's hour. `groups`: (level, metric, step) -> who, and their tallies."""
    sections = [
        Section(level, metric, step, who, _numbers(tallies, step, hour * HOUR), b"")
        for (level, metric, step), (who, tallies) in sorted(groups.items())
    ]
    return encode(SUMS, namespace, hour, _FIELDS, subjects, sections)


Group = Tuple[List[int], List["array[float]"]]


def _numbers(tallies: List[array[float]], step: float, start: float) -> List[int]:
    """Field by field, so that like stands beside like."""
    per = 1.0 / step
    highs, lows, rest = [], [], []
    for tally in tallies:
        high, low = divmod(round(tally[SUM] * per * _TENTHS), _HIGH)
        highs.append(high)
        lows.append(low)
        rest.append(
            (
                round(tally[COVERED] * _MILLIS),
                round(tally[MAXIMUM] * per),
                int(tally[SAMPLES]),
                round((tally[FIRST] - start) * _MILLIS),
                round((tally[LAST] - start) * _MILLIS),
                round(tally[TAIL] * per),
            )
        )
    return [*highs, *lows, *(number for field in zip(*rest) for number in field)]


def lines(blob: Packed, rows: Rows) -> Iterator[Line]:
    """The series of one section."""
    count, start = len(rows.subjects), blob.first * HOUR
    factor, per = (rows.step, 1) if rows.step >= 1 else (1.0, round(1 / rows.step))
    fields = [rows.numbers[place * count : (place + 1) * count] for place in range(_FIELDS)]
    for subject, high, low, covered, maximum, samples, first, last, tail in zip(rows.subjects, *fields):
        yield Line(
            subject,
            array(
                "d",
                (
                    (high * _HIGH + low) * factor / per / _TENTHS,
                    covered / _MILLIS,
                    maximum * factor / per,
                    samples,
                    start + first / _MILLIS,
                    start + last / _MILLIS,
                    tail * factor / per,
                ),
            ),
        )
