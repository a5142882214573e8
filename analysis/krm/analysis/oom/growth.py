"""How memory grew before an OOM kill: of the container in this life, of its neighbours in the last minute. Pure.

A leak is told where the trend of a life of an hour or more, its last minute left out, is surely upwards (its 90 %
interval lies above 0) and is most of what it grew by. A spike: a large part of the peak came in the last minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Track
from krm.analysis.line import fitted
from krm.analysis.stats import known
from krm.model.kills import Kill
from krm.model.measures import CONTAINER, Covers, Subject

WORKING_SET = "memory/working_set"
LEAK, SPIKE = "leak", "spike"
MINUTE = 60.0
STEP = 15.0  # seconds between two points of the history
LEAK_SPAN = 3600.0  # seconds that a leak was watched for, at least
LEAK_SHARE = 0.2  # of the peak: a trend that grew less than that is no reason for a kill
LEAK_PART = 0.5  # of all that it grew by in this life
SPIKE_SHARE = 0.25  # of the peak, within the last minute
MOST_NEIGHBOURS = 5
LEAST_GROWTH = 16 * 1024.0 * 1024  # bytes in the minute: a neighbour that grew by less took nothing that counts


@dataclass(frozen=True)
class Neighbour:
    """A container of the same node that grew in the minute before. Bytes."""

    namespace: str
    pod: str
    container: str
    before: float
    after: float

    @property
    def grew(self) -> float:
        """In this minute."""
        return self.after - self.before


@dataclass(frozen=True)
class Leak:
    """Growth in this life, bytes a second, with its 90 % interval, over `span` seconds."""

    per_second: float
    low: float
    high: float
    span: float
    points: Covers


class Growth(NamedTuple):
    """Bytes; None = not known."""

    pattern: str  # leak, spike, '' = neither, or not known
    why_not: str  # a sentence where it could not be judged, else ''
    peak: Optional[float]  # the largest working set of this life that was seen
    rose: Optional[float]  # within the last minute
    leak: Optional[Leak]


def growth_of(kill: Kill, previous: Optional[float], history: History) -> Growth:
    """previous: Unix seconds of the kill that ended the life before; None = none is known."""
    seen = [(one.at, float(one.working_set)) for one in kill.before if one.working_set is not None]
    subject = Subject(kill.namespace, kill.pod, kill.pod_uid, kill.container, kill.node)
    track = history.track(WORKING_SET, CONTAINER, subject) if kill.container else None
    begin = history.begin if previous is None else max(history.begin, previous + STEP)
    # A point at T is of the 15 s before T: one after the kill may be of the next life.
    life = _between(track, begin, min(kill.at, history.end))
    peak = max([value for _, value in (*life, *seen)], default=None)
    rose = _rose(seen, kill.at)
    if rose is None:
        rose = _rose(life, kill.at)
    leak, why_not = _leak(life, kill.at, peak)
    if leak is not None:
        return Growth(LEAK, "", peak, rose, leak)
    if rose is not None and peak and rose >= SPIKE_SHARE * peak:
        return Growth(SPIKE, "", peak, rose, None)
    return Growth("", why_not, peak, rose, None)


def neighbours_of(kill: Kill, history: History) -> Tuple[List[Neighbour], Optional[Covers]]:
    """Those that grew most, and of how many the minute is known; None = of none, nothing was measured."""
    found: List[Neighbour] = []
    of = with_both = 0
    for track in history.tracks(WORKING_SET, CONTAINER):
        one = track.subject
        if one.node != kill.node or (one.namespace, one.pod, one.container) == _place(kill):
            continue
        near = _between(track, kill.at - 2 * MINUTE, min(kill.at + STEP, history.end))
        if not near:
            continue
        of += 1
        early = [value for at, value in near if at <= kill.at - MINUTE + STEP]
        late = [value for at, value in near if at > kill.at - 2 * STEP]
        if not early or not late:
            continue
        with_both += 1
        if max(late) - early[-1] >= LEAST_GROWTH:
            found.append(Neighbour(one.namespace, one.pod, one.container, early[-1], max(late)))
    found.sort(key=lambda one: (-one.grew, one.namespace, one.pod, one.container))
    return found[:MOST_NEIGHBOURS], Covers(with_both, of, "neighbours") if of else None


def _place(kill: Kill) -> Tuple[str, str, str]:
    return (kill.namespace, kill.pod, kill.container)


def _between(track: Optional[Track], begin: float, end: float) -> List[Tuple[float, float]]:
    """Points of (begin, end] that are no gaps."""
    if track is None:
        return []
    rows = zip(track.times, track.values)
    return sorted((at, value) for at, value in rows if begin < at <= end and value == value)


def _rose(rows: Sequence[Tuple[float, float]], at: float) -> Optional[float]:
    """By how much the largest of the last minute is above where that minute began."""
    last = [(when, value) for when, value in rows if at - MINUTE - STEP <= when <= at]
    if len(last) < 2 or last[-1][0] - last[0][0] < MINUTE / 2:
        return None
    return max(0.0, max(value for _, value in last) - last[0][1])


def _leak(life: Sequence[Tuple[float, float]], at: float, peak: Optional[float]) -> Tuple[Optional[Leak], str]:
    """The trend without its last minute: a spike at its end is none of it."""
    rows = [(when, value) for when, value in life if when <= at - MINUTE]
    if not rows or peak is None:
        return None, "its memory in the hours before is not known"
    span = rows[-1][0] - rows[0][0]
    if span < LEAK_SPAN:
        return None, f"{span / 60:.0f} minutes before it are known: an hour is needed to tell a leak"
    line = fitted([when for when, _ in rows], [value for _, value in rows])
    if line is None:
        return None, "too few points of the hours before are known to tell a leak"
    wide = line.quantile * line.slope_error
    grew, all_of_it = line.slope * line.span, peak - known(value for _, value in rows)[0]
    surely = line.slope - wide > 0 and line.span >= LEAK_SPAN
    if surely and grew >= LEAK_SHARE * peak and grew >= LEAK_PART * all_of_it:
        steps = max(1, round((rows[-1][0] - rows[0][0]) / STEP) + 1)
        points = Covers(len(rows), max(steps, len(rows)), "points")
        return Leak(line.slope, line.slope - wide, line.slope + wide, line.span, points), ""
    return None, ""
