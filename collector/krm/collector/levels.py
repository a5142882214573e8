"""From what sources say to what each level uses: containers to pods, namespaces, nodes, the cluster. Pure.

Of each metric the best source that speaks of a subject counts, in the order of the metric table, and none
else: nothing is counted twice. A pod uses what its containers use together, where a metric is told of
containers (so does `kubectl top`), else what is told of the pod itself. A sum leaves out what is not known
and says how much it covers.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.collector.facts import PodFacts
from krm.model.measures import CONTAINER, NAMESPACE, NODE, POD, Covers, Sample
from krm.model.metrics import TABLE
from krm.store.latest import Measured, Pod

STATE, SUM = "state", "sum"
# What tells that a container, pod or node is measured at all.
_USED = ("cpu/usage_rate", "memory/working_set")
# (share, part, whole) at nodes and cluster
_SHARES = (
    ("cpu/node_reservation", "cpu/request", "cpu/node_allocatable"),
    ("cpu/node_utilization", "cpu/usage_rate", "cpu/node_allocatable"),
    ("memory/node_reservation", "memory/request", "memory/node_allocatable"),
    ("memory/node_utilization", "memory/working_set", "memory/node_allocatable"),
)
_RANK = {name: {source: rank for rank, source in enumerate(row.sources)} for name, row in TABLE.items()}
_LAST = 99  # the rank of a source that the table does not name for a metric
_BY_CONTAINER = frozenset(name for name, row in TABLE.items() if CONTAINER in row.levels)
_ADDS_UP = {
    level: frozenset(name for name, row in TABLE.items() if level in row.levels and row.adds_up)
    for level in (POD, NAMESPACE, NODE, "cluster")
}
_LARGEST = frozenset(name for name, row in TABLE.items() if POD in row.levels and not row.adds_up)
Place = Tuple[str, str]  # container, resource_id: a part of a pod
Values = Dict[str, float]


class PodView(NamedTuple):
    """One pod as far as it is known."""

    pod: Pod
    used: Mapping[str, float]  # of the pod as a whole
    held: Mapping[str, float]  # requests and limits
    best: Mapping[Tuple[Place, str], str]  # (part, metric) -> the source that counts
    measured: Optional[bool]  # all its running containers are; None = none runs


class NodeView(NamedTuple):
    """One node as far as it is known, or the cluster."""

    measured: Tuple[Measured, ...]
    used: Mapping[str, float]
    held: Mapping[str, float]
    known: bool


def pod_view(facts: PodFacts, said: Iterable[Sample], held: Iterable[Sample]) -> PodView:
    """`said`: of the pod by all sources; `held`: its requests and limits."""
    samples = [one for one in said if not (one.subject.uid and facts.uid and one.subject.uid != facts.uid)]
    best = best_sources(samples)
    if facts.host_network:  # kubelets tell of its interfaces, which are its node's: their traffic counts there
        best = {part: source for part, source in best.items() if not part[1].startswith("network/")}
    parts: Dict[str, List[Measured]] = {"": []}
    of_containers: Values = {}
    own: Values = {}
    for sample in [*chosen(samples, best), *held]:
        subject = sample.subject
        parts.setdefault(subject.container, []).append(measured(sample))
        if sample.source == STATE or subject.resource_id:
            continue
        into = of_containers if subject.container else own
        for metric, value in sample.values.items():
            into[metric] = (
                max(into.get(metric, value), value) if metric in _LARGEST else into.get(metric, 0.0) + value
            )
    used = {metric: value for metric, value in own.items() if metric not in of_containers or metric in _LARGEST}
    used.update({metric: value for metric, value in of_containers.items() if metric in _ADDS_UP[POD]})
    used.update({metric: value for metric, value in of_containers.items() if metric in _LARGEST - own.keys()})
    whole = {
        metric: value
        for sample in held
        if not sample.subject.container and not sample.subject.resource_id
        for metric, value in sample.values.items()
    }
    lacks = tuple(name for name in facts.running if not _is_measured(parts.get(name, ())))
    known = None if not facts.running else not lacks
    rows = tuple(parts.pop(""))
    pod = Pod(facts.name, facts.uid, facts.node, rows, {name: tuple(each) for name, each in parts.items()}, lacks)
    return PodView(pod, used, whole, best, known)


def best_sources(samples: Iterable[Sample]) -> Dict[Tuple[Place, str], str]:
    """(part of the subject, metric) -> the source that the metric table prefers."""
    best: Dict[Tuple[Place, str], str] = {}
    for sample in samples:
        source = sample.source
        for metric in sample.values:
            key = _part(sample, metric)
            other = best.get(key)
            if other is None or (other != source and _rank(metric, source) < _rank(metric, other)):
                best[key] = source
    return best


def _part(sample: Sample, metric: str) -> Tuple[Place, str]:
    """Sources call one filesystem by names of their own: of all of a subject's, one source tells."""
    resource_id = "" if metric.startswith("filesystem/") else sample.subject.resource_id
    return (sample.subject.container, resource_id), metric


def chosen(samples: Iterable[Sample], best: Mapping[Tuple[Place, str], str]) -> List[Sample]:
    """The samples with what counts of them."""
    found = []
    for sample in samples:
        source = sample.source
        values = {
            metric: value for metric, value in sample.values.items() if best.get(_part(sample, metric)) == source
        }
        if values:
            found.append(sample if len(values) == len(sample.values) else sample._replace(values=values))
    return found


def namespace_sums(views: Iterable[PodView], extra: Sequence[Sample], at: float) -> Tuple[Measured, ...]:
    """What the pods of one namespace use and hold; `extra`: what is told of the namespace itself."""
    views = list(views)
    used = _added([view.used for view in views], _ADDS_UP[NAMESPACE])
    held = _added([view.held for view in views], _ADDS_UP[NAMESPACE])
    return (*_sums(used, held, pods_covered(views), at), *map(measured, extra))


def pods_covered(views: Iterable[PodView]) -> Covers:
    """How many of the pods that run are measured in whole."""
    runs = [view.measured for view in views if view.measured is not None]
    return Covers(sum(runs), len(runs), "pods")


def node_view(said: Iterable[Sample], held: Sequence[Sample], pods: Iterable[PodView], at: float) -> NodeView:
    """`said`: of the node itself; `held`: its capacity and allocatable; `pods`: those that run on it."""
    samples = list(said)
    samples = chosen(samples, best_sources(samples))
    used: Values = {}
    for sample in samples:
        if not sample.subject.resource_id:
            used.update(sample.values)
    pods = list(pods)
    own = {metric: value for one in held if not one.subject.resource_id for metric, value in one.values.items()}
    own.update(_added([view.held for view in pods], _ADDS_UP[NODE]))
    for metric, value in _added([view.used for view in pods], _ADDS_UP[NODE]).items():
        if metric not in _USED:  # what no source tells of nodes: GPUs, swap of pods
            used.setdefault(metric, value)
    shares = _shares(used, own)
    rows = [measured(one) for one in [*samples, *(one for one in held if one.subject.resource_id)]]
    rows.append(Measured(SUM, at, 0.0, {**own, **shares}))
    return NodeView(tuple(rows), used, own, _is_measured(rows))


def cluster_sums(nodes: Sequence[NodeView], extra: Sequence[Sample], at: float) -> Tuple[Measured, ...]:
    """What all nodes use and hold together: usage of those that are measured alone."""
    used = _added([node.used for node in nodes if node.known], _ADDS_UP["cluster"])
    held = _added([node.held for node in nodes], _ADDS_UP["cluster"])
    covers = Covers(sum(node.known for node in nodes), len(nodes), "nodes")
    # A share of what is not measured would look like room that is free.
    known = _added([node.held for node in nodes if node.known], _ADDS_UP["cluster"])
    shares = {
        **{name: value for name, value in _shares(used, known).items() if name.endswith("utilization")},
        **{name: value for name, value in _shares({}, held).items() if name.endswith("reservation")},
    }
    return (*_sums({**used, **shares}, held, covers, at), *map(measured, extra))


def measured(sample: Sample) -> Measured:
    """A sample as readers get it."""
    return Measured(
        sample.source, sample.at, sample.window, sample.values, sample.covers, sample.subject.resource_id
    )


def _sums(used: Values, held: Values, covers: Covers, at: float) -> Tuple[Measured, ...]:
    rows = []
    if used:
        rows.append(Measured(SUM, at, 0.0, used, covers))
    if held:
        rows.append(Measured(STATE, at, 0.0, held))
    return tuple(rows)


def _added(each: Iterable[Mapping[str, float]], metrics: frozenset[str]) -> Values:
    total: Values = {}
    for values in each:
        for metric, value in values.items():
            if metric in metrics:
                total[metric] = total.get(metric, 0.0) + value
    return total


def _shares(used: Mapping[str, float], held: Mapping[str, float]) -> Values:
    found: Values = {}
    for share, part, whole in _SHARES:
        value = used.get(part, held.get(part))
        if value is not None and held.get(whole):
            found[share] = value / held[whole]
    return found


def _is_measured(rows: Sequence[Measured]) -> bool:
    told: Set[str] = set()
    for row in rows:
        told.update(row.values)
    return all(metric in told for metric in _USED)


def _rank(metric: str, source: str) -> int:
    return _RANK.get(metric, {}).get(source, _LAST)
