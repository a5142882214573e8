"""What a container of one pod used: points of a day, hours of a week, whatever order they came in. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, TypeVar

from krm.analysis.inputs import History, HourTrack, Kills, Track
from krm.analysis.sizing import own
from krm.model.measures import CONTAINER

CPU, MEMORY = "cpu/usage_rate", "memory/working_set"
STEP = 15.0  # seconds that a point stands for
HOUR = 3600.0
WEEK = 7 * 24 * HOUR
Place = Tuple[str, str, str, str]  # namespace, pod, uid, container


class Points(NamedTuple):
    """Without gaps, oldest first."""

    times: Sequence[float]  # Unix seconds
    values: Sequence[float]

    def until(self, at: float) -> Points:
        """Those up to a moment."""
        end = bisect_right(self.times, at)
        return Points(self.times[:end], self.values[:end])


class Hours(NamedTuple):
    """Oldest first."""

    ends: Sequence[float]  # Unix seconds
    values: Sequence[float]


class Used(NamedTuple):
    """Of one container of one pod. CPU in millicores, memory in bytes (working set)."""

    place: Place
    cpu: Points
    memory: Points
    cpu_hours: Hours  # means
    peaks: Hours  # of memory: the most in each hour, of hours and of points
    kills: Tuple[Tuple[float, float], ...]  # Unix seconds and the limit in bytes (0 = not known), oldest first
    ordered: Sequence[float]  # the points of CPU, smallest first
    most: float  # of the points of memory; 0 = there are none

    def pod_past(self) -> own.PodPast:
        """As krm's own rule takes it."""
        return own.PodPast(
            self.ordered,
            self.cpu_hours.values,
            self.peaks.ends,
            self.peaks.values,
            max((limit for _, limit in self.kills), default=0.0),
        )


_NONE = Points((), ())


def used(history: History, kills: Kills, now: float) -> Dict[Place, Used]:
    """Of every container that has points, hours or a kill."""
    points = {metric: _by_place(history.tracks(metric, CONTAINER)) for metric in (CPU, MEMORY)}
    hours = {metric: _by_place(history.hours(metric, CONTAINER)) for metric in (CPU, MEMORY)}
    killed: Dict[Place, List[Tuple[float, float]]] = {}
    for kill in kills.rows:
        if kill.container and now - WEEK < kill.at <= now:
            place = (kill.namespace, kill.pod, kill.pod_uid, kill.container)
            killed.setdefault(place, []).append((kill.at, float(kill.limit or 0)))
    places = set(killed).union(*points.values(), *hours.values())
    found = {}
    for place in sorted(places):
        cpu, memory = (
            _points(points[metric].get(place, ()), history.begin, history.end) for metric in (CPU, MEMORY)
        )
        recent = _by_hour(memory, max)
        found[place] = Used(
            place,
            cpu,
            memory,
            _both(_hours(hours[CPU].get(place, ()), now, False), _by_hour(cpu, _mean)),
            _both(_hours(hours[MEMORY].get(place, ()), now, True), recent),
            tuple(sorted(set(killed.get(place, ())))),
            sorted(cpu.values),
            max(recent.values, default=0.0),
        )
    return found


_Any = TypeVar("_Any", Track, HourTrack)


def _by_place(tracks: Iterable[_Any]) -> Mapping[Place, List[_Any]]:
    found: Dict[Place, List[_Any]] = {}
    for track in tracks:
        subject = track.subject
        found.setdefault((subject.namespace, subject.pod, subject.uid, subject.container), []).append(track)
    return found


def _points(tracks: Sequence[Track], begin: float, end: float) -> Points:
    """Of (begin, end]. Where two tell of one step, the larger: the order that they came in counts for nothing."""
    if not tracks:
        return _NONE
    if len(tracks) == 1:
        times, values = tracks[0].times, tracks[0].values
        if len(times) and not (times[0] > begin and times[-1] <= end):
            first, last = bisect_right(times, begin), bisect_right(times, end)
            times, values = times[first:last], values[first:last]
        total = sum(values)
        if total == total:  # no gap in it: nearly always
            return Points(times, values)
        pairs = [(at, value) for at, value in zip(times, values) if value == value]
        return Points([at for at, _ in pairs], [value for _, value in pairs])
    merged: Dict[float, float] = {}
    for track in tracks:
        for at, value in zip(track.times, track.values):
            if value == value and begin < at <= end:
                merged[at] = max(value, merged.get(at, value))
    ordered = sorted(merged.items())
    return Points([at for at, _ in ordered], [value for _, value in ordered])


def _hours(tracks: Sequence[HourTrack], now: float, maxima: bool) -> Hours:
    """Of the last week."""
    merged: Dict[float, float] = {}
    for track in tracks:
        for end, value in zip(track.ends, track.maxima if maxima else track.means):
            if value == value and now - WEEK < end <= now:
                merged[end] = max(value, merged.get(end, value))
    ordered = sorted(merged.items())
    return Hours([end for end, _ in ordered], [value for _, value in ordered])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _by_hour(points: Points, what: Callable[[Sequence[float]], float]) -> Hours:
    """Of each hour that there are points of."""
    ends, values, place = [], [], 0
    while place < len(points.times):
        end = -(-points.times[place] // HOUR) * HOUR
        following = bisect_right(points.times, end, place)
        ends.append(end)
        values.append(what(points.values[place:following]))
        place = following
    return Hours(ends, values)


def _both(older: Hours, recent: Hours) -> Hours:
    """Where both tell of an hour, the larger."""
    merged = dict(zip(older.ends, older.values))
    for end, value in zip(recent.ends, recent.values):
        merged[end] = max(value, merged.get(end, value))
    ordered = sorted(merged.items())
    return Hours([end for end, _ in ordered], [value for _, value in ordered])


def span(pods: Sequence[Used], begin: float) -> float:
    """Seconds that are known of, whichever pod they are of: hours before `begin`, and points after it."""
    older = {end for one in pods for ends in (one.peaks.ends, one.cpu_hours.ends) for end in ends if end <= begin}
    edges = [
        (times[0] - STEP, times[-1]) for one in pods for times in (one.cpu.times, one.memory.times) if len(times)
    ]
    recent = max(last for _, last in edges) - min(first for first, _ in edges) if edges else 0.0
    return len(older) * HOUR + recent
