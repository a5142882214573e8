"""Requests, limits, capacity, allocatable, quotas and counts from the snapshots: samples of source `state`. Pure.

What a pod holds depends on the pod alone (`pod_state`): a caller that keeps it by uid and resourceVersion
works out only what has changed, and stamps it with `Found.samples(now)`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from krm.collector.sources.devices import claims_held, slices_offered
from krm.collector.sources.podstate import Found, pod_state, pod_subject
from krm.model.amounts import CPU, MEMORY, MILLI, NANO, STORAGE, Troubles, read, read_one
from krm.model.measures import Sample, Subject
from krm.model.podresources import has_ended
from krm.model.reading import mapping, text

_PODS = "pods"
_CORES = frozenset({CPU, "requests.cpu", "limits.cpu"})  # of a quota: told in millicores
Objects = Iterable[Dict[str, Any]]


def state_samples(
    pods: Objects, nodes: Objects, quotas: Objects, claims: Objects, slices: Objects, now: float
) -> List[Sample]:
    """Everything at once, of decoded objects. `now`: Unix seconds. What is malformed is left out."""
    pods, nodes = [pod for pod in pods if not has_ended(pod)], list(nodes)
    subjects = [pod_subject(pod) for pod in pods]
    found = [pod_state(pod) for pod in pods]
    found += [node_state(node) for node in nodes]
    found += [quota_state(quota) for quota in quotas]
    found += [claims_held(claims, {subject.uid: subject for subject in subjects}), slices_offered(slices)]
    found.append(counts(subjects, [_name(node) for node in nodes]))
    return [sample for one in found for sample in one.samples(now)]


def node_state(node: Dict[str, Any]) -> Found:
    """Capacity and allocatable of one node."""
    subject = Subject(node=_name(node))
    troubles = Troubles(f"node {subject.node}")
    status = mapping(node.get("status"))
    values: Dict[Subject, Dict[str, float]] = {subject: {}}
    for field, wanted in (("capacity", (CPU, MEMORY)), ("allocatable", (CPU, MEMORY, STORAGE))):
        amounts = read(status.get(field), troubles, field)
        for name, amount in amounts.items():
            if amount is None:
                continue
            if name in wanted:
                metric = f"{name.replace('-', '_')}/node_{field}"
                values[subject][metric] = amount / (MILLI if name == CPU else NANO)
            elif "/" in name:
                values.setdefault(subject._replace(resource_id=name), {})[f"extended/node_{field}"] = amount / NANO
    for name in ("cpu", "memory"):
        capacity, left = (values[subject].get(f"{name}/node_{field}") for field in ("capacity", "allocatable"))
        if capacity is not None and left is not None:
            values[subject][f"{name}/node_reserved"] = capacity - left
    allocatable = mapping(status.get("allocatable"))
    pods = read_one(allocatable[_PODS], troubles, "allocatable", _PODS) if _PODS in allocatable else None
    if pods is not None:
        values[subject]["pods/node_allocatable"] = pods / NANO
    return Found(tuple(values.items()), tuple(troubles.told))


def _name(found: Mapping[str, Any]) -> str:
    return text(mapping(found.get("metadata")).get("name"))


def quota_state(quota: Dict[str, Any]) -> Found:
    """Used and hard of one ResourceQuota, as its controller has counted them: before that they are not known."""
    name, status = _name(quota), mapping(quota.get("status"))
    namespace = text(mapping(quota.get("metadata")).get("namespace"))
    troubles = Troubles(f"resourcequota {namespace}/{name}")
    values: Dict[str, Dict[str, float]] = {}
    for field in ("used", "hard"):
        resources = mapping(status.get(field))
        for resource, quantity in resources.items():
            amount = read_one(quantity, troubles, field, resource)
            if amount is not None:
                values.setdefault(resource, {})[f"quota/{field}"] = amount / (MILLI if resource in _CORES else NANO)
    return Found(
        tuple((Subject(namespace, resource_id=f"{name}/{resource}"), some) for resource, some in values.items()),
        tuple(troubles.told),
    )


def claim_state(claim: Dict[str, Any]) -> Found:
    """What a PersistentVolumeClaim holds, once it is bound."""
    spec, status = mapping(claim.get("spec")), mapping(claim.get("status"))
    namespace = text(mapping(claim.get("metadata")).get("namespace"))
    troubles = Troubles(f"persistentvolumeclaim {namespace}/{_name(claim)}")
    capacity = mapping(status.get("capacity"))
    if text(status.get("phase")) != "Bound" or "storage" not in capacity:
        return Found(())
    amount = read_one(capacity["storage"], troubles, "status.capacity", "storage")
    subject = Subject(namespace, resource_id=f"{text(spec.get('storageClassName'))}/{_name(claim)}")
    held = () if amount is None else ((subject, {"storage/claimed": amount / NANO}),)
    return Found(held, tuple(troubles.told))


def counts(pods: Iterable[Subject], nodes: Iterable[str]) -> Found:
    """How many pods have not ended. `pods`: their subjects. `nodes`: names of all, so that an empty one has 0."""
    by_node: Counter = Counter(dict.fromkeys(nodes, 0))  # type: ignore[type-arg]
    by_namespace: Counter = Counter()  # type: ignore[type-arg]
    total = 0
    for pod in pods:
        total += 1
        by_namespace[pod.namespace] += 1
        if pod.node:
            by_node[pod.node] += 1
    rows: List[Tuple[Subject, int]] = [(Subject(), total)]
    rows += [(Subject(node=name), count) for name, count in by_node.items()]
    rows += [(Subject(name), count) for name, count in by_namespace.items()]
    return Found(tuple((subject, {"pods/count": float(count)}) for subject, count in rows))
