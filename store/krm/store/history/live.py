"""The live window: what was measured in the last minutes, in memory, until it is in the file. No I/O.

Points stand here in parts of five minutes, sums in hours; both are written again and again while they
grow, under the same key, and are let go once they are closed and written. A moment is closed LATE seconds
after it: a sample of before that comes too late, is counted, and changes nothing. So memory is bounded:
by the series, by the open parts and hours, and by how much may wait for a disk that is full.
"""

from __future__ import annotations

from array import array
from math import isfinite
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.model.measures import Sample, Subject
from krm.model.metrics import RATE, TABLE, Metric
from krm.store.history import planes
from krm.store.history.asked import HOUR, STEP
from krm.store.history.refused import Refused
from krm.store.history.steps import PART_STEPS, hour_of, part_of, step_of
from krm.store.history.sums import NEVER, SAMPLES, add, new_tally, stands_for

LATE = 120.0  # seconds that a sample may be behind: metrics-server's lag is up to 75 s
LONGEST = 24 * HOUR  # seconds that a window may have
AHEAD = 60.0  # seconds that a source's clock may be before the collector's
MOST_SERIES = 400_000  # about 0.6 KB each
MOST_PARTS = 6  # parts of points that may wait for the file: half an hour; then the oldest are dropped
MOST_HOURS = 6  # the same of sums
GAP = -(2**63)  # no sample fell into this step
EMPTY = array("q", [GAP]) * PART_STEPS


class Track:
    """One series while samples of it come."""

    __slots__ = ("at", "metric", "per", "step", "tail", "weight", "who")

    def __init__(self, who: Who, metric: Metric) -> None:
        self.who = who
        self.metric = metric
        self.per = 1.0 / metric.step
        self.at = NEVER  # of its newest sample
        self.tail = 0.0  # its value
        self.step = 0  # the step that it fell into, and the seconds that the step's mean stands for so far
        self.weight = 0.0


class Who:
    """One subject and its series."""

    __slots__ = ("level", "subject", "tracks")

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.level = subject.level
        self.tracks: Dict[str, Track] = {}


class Piece(NamedTuple):
    """Points of one series in one part."""

    subject: Subject
    first: int  # step
    step: float
    numbers: array[int]


Points = Dict[str, Dict[Track, "array[int]"]]  # by namespace
Tallies = Dict[str, Dict[Track, "array[float]"]]


class Live:
    """Not for several threads but where `History` locks."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self.parts: Dict[int, Points] = {}
        self.hours: Dict[int, Tallies] = {}
        self.dirty_parts: Set[Tuple[str, int]] = set()
        self.dirty_hours: Set[Tuple[str, int]] = set()
        self.refused = Refused()
        self.now = NEVER
        self.series = 0
        self.newest_step = 0
        self._most_series = most_series
        self._subjects: Dict[Subject, Who] = {}  # as sources name them
        self._known: Dict[Subject, Who] = {}  # by key: without the node of a pod
        self._oldest_part = self._oldest_hour = 0

    # Taking -------------------------------------------------------------------------------------

    def take(self, samples: Iterable[Sample], now: float) -> None:
        """One turn. `now` never goes back by more than LATE here: that is for `clear`."""
        self.now = max(self.now, now)
        open_since = step_of(self.now - LATE)
        self._oldest_part = max(self._oldest_part, part_of(open_since))
        self._oldest_hour = max(self._oldest_hour, hour_of(open_since))
        for sample in samples:
            self._take(sample, now)

    def _take(self, sample: Sample, now: float) -> None:
        at, refused = sample.at, self.refused
        if not (isfinite(at) and at <= now + AHEAD):
            refused.count("ahead", sample)
            return
        if not 0 <= sample.window <= LONGEST:
            refused.count("bad", sample)
            return
        step = step_of(at)
        if step > self.newest_step:
            self.newest_step = step
        part, hour = part_of(step), hour_of(step)
        if part < self._oldest_part:
            refused.count("late", sample)
            return
        who = self._subjects.get(sample.subject) or self._who(sample.subject)
        namespace = who.subject.namespace
        points = self.parts.setdefault(part, {}).setdefault(namespace, {})
        tallies = self.hours.setdefault(hour, {}).setdefault(namespace, {})
        for name, value in sample.values.items():
            track = who.tracks.get(name) or self._track(who, name, sample)
            if track is None:
                continue
            if at <= track.at:
                refused.repeated += 1  # a source that has nothing new says the same again
                continue
            try:
                number = round(value * track.per)
            except (TypeError, ValueError, OverflowError):
                number = planes.LIMIT
            if not -planes.LIMIT < number < planes.LIMIT:
                refused.count("bad", sample, name)
                continue
            begin, amount = stands_for(track.metric.form, track.at, track.tail, value, sample)
            self._tally(tallies, track, hour, begin, at, amount, value)
            self._point(points, track, step, begin, at, number)
            track.at, track.tail = at, value
        self.dirty_parts.add((namespace, part))
        self.dirty_hours.add((namespace, hour))

    def _tally(
        self,
        tallies: Dict[Track, array[float]],
        track: Track,
        hour: int,
        begin: float,
        at: float,
        amount: float,
        value: float,
    ) -> None:
        tally = tallies.get(track)
        if tally is None:
            tally = tallies[track] = new_tally()
        tally[SAMPLES] += 1
        start = hour * HOUR
        if begin >= start or hour <= self._oldest_hour:
            add(tally, begin, at, amount, value)
            return
        rate = amount / (at - begin)
        add(tally, start, at, rate * (at - start), value)
        namespace = track.who.subject.namespace
        while begin < start:
            hour -= 1
            end, start = start, hour * HOUR
            if hour <= self._oldest_hour:
                start = begin
            piece = max(begin, start)
            earlier = self.hours.setdefault(hour, {}).setdefault(namespace, {})
            if track not in earlier:
                earlier[track] = new_tally()
            add(earlier[track], piece, end, rate * (end - piece), value)
            self.dirty_hours.add((namespace, hour))

    def _point(
        self, points: Dict[Track, array[int]], track: Track, step: int, begin: float, at: float, number: int
    ) -> None:
        """The newest value of a step; of a rate its mean, and what its window covers of the steps before."""
        row = points.get(track)
        if row is None:
            row = points[track] = EMPTY[:]
        place = (step - 1) % PART_STEPS
        if track.metric.form == RATE:
            span = at - begin
            if track.step == step and row[place] != GAP:
                whole = track.weight + span
                number = round((row[place] * track.weight + number * span) / whole) if whole else number
                track.weight = whole
            else:
                track.weight = span
                if begin < (step - 1.5) * STEP:
                    self._fill(track, step - 1, begin, number)
            track.step = step
        row[place] = number

    def _fill(self, track: Track, step: int, begin: float, number: int) -> None:
        namespace = track.who.subject.namespace
        while step * STEP - begin >= STEP / 2 and part_of(step) >= self._oldest_part:
            part = part_of(step)
            rows = self.parts.setdefault(part, {}).setdefault(namespace, {})
            row = rows.setdefault(track, EMPTY[:])
            if row[(step - 1) % PART_STEPS] != GAP:
                return
            row[(step - 1) % PART_STEPS] = number
            self.dirty_parts.add((namespace, part))
            step -= 1

    def _who(self, subject: Subject) -> Who:
        """A pod has one uid on one node, but not every source names the node."""
        key = subject._replace(node="") if subject.namespace or subject.pod else subject
        who = self._known.get(key)
        if who is None:
            who = self._known[key] = Who(subject)
        elif subject.node and not who.subject.node:
            who.subject = subject
        self._subjects[subject] = who
        return who

    def _track(self, who: Who, name: str, sample: Optional[Sample] = None) -> Optional[Track]:
        metric = TABLE.get(name)
        if metric is None:
            self.refused.count("unknown", sample, name)
            return None
        if self.series >= self._most_series:
            self.refused.count("many", sample, name)
            return None
        self.series += 1
        track = who.tracks[name] = Track(who, metric)
        return track

    # Going on after a restart -------------------------------------------------------------------

    def goes_on(self, subject: Subject, metric: str, at: float, tail: float) -> Optional[Track]:
        """A series that the file knows, with its newest sample. None: it is not in the table any more."""
        who = self._subjects.get(subject) or self._who(subject)
        track = who.tracks.get(metric) or self._track(who, metric)
        if track is not None and at > track.at:
            track.at, track.tail = at, tail
        return track

    def touch(self) -> None:
        """All that is here is to be written again."""
        self.dirty_parts.update((name, part) for part, names in self.parts.items() for name in names)
        self.dirty_hours.update((name, hour) for hour, names in self.hours.items() for name in names)

    def clear(self) -> None:
        """As new, but for what it counted: the clock was put back, and the file says how to go on."""
        fresh = Live(self._most_series)
        fresh.refused = self.refused
        self.__dict__.update(fresh.__dict__)

    # Giving away --------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Of what is closed and written; and of the oldest that waits, where too much does."""
        for part in sorted(self.parts):
            waiting = {key for key in self.dirty_parts if key[1] == part}
            if part < self._oldest_part and (not waiting or part < self._oldest_part - MOST_PARTS):
                self.refused.dropped += len(waiting)
                self.dirty_parts -= waiting
                del self.parts[part]
        for hour in sorted(self.hours):
            waiting = {key for key in self.dirty_hours if key[1] == hour}
            if hour < self._oldest_hour and (not waiting or hour < self._oldest_hour - MOST_HOURS):
                self.refused.dropped += len(waiting)
                self.dirty_hours -= waiting
                del self.hours[hour]
                self._forget((self._oldest_hour - 1) * HOUR)

    def _forget(self, before: float) -> None:
        """Of series that ended."""
        for key, who in list(self._known.items()):
            for name in [name for name, track in who.tracks.items() if track.at < before]:
                del who.tracks[name]
                self.series -= 1
            if not who.tracks:
                del self._known[key]
        self._subjects = {subject: who for subject, who in self._subjects.items() if who.tracks}

    @property
    def oldest_hour(self) -> int:
        """Hours before it are closed."""
        return self._oldest_hour

    @property
    def oldest_part(self) -> int:
        """The same, of parts."""
        return self._oldest_part

    # Reading ------------------------------------------------------------------------------------

    def pieces(
        self, metric: str, level: str, first: int, last: int, names: Optional[Sequence[str]]
    ) -> Iterator[Piece]:
        """Points of the parts between two steps, in order of time. `names`: namespaces, None = all."""
        for part in sorted(self.parts):
            if part_of(first) <= part <= part_of(last):
                for name, rows in self.parts[part].items():
                    if names is None or name in names:
                        for track, row in rows.items():
                            if track.metric.name == metric and track.who.level == level:
                                yield Piece(track.who.subject, part * PART_STEPS + 1, track.metric.step, row[:])

    def tallies(self, metric: str, level: str, hour: int, name: str) -> List[Tuple[Subject, array[float]]]:
        """Sums of a namespace's hour."""
        return [
            (track.who.subject, tally[:])
            for track, tally in self.hours.get(hour, {}).get(name, {}).items()
            if track.metric.name == metric and track.who.level == level
        ]
