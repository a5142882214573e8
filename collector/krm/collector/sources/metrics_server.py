"""metrics.k8s.io through the API server: CPU and working set of nodes and containers, as metrics-server has them.

They are rates already: each object brings the time and the window that they were taken over, and both are kept.
Rights: list on nodes and pods of metrics.k8s.io.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Sequence

from krm.cluster.endpoints import TIMEOUT
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.collector.source import NoData, Target
from krm.collector.sources.asking import decoded
from krm.collector.sources.moments import AHEAD
from krm.model import quantities, times
from krm.model.durations import parse_duration
from krm.model.measures import Sample, Subject
from krm.model.reading import mapping, rows, text

NAME = "metrics.k8s.io"
PATH = "/apis/metrics.k8s.io/v1beta1"
_CPU, _MEMORY = "cpu/usage_rate", "memory/working_set"


class MetricsServer:
    """The source. It knows no target but the cluster."""

    name = NAME

    def __init__(self, cluster: Cluster, timeout: float = TIMEOUT) -> None:
        self._cluster, self._timeout = cluster, timeout

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """Samples of all nodes and containers. Raises NoData where either list cannot be had."""
        try:
            nodes = self._cluster.get(f"{PATH}/nodes", timeout=self._timeout)
            pods = self._cluster.get(f"{PATH}/pods", timeout=self._timeout)
        except ClusterError as error:
            raise NoData(f"{target.name}: {error}") from None
        return [sample for sample in (*nodes_of(nodes), *pods_of(pods)) if sample.at < now + AHEAD]


def nodes_of(raw: bytes) -> Iterator[Sample]:
    """A NodeMetricsList as samples; what cannot be read is left out. Raises NoData for what is no list."""
    for one in _items(raw, "nodes"):
        name = text(mapping(one.get("metadata")).get("name"))
        if name:
            yield from _sample(Subject(node=name), one, mapping(one.get("usage")))


def pods_of(raw: bytes) -> Iterator[Sample]:
    """A PodMetricsList as samples of containers. Raises NoData for what is no list."""
    for one in _items(raw, "pods"):
        metadata = mapping(one.get("metadata"))
        namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
        for container in rows(one.get("containers")):
            called = text(container.get("name"))
            if namespace and name and called:
                subject = Subject(namespace, name, container=called)
                yield from _sample(subject, one, mapping(container.get("usage")))


def _sample(subject: Subject, one: Mapping[str, Any], usage: Mapping[str, Any]) -> Iterator[Sample]:
    at = times.known(one.get("timestamp"))
    values: Dict[str, float] = {}
    for resource, metric, scale in (("cpu", _CPU, 1000), ("memory", _MEMORY, 1)):
        try:
            value = quantities.parse(usage.get(resource, ""))
        except quantities.BadQuantity:
            continue
        if value >= 0:
            values[metric] = float(value * scale)
    if at is not None and values:
        yield Sample(subject, at, values, NAME, _window(text(one.get("window"))))


def _window(written: str) -> float:
    """Seconds; 0 where it is none."""
    try:
        return parse_duration(written)
    except ValueError:
        return 0.0


def _items(raw: bytes, what: str) -> Sequence[Mapping[str, Any]]:
    found = mapping(decoded(raw))
    if not isinstance(found.get("items"), list):
        raise NoData(f"{PATH}/{what} gave no list: check the APIService v1beta1.metrics.k8s.io")
    return rows(found.get("items"))
