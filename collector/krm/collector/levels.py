"""From what sources say to what each level uses: containers to pods, namespaces, nodes, the cluster. Pure.

Of each metric the best source that speaks of a subject counts, in the order of the metric table, and none
else: nothing is counted twice. A pod uses what its containers use together, where a metric is told of
containers (so does `kubectl top`), else what is told of the pod itself. A sum leaves out what is not known
and says how much it covers.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import chain
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.collector.facts import PodFacts
from krm.model.measures import CONTAINER, NAMESPACE, NODE, POD, Covers, Sample, Subject
from krm.model.metrics import TABLE
from krm.store.latest import Measured, Pod

STATE, SUM = "state", "sum"
# What tells that a container, pod or node is measured at all.
_USED = ("cpu/usage_rate", "memory/working_set")
# Seconds for which some source shows the last numbers of a container that is gone. Those that are older than that
# before its start are of a node whose clock was put back.
FORMER = 180.0
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
    choice: Choice
    measured: Optional[bool]  # all its running containers are; None = none runs


class NodeView(NamedTuple):
    """One node as far as it is known, or the cluster."""

    measured: Tuple[Measured, ...]
    used: Mapping[str, float]
    held: Mapping[str, float]
    known: bool
    choice: Choice


class Held(NamedTuple):
    """Requests and limits of one pod, as its object says: they stand until that changes."""

    parts: Mapping[str, Tuple[Measured, ...]]  # container, '' = the pod
    whole: Mapping[str, float]


NOTHING_HELD = Held({}, {})


def held_of(samples: Iterable[Sample]) -> Held:
    """Of what the pod's object tells."""
    parts: Dict[str, Tuple[Measured, ...]] = {}
    whole: Values = {}
    for sample in samples:
        container = sample.subject.container
        parts[container] = (*parts.get(container, ()), measured(sample))
        if not container and not sample.subject.resource_id:
            whole.update(sample.values)
    return Held(parts, whole)


def pod_view(facts: PodFacts, said: Iterable[Sample], held: Held = NOTHING_HELD) -> PodView:
    """`said`: of the pod by all sources."""
    # What was read before a container began is of the one before it: both times are its node's clock's.
    begun = {one.name: one.started for one in facts.containers if one.started is not None}
    # A page that names others, ever new ones, would fill the history: a pod has those that its object names.
    names = {"", *held.parts, *(one.name for one in facts.containers)}
    samples = [
        one
        for one in said
        if one.subject.container in names
        and speaks_of(one.subject, facts.uid, facts.node)
        and not 0.0 < begun.get(one.subject.container, 0.0) - one.at < FORMER
    ]
    choice = choice_of(shape_of(samples), facts.host_network)
    parts: Dict[str, List[Measured]] = {"": []}
    of_containers: Values = {}
    own: Values = {}
    for sample in chosen(samples, choice):
        container = sample.subject.container
        parts.setdefault(container, []).append(measured(sample))
        if not sample.subject.resource_id:
            _into(of_containers if container else own, sample.values)
    used = {metric: value for metric, value in own.items() if metric not in of_containers or metric in _LARGEST}
    for metric, value in of_containers.items():
        if metric in _ADDS_UP[POD] or (metric in _LARGEST and metric not in own):
            used[metric] = value
    running = facts.running
    lacks = tuple([name for name in running if not _is_measured(parts.get(name, ()))])
    known = None if not running else not lacks
    for name, rows in held.parts.items():
        parts.setdefault(name, []).extend(rows)
    own_rows = tuple(parts.pop(""))
    each = {name: tuple(rows) for name, rows in parts.items()}
    pod = Pod(facts.name, facts.uid, facts.node, own_rows, each, lacks)
    return PodView(pod, used, held.whole, choice, known)


def speaks_of(subject: Subject, uid: str, node: str) -> bool:
    """Whether that is this pod. Pages name few uids: on another node it was there before, or that is a lie."""
    return not ((subject.uid and uid and subject.uid != uid) or (subject.node and node and subject.node != node))


def _into(total: Values, values: Mapping[str, float]) -> None:
    for metric, value in values.items():
        former = total.get(metric)
        if former is None:
            total[metric] = value
        else:
            total[metric] = max(former, value) if metric in _LARGEST else former + value


# Of each sample: its source, its part of the subject, the names of its metrics. The same turn after turn, and of
# all pods of a kind: what is chosen is worked out once for each.
Shape = Tuple[Tuple[str, Place, Tuple[str, ...]], ...]


class Choice(NamedTuple):
    """Which source counts."""

    best: Mapping[Tuple[Place, str], str]  # (part, metric) -> source
    kept: Tuple[Optional[Tuple[str, ...]], ...]  # of each sample the metrics that count, None = all
    whole: FrozenSet[Tuple[str, Place]]  # (source, part) of which everything counts


def shape_of(samples: Iterable[Sample]) -> Shape:
    """What decides about the choice."""
    return tuple(
        [(one.source, (one.subject.container, one.subject.resource_id), tuple(one.values)) for one in samples]
    )


@lru_cache(maxsize=8192)  # pods of a cluster have some dozens of shapes
def choice_of(shape: Shape, host_network: bool = False) -> Choice:
    """The source that the metric table prefers, of each part and metric."""
    best: Dict[Tuple[Place, str], str] = {}
    for source, place, metrics in shape:
        for metric in metrics:
            # Kubelets tell such a pod of its node's interfaces: their traffic counts there.
            if host_network and metric.startswith("network/"):
                continue
            other = best.get(_part(place, metric))
            if other is None or (other != source and _rank(metric, source) < _rank(metric, other)):
                best[_part(place, metric)] = source
    kept: List[Optional[Tuple[str, ...]]] = []
    for source, place, metrics in shape:
        counts = tuple(metric for metric in metrics if best.get(_part(place, metric)) == source)
        kept.append(None if len(counts) == len(metrics) else counts)
    partly = {(source, place) for (source, place, _), counts in zip(shape, kept) if counts is not None}
    return Choice(best, tuple(kept), frozenset((source, place) for source, place, _ in shape) - partly)


def _part(place: Place, metric: str) -> Tuple[Place, str]:
    """Sources call one filesystem by names of their own: of all of a subject's, one source tells."""
    return (place[0], "") if metric.startswith("filesystem/") else place, metric


def chosen(samples: Sequence[Sample], choice: Choice) -> List[Sample]:
    """The samples with what counts of them."""
    found = []
    for sample, metrics in zip(samples, choice.kept):
        if metrics is None:
            found.append(sample)
        elif metrics:
            values = sample.values
            found.append(sample._replace(values={metric: values[metric] for metric in metrics}))
    return found


def counting(sample: Sample, choice: Choice) -> Mapping[str, float]:
    """What counts of one sample, by the choice that holds for its subject."""
    place, source = (sample.subject.container, sample.subject.resource_id), sample.source
    if (source, place) in choice.whole:
        return sample.values
    best = choice.best
    return {metric: value for metric, value in sample.values.items() if best.get(_part(place, metric)) == source}


def namespace_sums(views: Iterable[PodView], extra: Sequence[Sample], at: float) -> Tuple[Measured, ...]:
    """What the pods of one namespace use and hold; `extra`: what is told of the namespace itself."""
    views = list(views)
    used = _added([view.used for view in views], _ADDS_UP[NAMESPACE])
    held = _added([view.held for view in views], _ADDS_UP[NAMESPACE])
    tellers = Counter(chain.from_iterable([view.used for view in views if view.measured is not None]))
    return (*_sums(used, held, pods_covered(views), tellers, at), *map(measured, extra))


def pods_covered(views: Iterable[PodView]) -> Covers:
    """How many of the pods that run are measured in whole."""
    runs = [view.measured for view in views if view.measured is not None]
    return Covers(sum(runs), len(runs), "pods")


def node_view(said: Iterable[Sample], held: Sequence[Sample], pods: Iterable[PodView], at: float) -> NodeView:
    """`said`: of the node itself; `held`: its capacity and allocatable; `pods`: those that run on it."""
    samples = list(said)
    choice = choice_of(shape_of(samples))
    samples = chosen(samples, choice)
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
    return NodeView(tuple(rows), used, own, _is_measured(rows), choice)


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
    tellers = Counter(chain.from_iterable([node.used for node in nodes if node.known]))
    return (*_sums({**used, **shares}, held, covers, tellers, at), *map(measured, extra))


def measured(sample: Sample) -> Measured:
    """A sample as readers get it."""
    return Measured(
        sample.source, sample.at, sample.window, sample.values, sample.covers, sample.subject.resource_id
    )


def _sums(
    used: Values, held: Values, covers: Covers, tellers: Mapping[str, int], at: float
) -> Tuple[Measured, ...]:
    """`tellers`: of how many parts each metric is told. One that fewer tell, as when one node's cadvisor is silent,
    stands in a row of its own, behind the one of most."""
    rows: Dict[int, Values] = {}
    for metric, value in used.items():
        known = min(tellers.get(metric, covers.known), covers.known)
        rows.setdefault(known, {})[metric] = value
    found = [
        Measured(SUM, at, 0.0, rows[known], covers._replace(known=known)) for known in sorted(rows, reverse=True)
    ]
    if held:
        found.append(Measured(STATE, at, 0.0, held))
    return tuple(found)


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
    return all(any(metric in row.values for row in rows) for metric in _USED)


def _rank(metric: str, source: str) -> int:
    return _RANK.get(metric, {}).get(source, _LAST)
