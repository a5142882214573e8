"""What is measured: a subject, a moment, and values in the units of krm.model.metrics. Pure values.

A sample belongs to its source: the source's own time and window come with it and are never replaced by
the time of the collection. A value that is not known is not in the mapping; it is never 0.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple

CLUSTER, NODE, NAMESPACE, POD, CONTAINER = LEVELS = ("cluster", "node", "namespace", "pod", "container")


class Subject(NamedTuple):
    """Whom a number is about. What is filled says the level."""

    namespace: str = ""
    pod: str = ""
    uid: str = ""  # the pod's: a StatefulSet gives the same name again
    container: str = ""
    node: str = ""  # the node itself, or the one that a pod runs on
    resource_id: str = ""  # a part of the subject: a filesystem, a GPU, a quota's resource; '' = all of it

    @property
    def level(self) -> str:
        """One of LEVELS."""
        if self.container:
            return CONTAINER
        if self.pod:
            return POD
        if self.namespace:
            return NAMESPACE
        return NODE if self.node else CLUSTER


class Covers(NamedTuple):
    """How many parts of a sum are known, of how many: `3 of 4 nodes`."""

    known: int
    of: int
    what: str  # nodes, pods, containers

    def __str__(self) -> str:
        return f"{self.known} of {self.of} {self.what}"

    @property
    def whole(self) -> bool:
        return self.known >= self.of


class Sample(NamedTuple):
    """Values of one subject at one moment, as one source told them."""

    subject: Subject
    at: float  # Unix seconds, by the source's clock
    values: Mapping[str, float]  # metric -> value in its unit
    source: str  # kubelet/resource, kubelet/summary, kubelet/cadvisor, metrics.k8s.io, agent, dcgm, app, state, sum
    window: float = 0.0  # seconds that rates were taken over; 0 = an instant
    started: Optional[float] = None  # Unix seconds since when its counters count, where the source says so
    covers: Optional[Covers] = None  # of a sum: what it is the sum of


class Silence(NamedTuple):
    """A target that gave no data: it is left out of sums and never becomes 0."""

    target: str  # as people name it: node worker-1, pod shop/web-0
    source: str
    reason: str  # a sentence
    since: float  # Unix seconds of the first failure in a row
    last: Optional[float] = None  # Unix seconds of the last success, None = there was none


Key = Tuple[str, str, str, str, str]  # namespace, pod, uid, container, resource_id: a subject but for its node
