"""Counters to rates. Pure: samples in, samples with their rates out, and what must be remembered between.

A rate belongs to its source: its window is the difference of the source's own times, and value x window is
what the counter grew by, so sums over time are exact. It is never negative and never taken over a restart:

    a new instance (another uid, a later start)    its counters count from its start, from 0
    a counter that fell                            it began anew at an unknown moment: no rate for this once
    the same time again                            the former rate, with that time: no new point
    an older time                                  dropped; older by BACK: the clock was put back, it begins anew

Of a container that started after the first look at its node all that it used since its start counts, when it is
seen first: window = at - started. Nothing is counted twice: what was seen is remembered for `keep` seconds after
it was seen last, and what started before something that is forgotten is never new again.

cpu/usage_rate is cut to whole nanocores, and windows are computed, as metrics-server does both.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from krm.model import metrics
from krm.model.measures import Sample

KEEP = 900.0  # seconds
KEEP_PLACE = 24 * 3600.0  # seconds that a node is remembered, so that what started on it since is known as new
MOST = 300_000  # subjects, each about 0.5 KB; one over it gets no rates and is counted in `refused`
MOST_OF_ONE = 20_000  # of one source and node: 500 pods have some 2,000. One that lies takes no other's room
# Seconds: a window since the start is at least so long. Before, the few ms that a runtime spends in a container's
# cgroup would look like a load. What was used is not lost: it counts in the next turn.
SHORTEST_START = 1.0
ANOTHER_START = 0.5  # seconds: sources round the time of a start
AHEAD = 60.0  # seconds: a point that is so far in the future of `now` came from a clock that was wrong
BACK = 120.0  # seconds: who tells of a moment that is so much older was not overtaken on the way

CPU = "cpu/usage"
# A share of another counter's growth instead of time: throttled periods of all periods.
_SHARES = {"cpu/throttled_periods": ("cpu/throttled_share", "cpu/periods")}
# Counter -> its rate; '' = it is needed for another's alone.
_RATE_OF: Dict[str, str] = {
    **{of: "" for _, of in _SHARES.values()},
    **{counter: share for counter, (share, _) in _SHARES.items()},
    **{metric.counter: metric.name for metric in metrics.rates()},
}

_Key = Tuple[str, str, str, str]  # namespace, pod, container, resource_id
# A counter's last point: time by the source's clock, value, the rate that it gave, and its window in seconds.
_Last = Tuple[float, float, Optional[float], float]


class _Subject:
    """What is remembered of one subject."""

    __slots__ = ("counters", "newest", "seen", "started", "uid", "zero")

    def __init__(self, uid: str, started: Optional[float], zero: Optional[float]) -> None:
        self.counters: Dict[str, _Last] = {}
        self.uid, self.started = uid, started
        self.newest = started  # of the starts of its instances so far
        self.zero = zero  # its counters were 0 then, and nothing since was counted
        self.seen = 0.0  # the collector's clock

    def compare(self, uid: str, started: Optional[float]) -> None:
        """Begins anew where that is another instance. A source that does not say what it said before, or learns it,
        speaks of the same one."""
        another = bool(uid and self.uid and uid != self.uid)
        if started is not None and self.started is not None:
            another = another or abs(started - self.started) > ANOTHER_START
        if another:
            self.counters = {}
            later = started is not None and (self.newest is None or started > self.newest + ANOTHER_START)
            self.zero = started if later else None
        self.uid = uid or self.uid
        if started is not None:
            self.started = started
            self.newest = started if self.newest is None else max(started, self.newest)


class _Place:
    """All that one source says of one node."""

    __slots__ = ("seen", "since", "subjects")

    def __init__(self) -> None:
        self.subjects: Dict[_Key, _Subject] = {}
        # By the source's clock: what started after this, and is not remembered, was never seen. None = no look yet.
        self.since: Optional[float] = None
        self.seen = 0.0  # the collector's clock

    def forget(self, now: float, keep: float) -> int:
        """Subjects that were not seen for `keep` seconds; how many."""
        gone = [key for key, known in self.subjects.items() if abs(now - known.seen) > keep]
        for key in gone:
            newest = self.subjects.pop(key).newest
            if newest is not None and self.since is not None:
                self.since = max(self.since, newest + ANOTHER_START)
        return len(gone)


class _Look:
    """One look at a place."""

    __slots__ = ("newest", "place")

    def __init__(self, place: _Place) -> None:
        self.place, self.newest = place, 0.0


class Rates:
    """The memory of the collector. Not for several threads."""

    def __init__(self, keep: float = KEEP, most: int = MOST) -> None:
        self.refused = 0  # samples that got no rates because of `most`, since the start
        self._keep, self._most = keep, most
        self._places: Dict[Tuple[str, str], _Place] = {}
        self._size = 0
        self._swept = 0.0

    def __len__(self) -> int:
        """Subjects that are remembered."""
        return self._size

    def take(self, samples: Sequence[Sample], now: float) -> List[Sample]:
        """The samples in their order, with the rates of their counters where those are known.

        `now`: Unix seconds. A sample of a time that was taken before comes out with that time and its former
        rates: whoever sums must take each time of a subject and source once. Rates whose windows differ from
        that of their sample follow in a sample of their own.
        """
        if abs(now - self._swept) > self._keep / 10:
            self._swept = now
            self._forget(now)
        out: List[Sample] = []
        looks: Dict[Tuple[str, str], _Look] = {}
        for sample in samples:
            if _RATE_OF.keys().isdisjoint(sample.values):
                out.append(sample)
                continue
            where = (sample.source, sample.subject.node)
            look = looks.get(where)
            if look is None:
                look = looks[where] = _Look(self._places.setdefault(where, _Place()))
            if sample.at > look.newest:
                look.newest = sample.at
            known = self._known(look.place, sample, now)
            if known is None:
                out.append(sample)
            else:
                _rated(known, sample, now, out)
        for look in looks.values():
            look.place.seen = now
            if look.place.since is None:
                look.place.since = look.newest
        return out

    def _known(self, place: _Place, sample: Sample, now: float) -> Optional[_Subject]:
        """What is remembered of its subject, of this instance of it; None where there is no room."""
        subject = sample.subject
        key = (subject.namespace, subject.pod, subject.container, subject.resource_id)
        known = place.subjects.get(key)
        if known is None:
            if self._size >= self._most or len(place.subjects) >= MOST_OF_ONE:
                self.refused += 1
                return None
            self._size += 1
            started = sample.started
            new = started is not None and place.since is not None and started > place.since
            known = place.subjects[key] = _Subject(subject.uid, started, started if new else None)
        elif subject.uid != known.uid or sample.started != known.started:
            known.compare(subject.uid, sample.started)
        known.seen = now
        return known

    def _forget(self, now: float) -> None:
        for where, place in list(self._places.items()):
            self._size -= place.forget(now, self._keep)
            if not place.subjects and abs(now - place.seen) > KEEP_PLACE:
                del self._places[where]


def _rated(known: _Subject, sample: Sample, now: float, out: List[Sample]) -> None:
    """Appends the sample with its rates, nothing where it is old; remembers its counters."""
    at, values, counters, zero = sample.at, sample.values, known.counters, known.zero
    fresh: Dict[str, _Last] = {}
    found: Dict[str, float] = {}  # the rates over `window`
    window = 0.0
    others: List[Tuple[str, float, float]] = []  # rates over other windows
    for counter, value in values.items():
        name = _RATE_OF.get(counter)
        if name is None:
            continue
        last = counters.get(counter)
        if last is None:
            counted = zero is not None and at >= zero
            point = (
                _next((zero or 0.0, 0.0, None, 0.0), counter, sample, known) if counted else (at, value, None, 0.0)
            )
        elif at >= last[0]:
            point = _next(last, counter, sample, known)
        elif last[0] <= now + AHEAD and last[0] - at <= BACK:
            return
        else:
            point = (at, value, None, 0.0)
        fresh[counter] = point
        rate, over = point[2], point[3]
        if rate is None or not name:
            continue
        if not found:
            window = over
        if over == window:
            found[name] = rate
        else:
            others.append((name, rate, over))
    counters.update(fresh)
    subject, source, started = sample.subject, sample.source, sample.started
    out.append(
        Sample(subject, at, {**values, **found}, source, window, started, sample.covers) if found else sample
    )
    while others:
        over = others[0][2]
        apart = {name: rate for name, rate, other in others if other == over}
        out.append(Sample(subject, at, apart, source, over, started, sample.covers))
        others = [one for one in others if one[2] != over]


def _next(last: _Last, counter: str, sample: Sample, known: _Subject) -> _Last:
    """The counter's new last point; the former one where this one is none."""
    at, value = sample.at, sample.values[counter]
    before, former = last[0], last[1]
    if value < former:
        return (at, value, None, 0.0)
    # The difference to the microsecond, as Go computes the seconds of a duration.
    micros = round((at - before) * 1e6)
    window = micros // 1_000_000 + micros % 1_000_000 * 1000 / 1e9
    if micros <= 0 or (before == known.zero and window < SHORTEST_START):
        return last
    if counter == CPU:
        return (at, value, int((value - former) / window) / 1e6, window)  # ns a second = nanocores; to millicores
    share = _SHARES.get(counter)
    if share is None:
        return (at, value, (value - former) / window, window)
    of = known.counters.get(share[1])
    periods = sample.values.get(share[1], 0.0) - (0.0 if of is None else of[1])
    return (at, value, min(1.0, (value - former) / periods) if periods > 0.0 else 0.0, window)
