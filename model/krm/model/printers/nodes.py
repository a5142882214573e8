"""The columns of nodes, and of node.k8s.io."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from krm.model.cells import NONE, UNKNOWN, Cell, Object, Printer, age, condition, layout, name_of, parts
from krm.model.reading import mapping, rows, text

_ROLE_PREFIX, _ROLE = "node-role.kubernetes.io/", "kubernetes.io/role"


def _node(obj: Object, now: float) -> List[Cell]:
    facts = _typed_node(obj)
    kernel = facts["kernel"] or UNKNOWN
    return [
        name_of(obj),
        facts["status"],
        ",".join(facts["roles"]) or NONE,
        age(obj, now),
        facts["version"],
        facts["internal_ip"] or NONE,
        facts["external_ip"] or NONE,
        facts["os_image"] or UNKNOWN,
        "%s (%s)" % (kernel, facts["architecture"]) if facts["architecture"] else kernel,
        facts["runtime"] or UNKNOWN,
    ]


def _typed_node(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    info = mapping(status.get("nodeInfo"))
    ready = condition(status, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready else "NotReady"]
    if spec.get("unschedulable") is True:
        words.append("SchedulingDisabled")
    return {
        "status": ",".join(words),
        "ready": ready,
        "unschedulable": spec.get("unschedulable") is True,
        "roles": _roles(mapping(mapping(obj.get("metadata")).get("labels"))),
        "version": text(info.get("kubeletVersion")),
        "internal_ip": _address(status, "InternalIP"),
        "external_ip": _address(status, "ExternalIP"),
        "os_image": text(info.get("osImage")),
        "kernel": text(info.get("kernelVersion")),
        "architecture": text(info.get("architecture")),
        "runtime": text(info.get("containerRuntimeVersion")),
    }


def _roles(labels: Mapping[str, Any]) -> List[str]:
    found = {key[len(_ROLE_PREFIX) :] for key in labels if key.startswith(_ROLE_PREFIX)}
    found.add(text(labels.get(_ROLE)))
    return sorted(found - {""})


def _address(status: Object, type_: str) -> Optional[str]:
    for address in rows(status.get("addresses")):
        if address.get("type") == type_:
            return text(address.get("address"))
    return None


def _runtime_class(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), text(obj.get("handler")), age(obj, now)]


PRINTERS: Dict[str, Printer] = {
    "nodes": Printer(
        layout(
            "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime"
        ),
        _node,
        _typed_node,
    ),
    "runtimeclasses.node.k8s.io": Printer(layout("Name|Handler|Age"), _runtime_class),
}
