"""What is compared with what: the use of each container and pod, and the limit or request it is held to. Pure."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.inputs import Inputs, Reading
from krm.analysis.limits.pods import Holder, Place, in_units
from krm.analysis.limits.points import Line, Points, together
from krm.model.amounts import CPU, MEMORY, STORAGE
from krm.model.measures import CONTAINER, POD
from krm.model.podresources import LIMITS, REQUESTS

PIDS = "pids"
LIMIT, REQUEST = "limit", "request"
USED: Mapping[str, str] = {
    CPU: "cpu/usage_rate", MEMORY: "memory/working_set", STORAGE: "ephemeral_storage/usage", PIDS: "pids/usage",
}  # fmt: skip
UNITS: Mapping[str, str] = {CPU: "millicores", MEMORY: "bytes", STORAGE: "bytes", PIDS: "count"}
THROTTLED, MOST_PIDS = "cpu/throttled_share", "pids/limit"
# What was in force then, and to what it is kept there, in its unit. Of requests that is not asked: it would cost
# half a second for 5,000 pods, and to be above one that was changed since is no harm.
THEN: Mapping[str, Tuple[str, float]] = {CPU: ("cpu/limit", 1.0), MEMORY: ("memory/limit", 1024.0)}
_FIELDS = ((LIMIT, LIMITS), (REQUEST, REQUESTS))
_OLD = 120.0  # seconds: what was read longer ago is not `now`
_NONE: Line = {}


class Check(NamedTuple):
    """One amount that is not to be exceeded, and what was used. In units of krm.model.metrics."""

    holder: Holder
    container: str  # '' = the pod as a whole
    resource: str
    against: str  # limit, request
    allowed: float  # in force now
    then: Line  # where something else was in force at that point
    line: Line  # used
    throttled: Line  # of CPU, share of its periods; {} = not known
    now: Optional[float]
    now_at: Optional[float]  # Unix seconds by the source's clock
    source: str  # of now
    windowed: bool = True  # False: of storage and pids, which change slowly, no history is read


class Now:
    """The newest readings, by place."""

    def __init__(self, inputs: Inputs) -> None:
        self._at: Dict[Place, Reading] = {}
        self._now = inputs.now
        for level in (CONTAINER, POD):
            for one in inputs.newest.readings.get(level, ()):
                self._at[one.subject.namespace, one.subject.pod, one.subject.container] = one

    def reading(self, holder: Holder, container: str) -> Optional[Reading]:
        """None where there is none, or it is of another pod of that name, on another node."""
        found = self._at.get((holder.namespace, holder.name, container))
        elsewhere = found is not None and found.subject.node and holder.node and found.subject.node != holder.node
        return None if elsewhere else found

    def value(self, reading: Optional[Reading], metric: str) -> Optional[float]:
        """None where it is not known, or too old to be `now`."""
        if reading is None or (reading.at is not None and reading.at < self._now - _OLD):
            return None
        value = reading.values.get(metric)
        return value if value is not None and value == value else None


def checks(holder: Holder, points: Points, now: Now) -> Iterator[Check]:
    """Of one pod: each container's, then its own. What is known of no limit or request is none."""
    for one in holder.lasting():
        reading = now.reading(holder, one.name)
        place = (holder.namespace, holder.name, one.name)
        for resource in (CPU, MEMORY):
            wanted = [(against, in_units(one.in_force[field], resource)) for against, field in _FIELDS]
            if not any(allowed for _, allowed in wanted):
                continue
            line = points.line(USED[resource], place)
            throttled = points.line(THROTTLED, place) if resource == CPU else _NONE
            for against, allowed in wanted:
                if allowed:
                    then = _then(points, place, resource, allowed) if against == LIMIT else _NONE
                    yield Check(
                        holder, one.name, resource, against, allowed, then,
                        line, throttled, *_now(now, reading, USED[resource]),
                    )  # fmt: skip
        most = now.value(reading, MOST_PIDS)
        if most:
            yield _of_now(holder, one.name, PIDS, LIMIT, most, now, reading)
    yield from _as_a_whole(holder, points, now)
    yield from _storage(holder, now)


def _then(points: Points, place: Place, resource: str, allowed: float) -> Line:
    """Where it was another one than now, by more than the history rounds."""
    metric, kept_to = THEN[resource]
    line = points.line(metric, place)
    return {at: value for at, value in line.items() if abs(value - allowed) > kept_to and value > 0}


def _now(now: Now, reading: Optional[Reading], metric: str) -> Tuple[Optional[float], Optional[float], str]:
    value = now.value(reading, metric)
    if value is None or reading is None:
        return None, None, ""
    return value, reading.at, reading.source


def _as_a_whole(holder: Holder, points: Points, now: Now) -> Iterator[Check]:
    """What spec.resources holds a pod to: its containers' use together, where all that run are known."""
    for resource in (CPU, MEMORY):
        for against, field in _FIELDS:
            allowed = in_units(holder.whole[field], resource)
            if allowed:
                metric = USED[resource]
                running = [one for one in holder.lasting() if one.runs] or list(holder.lasting())
                lines = [points.line(metric, (holder.namespace, holder.name, one.name)) for one in running]
                readings = [now.reading(holder, one.name) for one in running]
                yield Check(
                    holder, "", resource, against, allowed, _NONE, together(lines), _NONE,
                    *_sum_now(now, [one for one in readings if one is not None], len(running), metric),
                )  # fmt: skip


def _sum_now(
    now: Now, readings: List[Reading], of: int, metric: str
) -> Tuple[Optional[float], Optional[float], str]:
    values = [now.value(one, metric) for one in readings]
    known = [value for value in values if value is not None]
    if not known or len(known) < of:
        return None, None, ""
    times = [one.at for one in readings if one.at is not None]
    return sum(known), min(times) if times else None, readings[0].source


def _storage(holder: Holder, now: Now) -> Iterator[Check]:
    """A pod's ephemeral storage: above the sum of its containers' limits the kubelet evicts it."""
    reading = now.reading(holder, "")
    for against, field in _FIELDS:
        allowed = in_units(holder.resources.totals[field], STORAGE)
        if allowed:
            yield _of_now(holder, "", STORAGE, against, allowed, now, reading)


def _of_now(
    holder: Holder, name: str, resource: str, against: str, allowed: float, now: Now, reading: Optional[Reading]
) -> Check:
    used = _now(now, reading, USED[resource])
    return Check(holder, name, resource, against, allowed, _NONE, _NONE, _NONE, *used, windowed=False)
