"""Pods and nodes as the scheduler sees them: what it counts of each, read once. Pure.

CPU is in millicores and everything else in whole units, rounded up as the scheduler rounds; None is an amount
that could not be read and is therefore not known.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.selecting import NodeWish, label_selector, node_wish
from krm.model.amounts import CPU, MILLI, NANO, Amounts, Troubles, add, largest, read_one
from krm.model.podresources import REQUESTS, pod_resources
from krm.model.reading import integer, mapping, rows, text, texts
from krm.model.selectors import Clause, LabelSelector

Whole = Dict[str, Optional[int]]  # resource -> millicores of cpu, bytes, a count
Port = Tuple[str, str, int]  # address, protocol, number
PODS = "pods"  # the resource that bounds how many pods a node takes
HUGE = "hugepages-"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a host port without an address is taken on all of them


class Near(NamedTuple):
    """A term of required affinity or anti-affinity between pods."""

    key: str  # the label of nodes that says what is near
    namespaces: FrozenSet[str]
    more_namespaces: Optional[LabelSelector]  # those with such labels too
    selector: Optional[LabelSelector]

    def matches(self, pod: Pod, labels: Mapping[str, str]) -> bool:
        """labels: of the pod's namespace."""
        if pod.namespace not in self.namespaces and not (
            self.more_namespaces is not None and self.more_namespaces.matches(labels)
        ):
            return False
        return self.selector is not None and self.selector.matches(pod.labels)


class Spread(NamedTuple):
    """A topology spread constraint that must hold."""

    key: str
    skew: int
    selector: Optional[LabelSelector]
    least_domains: int
    honours_affinity: bool
    honours_taints: bool


class Pod(NamedTuple):
    """One pod."""

    body: Body
    namespace: str
    name: str
    labels: Mapping[str, str]
    node: str  # '' = it has none yet
    nominated: str  # the node that the scheduler keeps free for it; '' = none
    requests: Whole
    priority: int
    may_preempt: bool
    ports: Tuple[Port, ...]
    tolerations: Tuple[Mapping[str, Any], ...]
    wish: NodeWish
    near: Tuple[Near, ...]
    apart: Tuple[Near, ...]
    spread: Tuple[Spread, ...]
    is_deleted: bool  # it ends, and still counts for what it holds
    troubles: Tuple[str, ...]

    @property
    def key(self) -> Tuple[str, str]:
        """Namespace and name."""
        return (self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Node(NamedTuple):
    """One node."""

    body: Body
    name: str
    labels: Mapping[str, str]
    taints: Tuple[Mapping[str, Any], ...]
    is_cordoned: bool
    allocatable: Whole
    troubles: Tuple[str, ...]


def pod_of(body: Body) -> Pod:
    """`body`: as the API server wrote it."""
    metadata, spec = mapping(body.get("metadata")), mapping(body.get("spec"))
    labels, namespace = _labels(metadata), text(metadata.get("namespace"))
    held = pod_resources(dict(body))
    troubles = Troubles(f"pod {namespace}/{text(metadata.get('name'))}")
    requests = {name: _whole(name, amount) for name, amount in held.totals[REQUESTS].items()}
    requests.update(_huge_pages(spec, troubles))
    affinity = mapping(spec.get("affinity"))
    return Pod(
        body=body,
        namespace=namespace,
        name=text(metadata.get("name")),
        labels=labels,
        node=text(spec.get("nodeName")),
        nominated=text(mapping(body.get("status")).get("nominatedNodeName")),
        requests={name: amount for name, amount in requests.items() if amount != 0},
        priority=integer(spec.get("priority")),
        may_preempt=spec.get("preemptionPolicy") != "Never",
        ports=tuple(_ports(spec)),
        tolerations=tuple(rows(spec.get("tolerations"))),
        wish=node_wish(spec),
        near=_terms(affinity.get("podAffinity"), namespace),
        apart=_terms(affinity.get("podAntiAffinity"), namespace),
        spread=tuple(_spread(one, labels) for one in rows(spec.get("topologySpreadConstraints")) if _must(one)),
        is_deleted=bool(metadata.get("deletionTimestamp")),
        troubles=(*held.troubles, *troubles.told),
    )


def node_of(body: Body) -> Node:
    """The same of a node."""
    metadata, spec = mapping(body.get("metadata")), mapping(body.get("spec"))
    name = text(metadata.get("name"))
    troubles = Troubles(f"node {name}")
    allocatable: Whole = {}
    for resource, value in mapping(mapping(body.get("status")).get("allocatable")).items():
        allocatable[resource] = _whole(resource, read_one(value, troubles, "allocatable", resource))
    return Node(
        body,
        name,
        _labels(metadata),
        tuple(rows(spec.get("taints"))),
        spec.get("unschedulable") is True,
        allocatable,
        tuple(troubles.told),
    )


def _labels(metadata: Mapping[str, Any]) -> Dict[str, str]:
    return {key: value for key, value in mapping(metadata.get("labels")).items() if isinstance(value, str)}


def _whole(name: str, amount: Optional[int]) -> Optional[int]:
    return None if amount is None else ceil(amount / (MILLI if name == CPU else NANO))


def _huge_pages(spec: Mapping[str, Any], troubles: Troubles) -> Whole:
    """krm.model.amounts leaves them out, as `kubectl top` does; a node without them holds no such pod."""

    def asked(resources: Any) -> Amounts:
        listed = mapping(mapping(resources).get("requests")) or mapping(mapping(resources).get("limits"))
        return {
            name: read_one(value, troubles, "requests", name)
            for name, value in listed.items()
            if name.startswith(HUGE)
        }

    total: Amounts = {}
    for one in rows(spec.get("containers")):
        add(total, asked(one.get("resources")))
    sidecars: Amounts = {}
    peaks: List[Amounts] = []
    for one in rows(spec.get("initContainers")):
        own = asked(one.get("resources"))
        if one.get("restartPolicy") == "Always":
            add(total, own)
            add(sidecars, own)
        else:
            add(own, sidecars)
            peaks.append(own)
    total = largest(total, *peaks) if peaks else total
    total.update(asked(spec.get("resources")))
    return {name: _whole(name, amount) for name, amount in total.items()}


def _ports(spec: Mapping[str, Any]) -> List[Port]:
    sidecars = [one for one in rows(spec.get("initContainers")) if one.get("restartPolicy") == "Always"]
    found = []
    for container in (*rows(spec.get("containers")), *sidecars):
        for port in rows(container.get("ports")):
            number = integer(port.get("hostPort"))
            if number > 0:
                found.append((text(port.get("hostIP")) or EVERYWHERE, text(port.get("protocol")) or "TCP", number))
    return found


def _terms(value: Any, namespace: str) -> Tuple[Near, ...]:
    found = []
    for one in rows(mapping(value).get("requiredDuringSchedulingIgnoredDuringExecution")):
        names, more = frozenset(texts(one.get("namespaces"))), label_selector(one.get("namespaceSelector"))
        if not names and one.get("namespaceSelector") is None:
            names = frozenset({namespace})
        found.append(Near(text(one.get("topologyKey")), names, more, label_selector(one.get("labelSelector"))))
    return tuple(found)


def _must(constraint: Mapping[str, Any]) -> bool:
    return constraint.get("whenUnsatisfiable") == "DoNotSchedule"


def _spread(one: Mapping[str, Any], labels: Mapping[str, str]) -> Spread:
    selector = label_selector(one.get("labelSelector"))
    if selector is not None:
        own = [
            Clause(key, "in", frozenset({labels[key]})) for key in texts(one.get("matchLabelKeys")) if key in labels
        ]
        selector = LabelSelector((*selector.clauses, *own))
    return Spread(
        text(one.get("topologyKey")),
        integer(one.get("maxSkew")),
        selector,
        integer(one.get("minDomains")) or 1,
        one.get("nodeAffinityPolicy") != "Ignore",
        one.get("nodeTaintsPolicy") == "Honor",
    )
