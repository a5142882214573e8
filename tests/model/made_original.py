"""Objects of the original six kinds, made in a real API server, each in the forms that its cells tell apart."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from controlplane.kubeapi import KubeClient
from model.made import LONG_AGO, NAMESPACE, make, make_more

CONTAINER = {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "hunter2"}]}
BALANCED = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "a-very-long-name.example.com"}]}}


def status(name: str, ready: bool = False, restarts: int = 0, ended: bool = False, **state: Any) -> Dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "startedAt": LONG_AGO, "finishedAt": LONG_AGO}} if ended else {}
    return {
        "name": name, "image": "i:1", "imageID": "", "ready": ready, "restartCount": restarts,
        "state": state, "lastState": last, "started": ready,
    }  # fmt: skip


RUNNING: Dict[str, Any] = {"running": {"startedAt": LONG_AGO}}
READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]
DONE: Dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
SIDECAR = {"name": "i", "image": "i:1", "restartPolicy": "Always"}
PODS: List[Tuple[Dict[str, Any], Dict[str, Any]]] = [
    ({}, {}),
    ({}, {"phase": "Running", "conditions": READY, "podIPs": [{"ip": "10.1.0.7"}], "podIP": "10.1.0.7",
          "containerStatuses": [status("c", True, 3, True, **RUNNING)]}),
    ({}, {"phase": "Running", "containerStatuses": [status("c", waiting={"reason": "CrashLoopBackOff"},
    restarts=9)]}),
    ({}, {"phase": "Running", "containerStatuses": [status("c", **DONE)]}),
    ({}, {"phase": "Failed", "reason": "Evicted"}),
    ({"initContainers": [{"name": "i", "image": "i:1"}]},
     {"phase": "Pending", "initContainerStatuses": [status("i", waiting={"reason": "ErrImagePull"})]}),
    ({"initContainers": [{"name": "i", "image": "i:1"}]},
     {"phase": "Pending", "initContainerStatuses": [status("i", restarts=2, ended=True, **RUNNING)]}),
    ({"initContainers": [{"name": "i", "image": "i:1"}]},
     {"phase": "Pending", "initContainerStatuses": [status("i", terminated={"exitCode": 2, "signal": 9})]}),
    ({"initContainers": [SIDECAR]},
     {"phase": "Running", "conditions": READY, "initContainerStatuses": [status("i", True, 2, True, **RUNNING)],
      "containerStatuses": [status("c", True, 1, **RUNNING)]}),
    ({"initContainers": [SIDECAR]}, {"phase": "Pending", "initContainerStatuses": [status("i", **RUNNING)]}),
    ({"schedulingGates": [{"name": "example.com/a"}]}, {}),
    ({"readinessGates": [{"conditionType": "Ready"}, {"conditionType": "example.com/x"}]}, {"conditions": READY}),
]  # fmt: skip


def make_all(admin: KubeClient) -> None:
    """Those of model.made too; nothing else may stand in NAMESPACE."""
    admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    place = f"namespaces/{NAMESPACE}"
    for number, (spec, state) in enumerate(PODS):
        labels = {"app": "web" if number % 2 else "api", "n": str(number), **({"odd": ""} if number % 2 else {})}
        full = {"containers": [CONTAINER], "automountServiceAccountToken": False, **spec}
        make(admin, f"/api/v1/{place}/pods", f"p-{number}", full, state, "Pod", labels=labels)
    info = dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion", "operatingSystem"), "x")
    info.update(
        kubeletVersion="v1", osImage="Debian", kernelVersion="6", architecture="arm64", containerRuntimeVersion="c"
    )
    addresses = [{"type": "ExternalIP", "address": "192.0.2.1"}]
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": info, "addresses": addresses}
    roles = {"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": "", "kubernetes.io/role": "z"}
    make(admin, "/api/v1/nodes", "krm-model-1", {"unschedulable": True}, ready, "Node", labels=roles)
    make(admin, "/api/v1/nodes", "krm-model-2", {}, None, "Node")
    services: List[Tuple[Any, Any]] = [
        ({"type": "ClusterIP", "ports": [{"port": 80}, {"name": "b", "port": 53, "protocol": "UDP"}],
        "selector": {"b": "1", "a": "2"}}, None),
        ({"type": "NodePort", "ports": [{"port": 80}], "externalIPs": ["192.0.2.2"]}, None),
        ({"type": "LoadBalancer", "ports": [{"port": 80}]}, None),
        ({"type": "LoadBalancer", "ports": [{"port": 80}], "externalIPs": ["192.0.2.2"]}, BALANCED),
        ({"type": "ExternalName", "externalName": "db.example.com"}, None),
        ({"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80}]}, None),
    ]  # fmt: skip
    for number, (spec, state) in enumerate(services):
        named = {**spec, "ports": [{"name": "a", **port} for port in spec.get("ports", [])]}
        make(admin, f"/api/v1/{place}/services", f"s-{number}", named, state, "Service")
    match = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["y", "x"]}],
    }
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [CONTAINER, {"name": "d", "image": "j"}]},
    }
    state = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    deployment = {"replicas": 3, "selector": match, "template": template}
    make(admin, f"/apis/apps/v1/{place}/deployments", "d", deployment, state, "Deployment")
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    rules = [{"host": "h%d.example.com" % n} for n in range(5)]
    ingress = f"/apis/networking.k8s.io/v1/{place}/ingresses"
    tls = [{"hosts": ["h0.example.com"]}]
    make(admin, ingress, "i-1", {"ingressClassName": "nginx", "rules": rules, "tls": tls}, BALANCED, "Ingress")
    make(admin, ingress, "i-2", {"defaultBackend": backend}, None, "Ingress")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = f"/api/v1/{place}/persistentvolumeclaims"
    make(admin, claims, "c-1", claim, None, "PersistentVolumeClaim")
    bound = {"phase": "Bound", "capacity": {"storage": "1536Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
    fast = {**claim, "volumeName": "pv", "storageClassName": "fast"}
    make(admin, claims, "c-2", fast, bound, "PersistentVolumeClaim")
    make_more(admin, place, match, template)
