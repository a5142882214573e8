"""Counters to rates. Pure: samples in, samples with their rates out, and what must be remembered between.

A rate belongs to its source: its window is the difference of the source's own times, and value x window is
what the counter grew by, so sums over time are exact. It is never negative and never taken over a restart:

    a new instance (another uid, a later start)    its counters count from its start, from 0
    a counter that fell                            it began anew at an unknown moment: no rate for this once
    the same time again                            the former rate, with that time: no new point
    an older time                                  dropped

Of a container that is seen for the first time after its node was looked at already, all that it used since
its start counts: window = at - started. Nothing of it can have been counted before, for what was seen is
remembered for `keep` seconds after it was seen last.

cpu/usage_rate is cut to whole nanocores, and windows are computed, as metrics-server does both.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.model import metrics
from krm.model.measures import Sample

KEEP = 900.0  # seconds
KEEP_PLACE = 24 * 3600.0  # seconds that a node's name is remembered: what is new on it since must be known as new
MOST = 300_000  # subjects, each about 0.5 KB; one over it gets no rates and is counted in `refused`
# Seconds: a window since the start is at least so long. Before, the few ms that a runtime spends in a container's
# cgroup would look like a load. What was used is not lost: it counts in the next turn.
SHORTEST_START = 1.0
ANOTHER_START = 0.5  # seconds: sources round the time of a start
AHEAD = 60.0  # seconds: a point that is so far in the future of `now` came from a clock that was wrong

CPU = "cpu/usage"
_RATE_OF: Dict[str, str] = {metric.counter: metric.name for metric in metrics.rates()}
# A share of another counter's growth instead of time: throttled periods of all periods.
_SHARES = {"cpu/throttled_periods": ("cpu/throttled_share", "cpu/periods")}
_NAMES = {**_RATE_OF, **{counter: share for counter, (share, _) in _SHARES.items()}}
_COUNTERS = frozenset(_NAMES) | frozenset(of for _, of in _SHARES.values())

_Key = Tuple[str, str, str, str]  # namespace, pod, container, resource_id


class _Last(NamedTuple):
    """A counter's last point, and the rate that it gave."""

    at: float  # Unix seconds, by the source's clock
    value: float
    rate: Optional[float] = None
    window: float = 0.0  # seconds


class _Subject:
    """What is remembered of one subject."""

    __slots__ = ("counters", "seen", "started", "uid", "zero")

    def __init__(self) -> None:
        self.counters: Dict[str, _Last] = {}
        self.uid = ""
        self.started: Optional[float] = None
        self.zero: Optional[float] = None  # its counters were 0 then, and nothing since was counted
        self.seen = 0.0  # the collector's clock


class _Place:
    """All that one source says of one node."""

    __slots__ = ("first", "last", "seen", "subjects")

    def __init__(self) -> None:
        self.subjects: Dict[_Key, _Subject] = {}
        self.first: Optional[float] = None  # newest time of the first look, by the source's clock
        self.last = 0.0  # newest time of any look
        self.seen = 0.0  # the collector's clock


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
        if now - self._swept > self._keep / 10 or now < self._swept:
            self._swept = now
            self._forget(now)
        out: List[Sample] = []
        newest: Dict[_Place, float] = {}
        for sample in samples:
            if _COUNTERS.isdisjoint(sample.values):
                out.append(sample)
                continue
            place_key = (sample.source, sample.subject.node)
            place = self._places.get(place_key)
            if place is None:
                place = self._places[place_key] = _Place()
            if sample.at > newest.get(place, 0.0):
                newest[place] = sample.at
            known = self._known(place, sample, now)
            if known is None:
                out.append(sample)
            else:
                _rated(known, sample, now, out)
        for place, at in newest.items():
            place.seen = now
            place.first = at if place.first is None else place.first
            place.last = max(place.last, at) if place.last <= now + AHEAD else at
        return out

    def _known(self, place: _Place, sample: Sample, now: float) -> Optional[_Subject]:
        """What is remembered of its subject, of this instance of it; None where there is no room."""
        subject = sample.subject
        key = (subject.namespace, subject.pod, subject.container, subject.resource_id)
        known = place.subjects.get(key)
        if known is None:
            if self._size >= self._most:
                self.refused += 1
                return None
            self._size += 1
            known = place.subjects[key] = _Subject()
            known.uid, known.started = subject.uid, sample.started
            known.zero = self._uncounted_since(place, sample)
        elif subject.uid != known.uid or sample.started != known.started:
            _compare(known, sample)
        known.seen = now
        return known

    def _uncounted_since(self, place: _Place, sample: Sample) -> Optional[float]:
        """Its start, where nothing of it can have been counted: not seen before, and it would be remembered."""
        started = sample.started
        if started is None or place.first is None:
            return None
        remembered = sample.at - started < self._keep and started > place.first
        return started if remembered or started > place.last else None

    def _forget(self, now: float) -> None:
        for place_key, place in list(self._places.items()):
            gone = [key for key, known in place.subjects.items() if abs(now - known.seen) > self._keep]
            for key in gone:
                del place.subjects[key]
            self._size -= len(gone)
            if not place.subjects and abs(now - place.seen) > KEEP_PLACE:
                del self._places[place_key]


def _compare(known: _Subject, sample: Sample) -> None:
    """Begins anew where the sample is of another instance. A source that does not say what it said before, or
    learns it, speaks of the same one."""
    uid, started = sample.subject.uid, sample.started
    another = bool(uid and known.uid and uid != known.uid)
    if started is not None and known.started is not None:
        later = started - known.started > ANOTHER_START
        if another or abs(started - known.started) > ANOTHER_START:
            known.counters = {}
            known.zero = started if later else None
            known.started = started
    elif another:
        known.counters = {}
        known.zero = known.started = started
    known.uid = uid or known.uid
    known.started = known.started if started is None else started


def _rated(known: _Subject, sample: Sample, now: float, out: List[Sample]) -> None:
    """Appends the sample with its rates, nothing where it is old; remembers its counters."""
    at, values = sample.at, sample.values
    rates: Dict[float, Dict[str, float]] = {}  # window -> rates
    fresh: Dict[str, _Last] = {}
    for counter in values:
        if counter not in _COUNTERS:
            continue
        last = known.counters.get(counter)
        if last is None and known.zero is not None and known.zero <= at:
            last = _Last(known.zero, 0.0)
        if last is not None and at < last.at:
            if last.at <= now + AHEAD:
                return
            last = None
        point = _point(counter, last, sample, known)
        fresh[counter] = point
        if point.rate is not None:
            rates.setdefault(point.window, {})[_NAMES[counter]] = point.rate
    known.counters.update(fresh)
    first = True
    for window, found in rates.items():
        out.append(sample._replace(values={**values, **found} if first else found, window=window))
        first = False
    if first:
        out.append(sample)


def _point(counter: str, last: Optional[_Last], sample: Sample, known: _Subject) -> _Last:
    """The counter's new last point; the former one where this one is none."""
    at, value = sample.at, sample.values[counter]
    if last is None or value < last.value:
        return _Last(at, value)
    window = _window(at - last.at)
    if window <= 0.0 or (last.at == known.zero and window < SHORTEST_START):
        return last
    increase = value - last.value
    if counter == CPU:
        return _Last(at, value, int(increase / window) / 1e6, window)  # ns a second = nanocores; to millicores
    if counter in _SHARES:
        of = _SHARES[counter][1]
        before = known.counters.get(of)
        periods = sample.values.get(of, 0.0) - (before.value if before is not None else 0.0)
        return _Last(at, value, min(1.0, increase / periods) if periods > 0.0 else 0.0, window)
    return _Last(at, value, increase / window if counter in _NAMES else None, window)


def _window(seconds: float) -> float:
    """The difference of two times to the microsecond, as Go computes the seconds of a duration."""
    micros = round(seconds * 1e6)
    return micros // 1_000_000 + micros % 1_000_000 * 1000 / 1e9
