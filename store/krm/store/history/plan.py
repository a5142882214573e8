"""Which hours of the asked time come from sums, and which parts of hours from points. Pure."""

from __future__ import annotations

from math import floor
from typing import List, NamedTuple, Tuple

from krm.model import times
from krm.store.history.asked import DETAIL, HOUR
from krm.store.history.steps import hour_at


class Plan(NamedTuple):
    """How totals are put together."""

    hours: range  # whole ones, from sums
    ends: List[Tuple[float, float]]  # parts of hours, from points
    begin: float  # what the answer then is of
    end: float
    asked: int  # hours that are touched
    notes: List[str]


def plan(begin: float, end: float, now: float) -> Plan:
    """`end` is at most now; an hour that is asked for until now is whole as far as it is."""
    if end <= begin:
        return Plan(range(0), [], begin, max(begin, end), 0, [])
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
    return Plan(range(whole_first, whole_last + 1), kept, begin, end, asked, notes)


def cut_note(kept: float, why: str) -> str:
    """That less is answered than was asked for."""
    return f"the answer begins at {times.write(floor(kept))}: {why}"
