"""Efficiency: what is used of what was requested, by container, pod, workload, namespace, node and cluster. Pure.

What is not measured is left out of both sides, and `covers` says so. What is wasted is added container by
container: what one uses above its request gives nobody the other's reservation back. Who requests nothing stands
in neither side; what these use is told apart. Where a pod requests as a whole (spec.resources), it is one part of
all sums above it. Init containers that end, and the overhead of a runtime class, are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Newest
from krm.analysis.limits.pods import Holder, Place, in_units
from krm.analysis.limits.points import Points, mean
from krm.model.amounts import CPU, MEMORY, Amounts
from krm.model.measures import CONTAINER, Covers
from krm.model.podresources import REQUESTS

WORKLOAD = "workload"
LEVELS = ("container", "pod", WORKLOAD, "namespace", "node", "cluster")
METRICS: Mapping[str, str] = {CPU: "cpu/usage_rate", MEMORY: "memory/working_set"}
UNITS: Mapping[str, str] = {CPU: "millicores", MEMORY: "bytes"}
# Metric -> what each container uses of it; who is not measured is not in it.
Use = Mapping[str, Mapping[Place, float]]


@dataclass(frozen=True)
class Efficiency:
    """One resource of one subject. CPU in millicores, memory in bytes; None = not known, or there is none."""

    level: str  # of LEVELS
    namespace: str
    name: str  # of the pod, the workload (`deployment.apps/web`), the node; '' = the namespace, the cluster
    container: str
    resource: str  # cpu, memory
    requested: Optional[float]  # by those that are measured; None = none of them is
    used: Optional[float]  # by the same
    share: Optional[float]  # used / requested; 1 = all of it
    wasted: Optional[float]  # of each what it requests and does not use, added
    beside: Optional[float]  # what those use that request nothing; None = there are none that are measured
    covers: Covers  # those that request, and are measured, of how many


class _Part(NamedTuple):
    """What requests for itself: a container, or a pod as a whole."""

    requested: Optional[float]  # 0 = nothing; None = it could not be read
    used: Optional[float]


def used_now(newest: Newest) -> Use:
    """By the newest readings of containers."""
    found: Dict[str, Dict[Place, float]] = {metric: {} for metric in METRICS.values()}
    for reading in newest.readings.get(CONTAINER, ()):
        subject = reading.subject
        for metric, places in found.items():
            value = reading.values.get(metric)
            if value is not None and value == value:
                places[subject.namespace, subject.pod, subject.container] = value
    return found


def used_over(history: History, held: Sequence[Holder]) -> Use:
    """The mean of each container's points; needs both of METRICS of containers."""
    points = Points(history, {(one.namespace, one.name): one.uid for one in held})
    found: Dict[str, Dict[Place, float]] = {metric: {} for metric in METRICS.values()}
    for one in held:
        for name in _names(one):
            for metric, places in found.items():
                place = (one.namespace, one.name, name)
                line = points.line(metric, place)
                average = mean(line, tuple(line))
                if average is not None:
                    places[place] = average
    return found


def efficiency(held: Sequence[Holder], use: Use) -> Tuple[Efficiency, ...]:
    """Every level, from containers to the cluster; of each level in order of names, CPU before memory.

    A pod that is bound to no node reserves nothing yet and is left out.
    """
    bound = [one for one in held if one.node]
    found: List[Efficiency] = []
    for one in bound:
        found += [_of_container(one, name, resource, use) for name in _names(one) for resource in METRICS]
    keys: Tuple[Tuple[str, Callable[[Holder], Tuple[str, str]]], ...] = (
        ("pod", lambda one: (one.namespace, one.name)),
        (WORKLOAD, lambda one: (one.namespace, str(one.owner))),
        ("namespace", lambda one: (one.namespace, "")),
        ("node", lambda one: ("", one.node)),
        ("cluster", lambda _: ("", "")),
    )
    for level, key in keys:
        groups: Dict[Tuple[str, str], List[Holder]] = {}
        for one in bound:
            groups.setdefault(key(one), []).append(one)
        for (namespace, name), members in sorted(groups.items()):
            found += [_together(level, namespace, name, members, resource, use) for resource in METRICS]
    return tuple(found)


def _names(one: Holder) -> List[str]:
    return [container.name for container in one.lasting()]


def _of_container(one: Holder, name: str, resource: str, use: Use) -> Efficiency:
    container = next(row for row in one.lasting() if row.name == name)
    used = use.get(METRICS[resource], {}).get((one.namespace, one.name, name))
    part = _Part(_requested(container.in_force[REQUESTS], resource), used)
    return _row(("container", one.namespace, one.name, name, resource), [part])


def _together(
    level: str, namespace: str, name: str, members: Sequence[Holder], resource: str, use: Use
) -> Efficiency:
    parts = [part for one in members for part in _parts(one, resource, use)]
    return _row((level, namespace, name, "", resource), parts)


def _parts(one: Holder, resource: str, use: Use) -> Iterator[_Part]:
    places = use.get(METRICS[resource], {})
    containers = list(one.lasting())
    used = [places.get((one.namespace, one.name, row.name)) for row in containers]
    whole = _requested(one.whole[REQUESTS], resource)
    if whole != 0:
        # Of a part of its containers the sum would look like less.
        known = [value for value in used if value is not None]
        yield _Part(whole, sum(known) if known and len(known) == len(used) else None)
        return
    for row, value in zip(containers, used):
        yield _Part(_requested(row.in_force[REQUESTS], resource), value)


def _requested(amounts: Amounts, resource: str) -> Optional[float]:
    return in_units(amounts, resource) if resource in amounts else 0.0


def _row(who: Tuple[str, str, str, str, str], parts: Sequence[_Part]) -> Efficiency:
    asking = [part for part in parts if part.requested != 0]
    measured = [
        (part.requested, part.used) for part in asking if part.requested is not None and part.used is not None
    ]
    others = [part.used for part in parts if part.requested == 0 and part.used is not None]
    requested = sum(asked for asked, _ in measured) if measured else None
    used = sum(took for _, took in measured) if measured else None
    return Efficiency(
        *who,
        requested=requested,
        used=used,
        share=used / requested if requested and used is not None else None,
        wasted=sum(max(0.0, asked - took) for asked, took in measured) if measured else None,
        beside=sum(others) if others else None,
        covers=Covers(len(measured), len(asking), "requests"),
    )
