"""The rows that the POST API answers with, read from the history. Runs in a thread; asks nothing but `History`.

points  of the levels pod and container where the metric has them, else namespace, else node: `type` says which,
        as Heapster's did, so that none is taken for another
sums    of one level alone: pods, or containers where a metric has no pods; all-namespace adds up those of its
        pods, so that it equals the sum of pod-by-namespace
Where a subject has a whole (resource_id '') its parts are not looked at: they would count twice.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.model import times
from krm.model.gojson import written
from krm.model.measures import CONTAINER, NAMESPACE, NODE, POD, Covers, Subject
from krm.model.metrics import Metric
from krm.server.classic_asked import ALL_NAMESPACE, ALL_POD, MOST_POINTS, POD_BY_NAMESPACE, POINTS, Asked
from krm.store.history.asked import STEP, Extent, History, Query, Total

# What Heapster called the levels.
TYPES = {CONTAINER: "pod_container", POD: "pod", NAMESPACE: "ns", NODE: "node"}
# The namespace that all-namespace leaves out, as the classic application did.
SYSTEM = "kube-system"
# Points are read from the newest on, in windows that grow: 100 of them are mostly in the first.
FIRST_WINDOW, GROWTH = 300.0, 4.0
# Seconds that a clock of a source may be ahead of ours: points beyond that are not looked for.
AHEAD = 3600.0


class Found(NamedTuple):
    """What an answer holds, and what it rests on."""

    rows: List[Dict[str, Any]]
    notes: Tuple[str, ...]
    as_of: Optional[float]  # Unix seconds of the newest sample in it
    covers: Optional[Covers] = None  # of a sum: hours of which anything is known


class _Point(NamedTuple):
    """In the order of the answer: newest first, then by name."""

    before: float  # seconds, negative: later is smaller
    level: int
    subject: Subject
    value: float


def read(history: History, asked: Asked, allowed: Optional[Tuple[str, ...]]) -> Found:
    """`allowed`: the namespaces that the caller may see; None = all. Raises NoHistory."""
    if asked.begin >= asked.end:
        return Found([], ("timeBeginInterval is not before timeEndInterval: no time lies between them",), None)
    if asked.agg == POINTS:
        return _Points(history, asked, allowed).read()
    return _sums(history, asked, allowed)


def point_levels(metric: Metric) -> Tuple[str, ...]:
    """Whose points are given."""
    for levels in ((POD, CONTAINER), (NAMESPACE,), (NODE,)):
        found = tuple(level for level in levels if level in metric.levels)
        if found:
            return found
    return ()


def sum_level(metric: Metric, agg: str) -> str:
    """Whose totals a sum is made of; '' = the metric has none that could be summed so."""
    levels = (POD, CONTAINER, NAMESPACE) if agg == ALL_NAMESPACE else (POD, CONTAINER)
    return next((level for level in levels if level in metric.levels), "")


# Points


class _Points:
    """One reading of points."""

    def __init__(self, history: History, asked: Asked, allowed: Optional[Tuple[str, ...]]) -> None:
        self._history, self._asked, self._allowed = history, asked, allowed
        self._levels = point_levels(asked.metric)
        self._most = min(asked.limit, MOST_POINTS)
        self._notes: List[str] = []
        self._as_of: Optional[float] = None
        self._is_oldest = False  # whether no older points are kept than were read

    def read(self) -> Found:
        of_nodes = self._levels == (NODE,)
        if of_nodes and self._allowed is not None:  # a node is nobody's namespace
            note = f"{self._asked.metric.name} is of nodes, and this account sees some namespaces alone"
            return Found([], (note,), None)
        found: List[_Point] = []
        for begin, end in windows(self._asked):
            found += heapq.nsmallest(self._most - len(found), self._window(begin, end, of_nodes))
            if len(found) >= self._most or self._is_oldest:
                break
        if self._asked.limit > MOST_POINTS and len(found) >= MOST_POINTS:
            self._notes.append(f"more than {MOST_POINTS} points are not given at once: ask for less time, or a sum")
        return Found([self._row(one) for one in found], tuple(dict.fromkeys(self._notes)), self._as_of)

    def _window(self, begin: float, end: float, of_nodes: bool) -> Iterator[_Point]:
        for order, level in enumerate(self._levels):
            namespace = "" if of_nodes else self._asked.namespace
            query = Query(self._asked.metric.name, level, begin, end, namespace, allowed=self._allowed)
            ranged = self._history.range(query)
            self._notes += ranged.extent.notes
            self._as_of = _later(self._as_of, ranged.extent)
            self._is_oldest = self._is_oldest or ranged.extent.begin > begin + STEP
            for series in counted_once(ranged.series, lambda one: one.subject):
                for at, value in zip(series.times, series.values):
                    if math.isfinite(value):
                        yield _Point(-at, order, series.subject, value)

    def _row(self, point: _Point) -> Dict[str, Any]:
        subject = point.subject
        return {
            "time": times.write(-point.before),
            "value": number(point.value),
            "type": TYPES[self._levels[point.level]],
            "nodename": subject.node or None,
            "namespace_name": subject.namespace or None,
            "pod_name": subject.pod or None,
            "container_name": subject.container or None,
            "resource_id": subject.resource_id or None,
        }


def windows(asked: Asked) -> Iterator[Tuple[float, float]]:
    """The asked time in pieces [begin, end), the newest first."""
    end, size = min(asked.end, asked.now + AHEAD), FIRST_WINDOW
    while end > asked.begin:
        begin = max(asked.begin, end - size)
        yield begin, end
        end, size = begin, size * GROWTH


# Sums


def _sums(history: History, asked: Asked, allowed: Optional[Tuple[str, ...]]) -> Found:
    level = sum_level(asked.metric, asked.agg)
    if not level:
        note = f"{asked.metric.name} is not measured of pods: there is no such sum"
        return Found([], (note,), None)
    query = Query(asked.metric.name, level, asked.begin, asked.end, asked.namespace, allowed=allowed)
    totalled = history.totals(query)
    groups: Dict[Tuple[str, ...], List[float]] = {}
    for total in counted_once(totalled.totals, lambda one: one.subject):
        if asked.agg == ALL_NAMESPACE and total.subject.namespace == SYSTEM:
            continue
        groups.setdefault(_group(asked.agg, total), []).append(total.sum)
    begin = times.write(asked.begin)
    names = _NAMES[asked.agg]
    rows = [
        {"time": begin, "sum": number(math.fsum(sums)), **dict(zip(names, group))}
        for group, sums in sorted(groups.items())
    ]
    extent = totalled.extent
    return Found(rows, tuple(dict.fromkeys(extent.notes)), _later(None, extent), extent.covers)


_NAMES = {
    POD_BY_NAMESPACE: ("namespace_name", "pod_name"),
    ALL_NAMESPACE: ("namespace_name",),
    ALL_POD: ("pod_name",),
}


def _group(agg: str, total: Total) -> Tuple[str, ...]:
    subject = total.subject
    if agg == ALL_NAMESPACE:
        return (subject.namespace,)
    return (subject.pod,) if agg == ALL_POD else (subject.namespace, subject.pod)


# Both


def counted_once(rows: Iterable[Any], subject_of: Callable[[Any], Subject]) -> List[Any]:
    """Without the parts of what stands there as a whole too."""
    held: Sequence[Any] = list(rows)
    wholes: Set[Subject] = {subject_of(one) for one in held if not subject_of(one).resource_id}
    return [
        one
        for one in held
        if not subject_of(one).resource_id or subject_of(one)._replace(resource_id="") not in wholes
    ]


def number(value: float) -> float:
    """As JSON is to show it: whole where it is whole, as InfluxDB gave counts and bytes."""
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def _later(as_of: Optional[float], extent: Extent) -> Optional[float]:
    known = [one for one in (as_of, extent.as_of) if one is not None]
    return max(known) if known else None


def text(found: Found) -> bytes:
    """The rows as JSON. Takes long of many: not for the event loop."""
    return written(found.rows) + b"\n"
