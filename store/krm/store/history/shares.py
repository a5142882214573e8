"""What each sample adds, one point a sample: how a store that has only points comes to the sums of the file.

`sum` is what the sample adds to the sum over time, `seconds` what it stands for, both by the rule of
krm.store.history.sums: so a total is SUM(sum), and its covered time SUM(seconds). What reaches back over
an hour's begin is shared out by time over the hours that are still open, as in the file: the earlier
hour's share is a point of its own, one millisecond before that hour ends, without a `value`.
"""

from __future__ import annotations

from math import isfinite
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE
from krm.store.history.asked import HOUR
from krm.store.history.live import AHEAD, LATE, MOST_SERIES
from krm.store.history.points import key_of
from krm.store.history.steps import hour_of, step_of
from krm.store.history.sums import NEVER, stands_for

FORGET = HOUR  # seconds after which a series that brings nothing has ended
_NEW = (NEVER, 0.0)
_BEFORE = 0.001  # seconds before an hour ends at which an earlier share stands


class Share(NamedTuple):
    """One point of one series."""

    metric: str
    at: float  # Unix seconds
    value: Optional[float]  # None = this point is only a share
    sum: float
    seconds: float


class Newest(NamedTuple):
    """Where a series was left, by what a store knows."""

    subject: Subject
    metric: str
    at: float
    value: float


Track = Dict[str, Tuple[float, float]]  # metric -> (time, value) of the newest sample


class Shares:
    """The series as they go on. For one thread."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self._most = most_series
        self._tracks: Dict[Subject, Track] = {}
        self._count = 0
        self._swept = NEVER
        self._open_since = 0
        self.repeated = 0  # not newer than the one before: every source is asked more often than it measures
        self.refused: Dict[str, int] = {}  # why -> values

    def take(self, samples: Sequence[Sample], now: float) -> Iterator[Tuple[Sample, List[Share]]]:
        """One turn: each sample that brings news, with its points."""
        self._sweep(now)
        self._open_since = max(self._open_since, hour_of(step_of(now - LATE)))
        for sample in samples:
            if not now - FORGET <= sample.at <= now + AHEAD:
                self._refuse("of a time that is not now")
                continue
            found: List[Share] = []
            track = self._tracks.setdefault(key_of(sample.subject), {})
            for metric, value in sample.values.items():
                found += self._value(sample, track, metric, value)
            if found:
                yield sample, found

    def goes_on(self, newest: Newest) -> None:
        """After a restart: what the store has already is not counted again."""
        track = self._tracks.setdefault(key_of(newest.subject), {})
        known = newest.metric in track
        if (known and newest.at > track[newest.metric][0]) or (not known and self._count < self._most):
            track[newest.metric] = (newest.at, newest.value)
            self._count += not known

    def _value(self, sample: Sample, track: Track, metric: str, value: float) -> List[Share]:
        row = TABLE.get(metric)
        if row is None:
            return self._refuse("of a metric that is not in the table")
        if not isinstance(value, (int, float)) or not isfinite(value):
            return self._refuse("that is no finite number")
        before, tail = track.get(metric, _NEW)
        if sample.at <= before:
            self.repeated += 1
            return []
        if before == NEVER:
            if self._count >= self._most:
                return self._refuse(f"beyond {self._most} series")
            self._count += 1
        track[metric] = (sample.at, value)
        begin, amount = stands_for(row.form, before, tail, value, sample)
        return shared(metric, begin, sample.at, value, amount, self._open_since)

    def _refuse(self, why: str) -> List[Share]:
        self.refused[why] = self.refused.get(why, 0) + 1
        return []

    def _sweep(self, now: float) -> None:
        if now - self._swept > FORGET:
            self._swept = now
            for subject, track in list(self._tracks.items()):
                for metric in [metric for metric, (at, _) in track.items() if at < now - FORGET]:
                    del track[metric]
                    self._count -= 1
                if not track:
                    del self._tracks[subject]


def shared(metric: str, begin: float, at: float, value: float, amount: float, open_since: int) -> List[Share]:
    """One sample's points, oldest first: its own is the last. open_since: an hour, as krm.store.history.steps."""
    hour = hour_of(step_of(at))
    start = hour * HOUR
    if begin >= start - 2 * _BEFORE or hour <= open_since:
        return [Share(metric, at, value, amount, at - begin)]
    rate = amount / (at - begin)
    found = [Share(metric, at, value, rate * (at - start), at - start)]
    while start - begin > 2 * _BEFORE:
        hour -= 1
        end, start = start, (max(begin, hour * HOUR) if hour > open_since else begin)
        found.append(Share(metric, end - _BEFORE, None, rate * (end - start), end - start))
    return found[::-1]
