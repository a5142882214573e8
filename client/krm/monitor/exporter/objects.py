"""Objects as kube-state-metrics tells of them: its names and its labels, where the meaning is the same. Pure.

What an object does not say is not told: no sample, never 0, but for counts that Kubernetes leaves out where they
are 0.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from krm.model.amounts import CPU, NANO, Troubles, read
from krm.model.reading import integer, mapping, rows, text
from krm.monitor.exporter import workloads
from krm.monitor.exporter.families import COUNTER, GAUGE, Row, Samples

_POD = ("namespace", "pod", "uid")
_CONTAINER = (*_POD, "container")
_A_POD, _A_CONTAINER = "one a pod", "one a container"
PHASES = ("Pending", "Succeeded", "Failed", "Unknown", "Running")
_TRUTHS = ("true", "false", "unknown")
# Resource -> as kube-state-metrics calls its unit; any other is a count.
_UNITS = {"cpu": "core", "memory": "byte", "ephemeral-storage": "byte", "storage": "byte"}
_BYTES = ("hugepages-", "attachable-volumes-")

ROWS: Tuple[Row, ...] = (
    Row("kube_pod_info", GAUGE, "Information about pod.",
        (*_POD, "host_ip", "pod_ip", "node", "created_by_kind", "created_by_name", "priority_class",
         "host_network"), _A_POD),
    Row("kube_pod_status_phase", GAUGE, "The pods current phase.", (*_POD, "phase"), "five a pod"),
    Row("kube_pod_status_ready", GAUGE, "Whether the pod is ready to serve requests.", (*_POD, "condition"),
        "three a pod"),
    Row("kube_pod_container_resource_requests", GAUGE, "What a container requests, by its spec.",
        (*_CONTAINER, "node", "resource", "unit"), "one a container and resource"),
    Row("kube_pod_container_resource_limits", GAUGE, "What a container is limited to, by its spec.",
        (*_CONTAINER, "node", "resource", "unit"), "one a container and resource"),
    Row("kube_pod_container_status_restarts_total", COUNTER, "Restarts of a container.", _CONTAINER, _A_CONTAINER),
    Row("kube_pod_container_status_ready", GAUGE, "Whether the readiness check of a container succeeded.",
        _CONTAINER, _A_CONTAINER),
    Row("kube_pod_container_status_running", GAUGE, "Whether a container runs.", _CONTAINER, _A_CONTAINER),
    Row("kube_pod_container_status_waiting_reason", GAUGE, "Why a container waits.", (*_CONTAINER, "reason"),
        _A_CONTAINER),
    Row("kube_pod_container_status_last_terminated_reason", GAUGE, "Why a container ended last.",
        (*_CONTAINER, "reason"), _A_CONTAINER),
    Row("kube_node_info", GAUGE, "Information about a node.",
        ("node", "kernel_version", "os_image", "container_runtime_version", "kubelet_version", "kubeproxy_version",
         "provider_id", "pod_cidr", "system_uuid", "internal_ip"), "one a node"),
    Row("kube_node_spec_unschedulable", GAUGE, "Whether a node takes no new pods.", ("node",), "one a node"),
    Row("kube_node_status_capacity", GAUGE, "Resources of a node.", ("node", "resource", "unit"),
        "one a node and resource"),
    Row("kube_node_status_allocatable", GAUGE, "Resources of a node that pods may request.",
        ("node", "resource", "unit"), "one a node and resource"),
    Row("kube_node_status_condition", GAUGE, "Conditions of a node.", ("node", "condition", "status"),
        "three a node and condition"),
    Row("kube_namespace_status_phase", GAUGE, "Phase of a namespace.", ("namespace", "phase"), "two a namespace"),
    Row("kube_resourcequota", GAUGE, "A ResourceQuota.", ("namespace", "resourcequota", "resource", "type"),
        "two a quota and resource"),
    *workloads.ROWS,
)  # fmt: skip


def tell(kind: str, bodies: Sequence[object], samples: Samples) -> None:
    """Of all objects of a kind. One that is malformed stops no other."""
    teller = _TELLERS.get(kind)
    for body in bodies if teller is not None else ():
        name = text(mapping(mapping(body).get("metadata")).get("name"))
        if name and isinstance(body, dict) and teller is not None:
            teller(body, samples)


def unit_of(resource: str) -> str:
    """core, byte or integer."""
    return _UNITS.get(resource) or ("byte" if resource.startswith(_BYTES) else "integer")


def resource_label(resource: str) -> str:
    """`nvidia.com/gpu` -> nvidia_com_gpu."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in resource)


def _pod(body: Mapping[str, Any], samples: Samples) -> None:
    metadata, spec, status = (mapping(body.get(part)) for part in ("metadata", "spec", "status"))
    pod = (text(metadata.get("namespace")), text(metadata.get("name")), text(metadata.get("uid")))
    node = text(spec.get("nodeName"))
    made_by = next((one for one in rows(metadata.get("ownerReferences")) if one.get("controller") is True), {})
    samples.add(
        "kube_pod_info", 1, *pod, text(status.get("hostIP")), text(status.get("podIP")), node,
        text(made_by.get("kind")), text(made_by.get("name")), text(spec.get("priorityClassName")),
        str(spec.get("hostNetwork") is True).lower(),
    )  # fmt: skip
    phase = text(status.get("phase"))
    for one in PHASES if phase in PHASES else ():
        samples.add("kube_pod_status_phase", phase == one, *pod, one)
    _truths("kube_pod_status_ready", status, "Ready", samples, pod)
    for container in rows(spec.get("containers")):
        place = (*pod, text(container.get("name")), node)
        resources = mapping(container.get("resources"))
        for field in ("requests", "limits"):
            _resources(f"kube_pod_container_resource_{field}", resources.get(field), samples, place)
    for told in rows(status.get("containerStatuses")):
        _container((*pod, text(told.get("name"))), told, samples)


def _container(place: Tuple[str, ...], status: Mapping[str, Any], samples: Samples) -> None:
    begin = "kube_pod_container_status"
    samples.add(f"{begin}_restarts_total", _count(status.get("restartCount")), *place)
    ready, state = status.get("ready"), mapping(status.get("state"))
    samples.add(f"{begin}_ready", ready if isinstance(ready, bool) else None, *place)
    samples.add(f"{begin}_running", "running" in state, *place)
    waits = text(mapping(state.get("waiting")).get("reason"))
    ended = text(mapping(mapping(status.get("lastState")).get("terminated")).get("reason"))
    samples.add(f"{begin}_waiting_reason", 1 if waits else None, *place, waits)
    samples.add(f"{begin}_last_terminated_reason", 1 if ended else None, *place, ended)


def _node(body: Mapping[str, Any], samples: Samples) -> None:
    spec, status = mapping(body.get("spec")), mapping(body.get("status"))
    node = text(mapping(body.get("metadata")).get("name"))
    info = mapping(status.get("nodeInfo"))
    address = next((text(one.get("address")) for one in rows(status.get("addresses"))
                    if one.get("type") == "InternalIP"), "")  # fmt: skip
    samples.add(
        "kube_node_info", 1, node, *(text(info.get(field)) for field in (
            "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion")),
        text(spec.get("providerID")), text(spec.get("podCIDR")), text(info.get("systemUUID")), address,
    )  # fmt: skip
    samples.add("kube_node_spec_unschedulable", spec.get("unschedulable") is True, node)
    for field in ("capacity", "allocatable"):
        _resources(f"kube_node_status_{field}", status.get(field), samples, (node,))
    for one in rows(status.get("conditions")):
        _truths("kube_node_status_condition", status, text(one.get("type")), samples, (node, text(one.get("type"))))


def _namespace(body: Mapping[str, Any], samples: Samples) -> None:
    name, phase = text(mapping(body.get("metadata")).get("name")), text(mapping(body.get("status")).get("phase"))
    for one in ("Active", "Terminating") if phase else ():
        samples.add("kube_namespace_status_phase", phase == one, name, one)


def _quota(body: Mapping[str, Any], samples: Samples) -> None:
    metadata, status = mapping(body.get("metadata")), mapping(body.get("status"))
    place = (text(metadata.get("namespace")), text(metadata.get("name")))
    for kind in ("hard", "used"):
        listed = mapping(status.get(kind))
        for resource in listed:
            samples.add("kube_resourcequota", _value(listed[resource]), *place, str(resource), kind)


def _truths(name: str, status: Mapping[str, Any], type_: str, samples: Samples, place: Tuple[str, ...]) -> None:
    """Three samples of a condition; none where the object does not have it."""
    found = next((text(one.get("status")).lower() for one in rows(status.get("conditions"))
                  if one.get("type") == type_), "")  # fmt: skip
    for one in _TRUTHS if found in _TRUTHS else ():
        samples.add(name, found == one, *place, one)


def _resources(name: str, listed: object, samples: Samples, place: Tuple[str, ...]) -> None:
    for resource, quantity in mapping(listed).items():
        samples.add(name, _value(quantity), *place, resource_label(str(resource)), unit_of(str(resource)))


def _value(quantity: object) -> Optional[float]:
    """In the resource's own unit: cores, bytes, a count. Of any resource as of cpu: those of nodes and quotas
    (hugepages-2Mi, count/pods) are none of a container's."""
    amount = read({CPU: quantity}, Troubles("")).get(CPU)
    return None if amount is None else amount / NANO


def _count(value: object) -> Optional[int]:
    return integer(value) if isinstance(value, int) else None


_TELLERS: Dict[str, Callable[[Mapping[str, Any], Samples], None]] = {
    "pods": _pod, "nodes": _node, "namespaces": _namespace, "resourcequotas": _quota, **workloads.TELLERS,
}  # fmt: skip
KINDS: Tuple[str, ...] = tuple(_TELLERS)
