"""Who on a node may have done a harm: who used more than it asked for then, and grew as the harm did. Pure."""

from __future__ import annotations

import math
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.finding import HIGH, LOW, MEDIUM
from krm.analysis.limits.checks import USED
from krm.analysis.limits.harms import WAITING, WAITS, Harm
from krm.analysis.limits.pods import Holder, Place, in_units
from krm.analysis.limits.points import Line, Points, mean
from krm.model.amounts import CPU, MEMORY
from krm.model.podresources import REQUESTS

MOST = 3  # suspects of one harm, those that took most
# Less than this above its request takes nothing from anybody that is worth telling: of the node's allocatable, and
# where that is not known millicores, bytes.
LEAST_SHARE = 0.02
LEAST: Mapping[str, float] = {CPU: 50.0, MEMORY: 64.0 * 2**20}
FULL = 0.9  # share of its allocatable from which on a node has no more to give
COINCIDES = 0.7  # correlation of use and waiting from which on they go together
FEWEST = 8  # points of both: a correlation of fewer says nothing


class Suspect(NamedTuple):
    """One container. CPU in millicores, memory in bytes."""

    place: Place
    took: float  # above its request, mean of the points of the harm
    used: float  # mean of the same
    requested: float
    growth: Optional[float]  # against the calm points; None = there are none
    coincides: Optional[float]  # correlation with the waiting, -1..1; None = too few points
    sureness: str


class NodeState(NamedTuple):
    """How full a node was while somebody was harmed."""

    share: Optional[float]  # used / allocatable; None = not known
    waiting: Optional[float]  # its own pressure, mean share; None = not known
    told: bool  # its kubelet or its kernel says that it had no more

    @property
    def full(self) -> Optional[bool]:
        if self.told:
            return True
        return None if self.share is None else self.share >= FULL


def node_state(harm: Harm, points: Points, allocatable: Optional[float], pressed: bool) -> NodeState:
    """pressed: its kubelet reports memory pressure. That it evicted, or that its kernel killed, says the same."""
    used = mean(points.of_node(USED[harm.resource], harm.node), harm.at)
    share = None if used is None or not allocatable else used / allocatable
    told = harm.kind != WAITS or (pressed and harm.resource == MEMORY)
    return NodeState(share, mean(points.of_node(WAITING[harm.resource], harm.node), harm.at), told)


def suspects(
    harm: Harm, neighbours: Sequence[Holder], points: Points, state: NodeState, allocatable: Optional[float]
) -> List[Suspect]:
    """Those of other pods of its node, who took most first."""
    least = allocatable * LEAST_SHARE if allocatable else LEAST[harm.resource]
    found = []
    for holder in neighbours:
        if (holder.namespace, holder.name) == (harm.namespace, harm.pod):
            continue
        for one in holder.lasting():
            requested = 0.0
            if harm.resource in one.in_force[REQUESTS]:
                known = in_units(one.in_force[REQUESTS], harm.resource)
                if known is None:
                    continue
                requested = known
            place = (holder.namespace, holder.name, one.name)
            suspect = _judged(harm, place, requested, points.line(USED[harm.resource], place), least, state)
            if suspect is not None:
                found.append(suspect)
    return sorted(found, key=lambda one: (-one.took, one.place))[:MOST]


def _judged(
    harm: Harm, place: Place, requested: float, line: Line, least: float, state: NodeState
) -> Optional[Suspect]:
    used = mean(line, harm.at)
    if used is None:
        return None
    took = sum(sorted(max(0.0, line[at] - requested) for at in harm.at if at in line)) / sum(
        at in line for at in harm.at
    )
    if took < least:
        return None
    calm = mean(line, harm.calm)
    growth = None if calm is None else used - calm
    coincides = correlation(line, harm.waiting)
    together = coincides is not None and coincides >= COINCIDES
    if harm.kind != WAITS:
        together = growth is not None and growth >= least
    if state.full:
        sureness = HIGH if together else MEDIUM
    elif together:
        sureness = LOW  # that the two went together is all that is known
    else:
        return None
    return Suspect(place, took, used, requested, growth, coincides, sureness)


def correlation(one: Line, other: Line) -> Optional[float]:
    """Pearson's, over the points that both have."""
    both = sorted(one.keys() & other.keys())
    if len(both) < FEWEST:
        return None
    pairs: List[Tuple[float, float]] = [(one[at], other[at]) for at in both]
    means = [math.fsum(values) / len(pairs) for values in zip(*pairs)]
    apart = [(left - means[0], right - means[1]) for left, right in pairs]
    spread = math.sqrt(math.fsum(left**2 for left, _ in apart) * math.fsum(right**2 for _, right in apart))
    return math.fsum(left * right for left, right in apart) / spread if spread > 0 else None
