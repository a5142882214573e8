"""The columns of what a cluster is made of and divided by: nodes, claims, namespaces, quotas, limits, events."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from krm.model import times
from krm.model.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    condition,
    layout,
    name_of,
    parts,
    since,
)
from krm.model.reading import integer, mapping, rows, text, texts

# --- nodes

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


# --- persistentvolumeclaims

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _claim(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    facts = _typed_claim(obj)
    attributes, mode = spec.get("volumeAttributesClassName"), spec.get("volumeMode")
    return [
        name_of(obj),
        facts["status"],
        facts["volume"] or "",
        facts["capacity"] or "",
        ",".join(facts["access_modes"]),
        facts["storage_class"] or "",
        attributes if isinstance(attributes, str) else UNSET,
        age(obj, now),
        mode if isinstance(mode, str) else UNSET,
    ]


def _typed_claim(obj: Object) -> Dict[str, Any]:
    metadata, (spec, status) = mapping(obj.get("metadata")), parts(obj)
    volume = text(spec.get("volumeName"))
    deleted = metadata.get("deletionTimestamp") is not None
    held = set(texts(status.get("accessModes")) if volume else [])
    beta = mapping(metadata.get("annotations")).get(_BETA_CLASS)
    size = mapping(status.get("capacity")).get("storage", "0") if volume else None
    return {
        "status": "Terminating" if deleted else text(status.get("phase")),
        "volume": volume or None,
        "capacity": text(size) or None,  # a quantity: krm.model.quantities.parse gives bytes
        "access_modes": [short for mode, short in _MODES.items() if mode in held],
        "storage_class": (beta if isinstance(beta, str) else text(spec.get("storageClassName"))) or None,
    }


# --- namespaces, resourcequotas, limitranges, priorityclasses


def _namespace(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), text(mapping(obj.get("status")).get("phase")), age(obj, now)]


def _quota(obj: Object, now: float) -> List[Cell]:
    _, status = parts(obj)
    hard, used = mapping(status.get("hard")), mapping(status.get("used"))
    terms: Dict[bool, List[str]] = {False: [], True: []}  # by whether it is a limit
    for name in sorted(hard):
        terms[name.startswith("limits")].append("%s: %s/%s" % (name, used.get(name, "0"), hard[name]))
    return [name_of(obj), ", ".join(terms[False]), ", ".join(terms[True]), age(obj, now)]


def _created_at(obj: Object, _now: float) -> List[Cell]:
    return [name_of(obj), text(mapping(obj.get("metadata")).get("creationTimestamp"))]


def _priority(obj: Object, now: float) -> List[Cell]:
    is_default = obj.get("globalDefault") is True
    return [name_of(obj), integer(obj.get("value")), is_default, age(obj, now), text(obj.get("preemptionPolicy"))]


def _config_map(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), len(mapping(obj.get("data"))) + len(mapping(obj.get("binaryData"))), age(obj, now)]


def _lease(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), text(spec.get("holderIdentity")), age(obj, now)]


# --- events


def _event(obj: Object, now: float) -> List[Cell]:
    first, last, count = _seen(obj)
    about = mapping(obj.get("involvedObject"))
    target = text(about.get("kind")).lower()
    if text(about.get("name")):
        target += "/" + text(about.get("name"))
    return [
        since(last, now),
        text(obj.get("type")),
        text(obj.get("reason")),
        target,
        text(about.get("fieldPath")),
        _source(obj),
        text(obj.get("message")).strip(),
        since(first, now),
        count,
        name_of(obj),
    ]


def _seen(obj: Object) -> Tuple[Optional[float], Optional[float], int]:
    """First and last, and how often; of events in both of Kubernetes' forms."""
    first, last = times.known(obj.get("firstTimestamp")), times.known(obj.get("lastTimestamp"))
    first = times.known(obj.get("eventTime")) if first is None else first
    series = mapping(obj.get("series"))
    if series:
        return first, times.known(series.get("lastObservedTime")), integer(series.get("count"))
    return first, first if last is None else last, integer(obj.get("count")) or 1


def _source(obj: Object) -> str:
    source = mapping(obj.get("source"))
    component = text(source.get("component")) or text(obj.get("reportingComponent"))
    instance = text(source.get("host")) or text(obj.get("reportingInstance"))
    return "%s, %s" % (component, instance) if instance else component


PRINTERS: Dict[str, Printer] = {
    "nodes": Printer(
        layout(
            "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime"
        ),
        _node,
        _typed_node,
    ),
    "persistentvolumeclaims": Printer(
        layout("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode"),
        _claim,
        _typed_claim,
    ),
    "namespaces": Printer(layout("Name|Status|Age"), _namespace),
    "configmaps": Printer(layout("Name|Data|Age"), _config_map),
    "leases.coordination.k8s.io": Printer(layout("Name|Holder|Age"), _lease),
    "roles.rbac.authorization.k8s.io": Printer(layout("Name|Created At:date"), _created_at),
    "clusterroles.rbac.authorization.k8s.io": Printer(layout("Name|Created At:date"), _created_at),
    "resourcequotas": Printer(layout("Name|Request|Limit|Age"), _quota),
    "limitranges": Printer(layout("Name|Created At:date"), _created_at),
    "customresourcedefinitions.apiextensions.k8s.io": Printer(layout("Name|Created At:date"), _created_at),
    "priorityclasses.scheduling.k8s.io": Printer(
        layout("Name|Value:integer|Global-Default:boolean|Age|PreemptionPolicy"), _priority
    ),
    "events": Printer(
        layout("Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count|*Name"), _event
    ),
}
