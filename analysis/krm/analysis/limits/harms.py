"""Who was harmed on its node: waited, was evicted or killed though it used no more than it asked for. Pure.

Waiting is pressure (PSI). A container waits for its own quota's sake too, and for its own memory limit's: such
points do not count, nor do those at which nobody knows. Who uses more than its request has no claim on what it
waits for; who requests nothing has none at all.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.limits.breach import THROTTLED_POINT
from krm.analysis.limits.checks import THROTTLED, USED
from krm.analysis.limits.pods import Holder, Place, in_units
from krm.analysis.limits.points import STEP, Line, Points, above, mean
from krm.model import times
from krm.model.amounts import CPU, MEMORY, Troubles, read
from krm.model.kills import NODE_WIDE, Kill
from krm.model.measures import Covers
from krm.model.podresources import LIMITS, REQUESTS
from krm.model.reading import mapping, rows, text

WAITS, EVICTED, KILLED = "waits", "evicted", "killed"
WAITING = {CPU: "pressure/cpu_waiting", MEMORY: "pressure/memory_waiting"}
WAITED = 0.1  # share of a point's time: from here on it counts as waiting
LEAST_POINTS = 3  # 45 s: fewer points of waiting are the noise of any machine
NEAR_LIMIT = 0.9  # share of its own limit: above this that is why it waits
BEFORE = 60.0  # seconds before an eviction or a kill that are looked at
_LOW_ON = re.compile(r"low on resource: ([a-z-]+)").search


class Harm(NamedTuple):
    """One container, or an evicted pod, that was harmed."""

    node: str
    resource: str  # cpu, memory
    kind: str  # waits, evicted, killed
    namespace: str
    pod: str
    container: str  # '' = the pod
    at: Tuple[float, ...]  # points at which it was; of an event the minute before it
    calm: Tuple[float, ...]  # points at which it was not
    waiting: Line  # share of time, by point; {} of an event
    used: Optional[float]  # mean of `at`, millicores or bytes; None = not known
    requested: Optional[float]
    longest: float  # seconds of the longest run
    moment: Optional[float]  # Unix seconds of an event
    points: Covers  # of its waiting; of an event of its use before it


def waiting(holder: Holder, points: Points) -> Iterator[Harm]:
    """Of one pod's containers."""
    for one in holder.lasting():
        place = (holder.namespace, holder.name, one.name)
        for resource, metric in WAITING.items():
            line = points.line(metric, place)
            requested = in_units(one.in_force[REQUESTS], resource)
            if not requested or sum(share >= WAITED for share in line.values()) < LEAST_POINTS:
                continue
            used = points.line(USED[resource], place)
            limit = in_units(one.in_force[LIMITS], resource)
            throttled = points.line(THROTTLED, place) if resource == CPU else {}
            at = tuple(
                moment
                for moment, share in line.items()
                if share >= WAITED
                and moment in used
                and used[moment] <= requested
                and not _own_limit(used[moment], limit, throttled.get(moment))
            )
            if len(at) >= LEAST_POINTS:
                hurt = {moment: line[moment] for moment in at}
                calm = tuple(moment for moment in line if moment not in hurt)
                run = _longest(line, hurt)
                yield Harm(
                    holder.node, resource, WAITS, *place, at, calm, line, mean(used, at), requested, run, None,
                    points.covers(line, holder.started),
                )  # fmt: skip


def _longest(line: Line, hurt: Mapping[float, float]) -> float:
    return above(line, lambda moment, _: moment in hurt).longest


def _own_limit(used: float, limit: Optional[float], throttled: Optional[float]) -> bool:
    """Whether its own limit is why it waits."""
    if throttled is not None and throttled >= THROTTLED_POINT:
        return True
    return bool(limit) and limit is not None and used >= NEAR_LIMIT * limit


def evictions(pods: Iterable[Body], points: Points) -> Iterator[Harm]:
    """For want of memory, within the window."""
    for pod in pods:
        metadata, spec, status = (mapping(pod.get(part)) for part in ("metadata", "spec", "status"))
        low = _LOW_ON(text(status.get("message")))
        moment = _evicted_at(status)
        inside = moment is not None and points.begin < moment <= points.end
        if text(status.get("reason")) != "Evicted" or low is None or low.group(1) != MEMORY or not inside:
            continue
        namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
        places = [(namespace, name, text(one.get("name"))) for one in rows(spec.get("containers"))]
        lines = [points.line(USED[MEMORY], place) for place in places]
        used = _sum([_last(line, moment or 0.0) for line in lines])
        requested = _sum([_asked(one) for one in rows(spec.get("containers"))])
        yield _event(
            EVICTED, text(spec.get("nodeName")), (namespace, name, ""), moment or 0.0, used, requested, points
        )


def _evicted_at(status: Dict[str, Any]) -> Optional[float]:
    """When the kubelet did it (DisruptionTarget, 1.26+), else when the last container ended."""
    for row in rows(status.get("conditions")):
        if row.get("type") == "DisruptionTarget" and row.get("reason") == "TerminationByKubelet":
            return times.known(row.get("lastTransitionTime"))
    ends = [mapping(mapping(row.get("state")).get("terminated")) for row in rows(status.get("containerStatuses"))]
    known = [at for at in (times.known(end.get("finishedAt")) for end in ends) if at is not None]
    return max(known, default=None)


def _asked(container: Dict[str, Any]) -> Optional[float]:
    requests = mapping(mapping(container.get("resources")).get(REQUESTS))
    return in_units(read(requests, Troubles(""), REQUESTS), MEMORY) if MEMORY in requests else 0.0


def kills(found: Sequence[Kill], by_place: Dict[Tuple[str, str], Holder], points: Points) -> Iterator[Harm]:
    """Node-wide ones, within the window: no limit was hit, the node had no memory left."""
    for kill in found:
        if kill.scope != NODE_WIDE or not points.begin < kill.at <= points.end or not kill.pod:
            continue
        holder = by_place.get((kill.namespace, kill.pod))
        requested = None
        if holder is not None and (not kill.pod_uid or kill.pod_uid == holder.uid):
            of = next((one for one in holder.lasting() if one.name == kill.container), None)
            requested = None if of is None else in_units(of.in_force[REQUESTS], MEMORY) or 0.0
        place = (kill.namespace, kill.pod, kill.container)
        used = _last(points.line(USED[MEMORY], place), kill.at)
        yield _event(KILLED, kill.node, place, kill.at, used, requested, points)


def _event(
    kind: str, node: str, place: Place, moment: float, used: Optional[float], requested: Optional[float],
    points: Points,
) -> Harm:  # fmt: skip
    first = points.begin // STEP * STEP + STEP
    steps = [first + STEP * number for number in range(int((points.end - first) // STEP) + 1)]
    at = tuple(step for step in steps if moment - BEFORE < step <= moment)
    calm = tuple(step for step in steps if step <= moment - BEFORE)
    covers = Covers(int(used is not None), 1, "points")
    return Harm(node, MEMORY, kind, *place, at, calm, {}, used, requested, 0.0, moment, covers)


def within_its_request(harm: Harm) -> bool:
    """Whether it had a claim. Of an event of which that is not known: yes, with a doubt."""
    return harm.used is None or harm.requested is None or harm.used <= harm.requested


def _last(line: Line, moment: float) -> Optional[float]:
    """The newest point at most a minute before."""
    known = [value for at, value in line.items() if moment - BEFORE < at <= moment]
    return known[-1] if known else None


def _sum(values: Sequence[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
