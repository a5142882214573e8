"""One breach: a container, or a pod, near or above a limit or above a request. Pure.

Of a limit: `approaching` from the threshold on, `at` from 99 % on, or where CPU was throttled, `above` beyond it.
Of a request there is `above` alone: to use all of a request is what it is for. The state is the worst of the window
and of now. A limit that was another one at a point is compared with what it was then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from krm.analysis.limits.checks import LIMIT, REQUEST, Check
from krm.analysis.limits.points import Points, above
from krm.model.amounts import CPU
from krm.model.measures import Covers

APPROACHING, AT, ABOVE = STATES = ("approaching", "at", "above")
AT_SHARE = 0.99  # of the limit
# Share of a point's CPU periods: from here on the quota, and no lack of work, is why it did not use more.
THROTTLED_POINT = 0.05
# A rate over 15 s has the edges of two periods of 100 ms in it: it may be above the quota by so much.
_EDGE = {CPU: 0.01}


@dataclass(frozen=True)
class Breach:
    """CPU in millicores, memory and storage in bytes. None = not known, or there is no such thing."""

    namespace: str
    pod: str
    container: str  # '' = the pod as a whole
    node: str
    owner: str  # deployment.apps/web
    resource: str  # cpu, memory, ephemeral-storage, pids
    against: str  # limit, request
    state: str  # of STATES: the worst of the window and of now
    allowed: float  # the limit or request in force
    now: Optional[float]  # used
    now_at: Optional[float]  # Unix seconds by the source's clock
    peak: Optional[float]  # used, of the window; None where the history does not cover it
    ratio: float  # used / allowed, the largest of the window and of now
    share: Optional[float]  # of the points that there are: at the threshold or above; of a request: above it
    longest: Optional[float]  # seconds of the longest run of such points
    throttled: Optional[float]  # of CPU: share of its periods that were throttled, mean of the window
    left: Optional[float]  # until the limit, now; of memory that is the distance to an OOM kill; below 0 = above
    least_left: Optional[float]  # the least of the window
    points: Optional[Covers]  # that there are, of the window's; None where the history does not cover it
    history_since: Optional[float]  # Unix seconds, where the history does not cover the window


def breach_of(check: Check, points: Points, threshold: float) -> Optional[Breach]:
    """None where there is none. threshold: share of the limit."""
    holder = check.holder
    began = holder.started if holder.started is not None else holder.created
    covered = check.windowed and points.covered(began)
    line = check.line if covered else {}
    throttled = check.throttled if covered and check.against == LIMIT else {}
    most_throttled = max(throttled.values(), default=0.0)
    peak = max(line.values(), default=None)
    used = [value for value in (peak, check.now) if value is not None]
    if not used or (not check.then and max(used) / check.allowed < threshold and most_throttled < THROTTLED_POINT):
        return None  # nearly always
    held_to = (
        {at: check.then.get(at, check.allowed) for at in line} if check.then else dict.fromkeys(line, check.allowed)
    )
    ratios = {at: value / held_to[at] for at, value in line.items()}
    worst = max(ratios.values(), default=0.0)
    if check.now is not None:
        worst = max(worst, check.now / check.allowed)
    beyond = max(1.0, threshold) + _EDGE.get(check.resource, 0.0)
    state = _state(check, worst, worst > beyond, threshold, most_throttled)
    if state is None:
        return None
    counted = None
    if ratios:
        counted = above(ratios, lambda at, ratio: (
            ratio > beyond if check.against == REQUEST
            else ratio >= threshold or throttled.get(at, 0.0) >= THROTTLED_POINT
        ))  # fmt: skip
    left = [held_to[at] - value for at, value in line.items()] if check.against == LIMIT else []
    return Breach(
        holder.namespace, holder.name, check.container, holder.node, str(holder.owner),
        check.resource, check.against, state, check.allowed, check.now, check.now_at,
        peak, worst,
        None if counted is None else counted.share,
        None if counted is None else counted.longest,
        sum(sorted(throttled.values())) / len(throttled) if throttled else None,
        None if check.now is None or check.against == REQUEST else check.allowed - check.now,
        min(left, default=None),
        points.covers(line, began) if covered else None,
        points.since if check.windowed and not covered else None,
    )  # fmt: skip


def _state(check: Check, worst: float, beyond: bool, threshold: float, throttled: float) -> Optional[str]:
    if beyond:
        return ABOVE
    if check.against == REQUEST:
        return None
    if worst >= max(AT_SHARE, threshold) or throttled >= THROTTLED_POINT:
        return AT
    return APPROACHING if worst >= threshold else None


def told_once(found: List[Breach]) -> List[Breach]:
    """Of one resource the limit's alone, where both are: who is at a limit is above a lower request anyway."""
    limits = {_key(one) for one in found if one.against == LIMIT}
    return [one for one in found if one.against == LIMIT or _key(one) not in limits]


def _key(one: Breach) -> Tuple[str, ...]:
    return (one.namespace, one.pod, one.container, one.resource)
