"""Pods and namespaces from their containers: what is measured of containers is kept of them alone.

A pod's points are its containers' together; where one of them has a gap in its midst, so has the pod: a part
would look like less. A namespace's sum over time is its containers' too, so that a pod that lived for seconds
counts; its points and its maximum are those that were recorded of the namespace as a whole.
"""

from __future__ import annotations

import math
from array import array
from typing import Dict, List, Optional, Sequence

from krm.model.measures import CONTAINER, NAMESPACE, POD, Subject
from krm.model.metrics import TABLE
from krm.store.history.asked import STEP, History, Query, Ranged, Series, Total, Totalled


class Summing:
    """A History over another one."""

    def __init__(self, history: History) -> None:
        self._history = history

    def range(self, query: Query) -> Ranged:
        """As History has it."""
        if query.level != POD or not _of_containers(query):
            return self._history.range(query)
        found = self._history.range(query._replace(level=CONTAINER))
        return Ranged(together(found.series, TABLE[query.metric].adds_up), found.extent)

    def totals(self, query: Query) -> Totalled:
        """As History has it. The maximum of a pod of several containers is that of each, added: at most that."""
        if query.level not in (POD, NAMESPACE) or not _of_containers(query):
            return self._history.totals(query)
        parts = self._history.totals(query._replace(level=CONTAINER))
        pods = added(parts.totals, POD, TABLE[query.metric].adds_up)
        if query.level == POD:
            return Totalled(pods, parts.extent)
        whole = {one.subject.namespace: one for one in self._history.totals(query).totals}
        sums = added(pods, NAMESPACE)
        return Totalled([_as_recorded(one, whole.get(one.subject.namespace)) for one in sums], parts.extent)


def together(series: Sequence[Series], adds_up: bool = True) -> List[Series]:
    """Containers' points as their pods', by pod: added, or the largest where they do not add up."""
    pods: Dict[Subject, List[Series]] = {}
    for one in series:
        if len(one.times):
            pods.setdefault(one.subject._replace(container=""), []).append(one)
    return [_pod(subject, pods[subject], adds_up) for subject in sorted(pods)]


def _pod(subject: Subject, containers: List[Series], adds_up: bool) -> Series:
    if len(containers) == 1:
        return containers[0]._replace(subject=subject)
    first = min(one.times[0] for one in containers)
    steps = round((max(one.times[-1] for one in containers) - first) / STEP) + 1
    values: List[float] = [math.nan] * steps
    for one in containers:
        offset = round((one.times[0] - first) / STEP)
        for place, value in enumerate(one.values, offset):
            if math.isnan(value):
                values[place] = math.inf  # a gap in its midst: marked until all are added
            elif math.isnan(values[place]):
                values[place] = value
            else:
                values[place] = values[place] + value if adds_up else max(values[place], value)
    known = array("d", (math.nan if math.isinf(value) else value for value in values))
    return Series(subject, array("d", (first + place * STEP for place in range(steps))), known)


def added(totals: Sequence[Total], level: str, adds_up: bool = True) -> List[Total]:
    """Totals of parts as those of their pods or namespaces, by subject; where they do not add up, the largest."""
    found: Dict[Subject, Total] = {}
    for one in totals:
        subject = one.subject
        key = subject._replace(container="") if level == POD else Subject(subject.namespace)
        other = found.get(key)
        one = one._replace(subject=key)
        if other is None:
            found[key] = one
        elif adds_up:
            found[key] = _both(other, one)
        else:
            found[key] = max(other, one, key=lambda total: total.sum)
    return [found[subject] for subject in sorted(found)]


def _both(one: Total, other: Total) -> Total:
    return Total(
        one.subject,
        one.sum + other.sum,
        max(one.covered, other.covered),
        one.maximum + other.maximum,
        one.samples + other.samples,
        min(one.first, other.first),
        max(one.last, other.last),
    )


def _as_recorded(summed: Total, whole: Optional[Total]) -> Total:
    if whole is None:
        return summed
    return summed._replace(maximum=whole.maximum, covered=max(summed.covered, whole.covered))


def _of_containers(query: Query) -> bool:
    row = TABLE.get(query.metric)
    # Requests and limits of a pod are more than its containers': init containers and overhead count there.
    return row is not None and CONTAINER in row.levels and row.sources != ("state",)
