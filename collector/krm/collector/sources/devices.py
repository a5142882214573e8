"""ResourceClaims and ResourceSlices (resource.k8s.io/v1, v1beta2, v1beta1), counted like extended resources. Pure.

A claim counts for the pods that hold it (status.reservedFor) or, before that, for the pod that it was made
for; resource_id is the device class. What several pods hold is split evenly between them, so that each
device is in every sum once. An allocated claim counts the devices it was given; one that waits counts what it
asks for, where that is a number: `All` devices and lists of alternatives are not known before. Access for
administration holds nothing.

A slice counts for its node; resource_id is the driver (slices name no classes; many drivers call their class
as themselves). Devices that no one node has are the cluster's. Each device that is published counts, also
one that is a part of another.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.sources.podstate import EXTENDED_REQUEST, Found
from krm.model.measures import Subject
from krm.model.reading import integer, mapping, rows, text

MOST_DEVICES = 4096  # of one request: the API allows 32 a claim; a number beyond is not counted up
_TAKEN = frozenset({"NoSchedule", "NoExecute"})


class _Pool(NamedTuple):
    generation: int
    devices: Dict[str, List[int]]  # node, '' = the cluster's -> [published, those that may be given away]


def claims_held(claims: Iterable[Dict[str, Any]], pods: Mapping[str, Subject]) -> Found:
    """`pods`: uid -> subject, of the pods that have not ended."""
    held: Dict[Subject, Fraction] = {}
    for claim in claims:
        holders = _holders(claim, pods)
        for name, count in _devices(claim).items():
            for holder in holders:
                key = holder._replace(resource_id=name)
                held[key] = held.get(key, Fraction(0)) + Fraction(count, len(holders))
    return Found(tuple((key, {EXTENDED_REQUEST: float(amount)}) for key, amount in held.items()))


def _holders(claim: Dict[str, Any], pods: Mapping[str, Subject]) -> List[Subject]:
    reserved = rows(mapping(claim.get("status")).get("reservedFor"))
    uids = [text(one.get("uid")) for one in reserved if one.get("resource") == "pods"]
    if not uids:
        owners = rows(mapping(claim.get("metadata")).get("ownerReferences"))
        uids = [text(one.get("uid")) for one in owners if one.get("kind") == "Pod"]
    return [pods[uid] for uid in dict.fromkeys(uids) if uid in pods]


def _devices(claim: Dict[str, Any]) -> Dict[str, int]:
    """Device class -> how many."""
    requests = rows(mapping(mapping(claim.get("spec")).get("devices")).get("requests"))
    allocation = mapping(claim.get("status")).get("allocation")
    counts: Dict[str, int] = {}
    if not isinstance(allocation, dict):
        for request in requests:
            name, count = _asked(_exactly(request))
            if name and count:
                counts[name] = counts.get(name, 0) + count
        return counts
    classes = dict(pair for request in requests for pair in _classes(request))
    for result in rows(mapping(allocation.get("devices")).get("results")):
        name = classes.get(text(result.get("request")), "")
        if name and result.get("adminAccess") is not True:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _exactly(request: Dict[str, Any]) -> Dict[str, Any]:
    """v1 and v1beta2 nest what v1beta1 writes beside the name."""
    exactly = request.get("exactly")
    return exactly if isinstance(exactly, dict) else request


def _asked(exactly: Dict[str, Any]) -> Tuple[str, int]:
    if exactly.get("allocationMode", "ExactCount") != "ExactCount" or exactly.get("adminAccess") is True:
        return "", 0
    count = integer(exactly["count"]) if "count" in exactly else 1
    return text(exactly.get("deviceClassName")), count if 0 < count <= MOST_DEVICES else 0


def _classes(request: Dict[str, Any]) -> Iterable[Tuple[str, str]]:
    """How results name a request, or one of its alternatives -> the class asked for."""
    name = text(request.get("name"))
    yield name, text(_exactly(request).get("deviceClassName"))
    for one in rows(request.get("firstAvailable")):
        yield f"{name}/{text(one.get('name'))}", text(one.get("deviceClassName"))


def slices_offered(slices: Iterable[Dict[str, Any]]) -> Found:
    """What drivers publish: only the newest generation of a pool is in force."""
    pools: Dict[Tuple[str, str], _Pool] = {}
    for one in slices:
        spec = mapping(one.get("spec"))
        pool = mapping(spec.get("pool"))
        key = (text(spec.get("driver")), text(pool.get("name")))
        generation = integer(pool.get("generation"))
        held = pools.get(key)
        if held is None or held.generation < generation:
            held = pools[key] = _Pool(generation, {})
        if key[0] and held.generation == generation:
            _count(spec, held.devices)
    offered: Dict[Tuple[str, str], List[int]] = {}
    for (driver, _), found in pools.items():
        for node, (published, free) in found.devices.items():
            total = offered.setdefault((node, driver), [0, 0])
            total[0] += published
            total[1] += free
    return Found(tuple(
        (
            Subject(node=node, resource_id=driver),
            {"extended/node_capacity": float(published), "extended/node_allocatable": float(free)},
        )
        for (node, driver), (published, free) in offered.items()
    ))  # fmt: skip


def _count(spec: Dict[str, Any], devices: Dict[str, List[int]]) -> None:
    for device in rows(spec.get("devices")):
        basic: Optional[Any] = device.get("basic")  # v1beta1
        fields = basic if isinstance(basic, dict) else device
        node = text(spec.get("nodeName")) or text(fields.get("nodeName"))
        total = devices.setdefault(node, [0, 0])
        total[0] += 1
        total[1] += not any(text(taint.get("effect")) in _TAKEN for taint in rows(fields.get("taints")))
