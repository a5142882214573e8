"""What one pod asks for and holds: requests and limits in force, of its containers and of itself. Pure.

A container's are those that the kubelet has applied: status.containerStatuses[].resources, before 1.33
allocatedResources, else the spec. The pod's are those that the scheduler reserves and `kubectl describe node`
prints: the larger of (containers and sidecars together) and (each init container beside the sidecars before
it), where a resize that is in progress counts with the larger of old and new; what spec.resources asks for the
pod as a whole instead of that; and the overhead of its runtime class.

A container without a request asks for 0; one without a limit has no limit, which is no number. The limit of a
pod is the sum of those that there are, as Kubernetes has it.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from krm.model.amounts import RESIZABLE, Amounts, Troubles, add, largest, read
from krm.model.reading import mapping, rows, text

REQUESTS, LIMITS = FIELDS = ("requests", "limits")
_ENDED = frozenset({"Succeeded", "Failed"})
Held = Dict[str, Amounts]  # by field
_NOTHING: Dict[str, Any] = {}


class Container(NamedTuple):
    """One container, sidecar or init container."""

    name: str
    is_init: bool  # sidecars too
    restartable: bool  # a sidecar; of an init container
    runs: bool
    asked: Held  # what the spec says
    reserved: Held  # what the scheduler counts
    in_force: Held  # what the kubelet has applied


class PodResources(NamedTuple):
    """Of a pod that has not ended."""

    containers: Tuple[Container, ...]  # and the init containers after them
    totals: Held  # of the pod: what the scheduler reserves, and the sum of the limits
    overhead: Amounts  # of its runtime class; in `totals` too
    infeasible: bool  # a resize was asked for that the node cannot give
    troubles: Tuple[str, ...]  # sentences: what could not be read, and is therefore not known


def has_ended(pod: Dict[str, Any]) -> bool:
    """It holds nothing any more."""
    return text(mapping(pod.get("status")).get("phase")) in _ENDED


def pod_resources(pod: Dict[str, Any]) -> PodResources:
    """`pod`: the decoded object. It depends on nothing else: keep it as long as uid and resourceVersion stand."""
    metadata, spec, status = (mapping(pod.get(name)) for name in ("metadata", "spec", "status"))
    troubles = Troubles(f"pod {text(metadata.get('namespace'))}/{text(metadata.get('name'))}")
    infeasible = _is_infeasible(status)
    containers = _containers(spec.get("containers"), status.get("containerStatuses"), infeasible, troubles, False)
    inits = _containers(spec.get("initContainers"), status.get("initContainerStatuses"), infeasible, troubles, True)
    totals: Held = {}
    for field in FIELDS:
        total: Amounts = {}
        for one in containers:
            add(total, one.reserved[field])
        totals[field] = _with_inits(total, inits, field) if inits else total
    overhead = read(spec["overhead"], troubles, "spec.overhead") if spec.get("overhead") else {}
    _as_a_whole(totals, spec, overhead, troubles)
    return PodResources(tuple(containers + inits), totals, overhead, infeasible, tuple(troubles.told))


def _containers(specs: Any, statuses: Any, infeasible: bool, troubles: Troubles, is_init: bool) -> List[Container]:
    by_name = {text(one.get("name")): one for one in rows(statuses)}
    found = []
    for one in rows(specs):
        name = text(one.get("name"))
        status, spec = by_name.get(name, _NOTHING), mapping(one.get("resources"))
        where = "container " + name
        requests, limits = (read(spec.get(field), troubles, where, field) for field in FIELDS)
        asked = {REQUESTS: requests, LIMITS: limits}
        reserved, in_force = _resized(asked, spec, status, infeasible, troubles, where)
        runs = "running" in mapping(status.get("state"))
        found.append(
            Container(name, is_init, one.get("restartPolicy") == "Always", runs, asked, reserved, in_force)
        )
    return found


def _resized(
    asked: Held, spec: Dict[str, Any], status: Dict[str, Any], infeasible: bool, troubles: Troubles, where: str
) -> Tuple[Held, Held]:
    """What is reserved and what is in force, where the kubelet tells of something else than the spec."""
    applied, allocated = status.get("resources"), status.get("allocatedResources")
    known = isinstance(applied, dict)
    current = mapping(applied) if known else {**spec, REQUESTS: allocated} if isinstance(allocated, dict) else spec
    if current == spec and allocated in (None, spec.get(REQUESTS)):
        return asked, asked  # nearly always
    reserved, in_force = dict(asked), {}
    for field in FIELDS:
        actual = read(current.get(field), troubles, where, "status", field)
        if known:
            held = read(allocated, troubles, where, "status", field) if field == REQUESTS else {}
            reserved[field] = largest(actual, held, {} if infeasible else asked[field])
        fixed = {name: amount for name, amount in asked[field].items() if name not in RESIZABLE}
        in_force[field] = {**fixed, **actual}
    return reserved, in_force


def _is_infeasible(status: Dict[str, Any]) -> bool:
    """A resize was asked for that the node cannot give: what the spec asks for now is not reserved."""
    pending = (one for one in rows(status.get("conditions")) if one.get("type") == "PodResizePending")
    return next(pending, {}).get("reason") == "Infeasible"


def _with_inits(total: Amounts, inits: List[Container], field: str) -> Amounts:
    """`total` of the containers, with the sidecars, and never less than any moment of the start."""
    sidecars: Amounts = {}
    peaks = []
    for one in inits:
        own = dict(one.reserved[field])
        if one.restartable:
            add(total, own)
            add(sidecars, own)
            peaks.append(dict(sidecars))
        else:
            add(own, sidecars)
            peaks.append(own)
    return largest(total, *peaks)


def _as_a_whole(totals: Held, spec: Dict[str, Any], overhead: Amounts, troubles: Troubles) -> None:
    """Pod-level resources stand for their containers' sum; the overhead comes on top."""
    resources = mapping(spec.get("resources"))
    for field, total in totals.items():
        asked = read(resources.get(field), troubles, "spec.resources", field) if resources else {}
        total.update((name, amount) for name, amount in asked.items() if name in RESIZABLE)
    if overhead:
        add(totals[REQUESTS], overhead)
        limits = totals[LIMITS]
        add(limits, {name: amount for name, amount in overhead.items() if limits.get(name)})
