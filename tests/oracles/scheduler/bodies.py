"""A scenario for a real kube-scheduler: nodes, pods that run, other objects, and one pod that finds no node."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

Body = Dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
HIGH, LOW, NEVER = "krm-high", "krm-low", "krm-never"  # priorities 1000, -10 and 1000 that never preempts
NAMESPACES = {"default": {}, "krm-other": {"team": "b"}, "krm-third": {"team": "c"}}
PRIORITIES = (
    {"metadata": {"name": HIGH}, "value": 1000},
    {"metadata": {"name": LOW}, "value": -10},
    {"metadata": {"name": NEVER}, "value": 1000, "preemptionPolicy": "Never"},
)


class Scenario(NamedTuple):
    """One pod that cannot be placed, and why is the scheduler's to say."""

    name: str
    pod: Body
    nodes: Sequence[Body] = ()
    placed: Sequence[Body] = ()  # with spec.nodeName
    others: Sequence[Body] = ()  # claims, volumes, classes, CSINodes: with kind
    ending: Sequence[str] = ()  # of the placed pods, those that are being deleted: no kubelet lets them go


def node(name: str, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> Body:
    """more: labels, taints, unschedulable, and further allocatable as `extended`."""
    size = {"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "20Gi", **more.get("extended", {})}
    spec = {"taints": more.get("taints", []), "unschedulable": more.get("unschedulable", False)}
    labels = {HOST: name, "kubernetes.io/os": "linux", **more.get("labels", {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": size, "capacity": size},
    }


def pod(name: str = "waits", on: str = "", namespace: str = "default", **more: Any) -> Body:
    """more: requests, labels, priority (a class), init, ports, and any other field of the spec."""
    spec = {
        key: value for key, value in more.items() if key not in ("requests", "labels", "init", "ports", "priority")
    }
    spec["containers"] = [container("app", more.get("requests", {}), more.get("ports", ()))]
    if more.get("init"):
        spec["initContainers"] = more["init"]
    if more.get("priority"):
        spec["priorityClassName"] = more["priority"]
    if on:
        spec["nodeName"] = on
    return {"metadata": {"name": name, "namespace": namespace, "labels": more.get("labels", {})}, "spec": spec}


def container(name: str, requests: Dict[str, str], ports: Sequence[Body] = (), **more: Any) -> Body:
    whole = {key: value for key, value in requests.items() if "/" in key or key.startswith("hugepages-")}
    resources = {"requests": requests, "limits": whole}
    return {"name": name, "image": "app", "resources": resources, "ports": list(ports), **more}


def three(**more: Any) -> List[Body]:
    """Nodes of two zones."""
    return [node(f"n{number}", labels={ZONE: "a" if number < 3 else "b"}, **more) for number in (1, 2, 3)]


def port(number: int, **more: Any) -> Body:
    return {"containerPort": number, "hostPort": number, **more}


def taint(key: str, value: str = "", effect: str = "NoSchedule") -> Body:
    return {"key": key, "value": value, "effect": effect}


def required(*terms: Body) -> Body:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> Body:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def field(operator: str, *values: str) -> Body:
    return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(values)}]}


def near(kind: str, key: str, labels: Dict[str, str], **more: Any) -> Body:
    """kind: podAffinity or podAntiAffinity."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": labels}, **more}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def spread(key: str, labels: Dict[str, str], skew: int = 1, **more: Any) -> Body:
    one = {"topologyKey": key, "labelSelector": {"matchLabels": labels}, "maxSkew": skew}
    return {**one, "whenUnsatisfiable": "DoNotSchedule", **more}


def claim(name: str, class_name: str = "", volume: str = "", **more: Any) -> Body:
    """Bound where a volume is named."""
    spec = {
        "accessModes": more.get("modes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": more.get("size", "1Gi")}},
        "storageClassName": class_name,
    }
    metadata: Body = {"name": name, "namespace": "default"}
    status = {"phase": "Pending"}
    if volume:
        spec["volumeName"] = volume
        metadata["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
        status = {"phase": more.get("phase", "Bound")}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": status}


def volume(
    name: str,
    zone: str = "",
    host: str = "",
    class_name: str = "",
    driver: str = "",
    bound: str = "",
    mode: str = "ReadWriteOnce",
) -> Body:
    """zone: as a label; host: as its node affinity."""
    spec: Body = {"capacity": {"storage": "5Gi"}, "accessModes": [mode]}
    if class_name:
        spec["storageClassName"] = class_name
    if driver:
        spec["csi"] = {"driver": driver, "volumeHandle": name}
    else:
        spec["hostPath"] = {"path": "/data"}
    if host:
        terms = [expression(HOST, "In", host)]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if bound:
        spec["claimRef"] = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": bound}
    labels = {ZONE: zone} if zone else {}
    status = {"phase": "Bound" if bound else "Available"}  # there is no controller to say so
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": status,
    }


def storage_class(name: str, mode: str, provisioner: str = "kubernetes.io/no-provisioner", zone: str = "") -> Body:
    body: Body = {
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
    }
    if zone:
        body["allowedTopologies"] = [{"matchLabelExpressions": [{"key": ZONE, "values": [zone]}]}]
    return body


def csi_node(name: str, driver: str, count: Optional[int]) -> Body:
    entry: Body = {"name": driver, "nodeID": name}
    if count is not None:
        entry["allocatable"] = {"count": count}
    return {"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": [entry]}}


def busy(*nodes: str) -> List[Body]:
    """Each of them has a core left of four."""
    return [pod(f"busy-{name}", name, requests={"cpu": "3"}) for name in nodes]


def hated(labels: Dict[str, str], *nodes: str) -> List[Body]:
    """On each of them a pod that wants such pods apart: the last filter refuses, and those before it show."""
    return [pod(f"hates-{name}", name, affinity=near("podAntiAffinity", HOST, labels)) for name in nodes]


def uses(*claims: str) -> List[Body]:
    return [{"name": f"v-{name}", "persistentVolumeClaim": {"claimName": name}} for name in claims]


WEB, DB = {"app": "web"}, {"app": "db"}
CPU2, CPU8 = {"cpu": "2"}, {"cpu": "8"}
