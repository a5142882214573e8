"""Watch lines and lists as an API server writes them, for the model's tests and figures."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from krm.model.kinds import Kind, Resource

PODS = Resource(Kind("pods", ""), "v1", "Pod", True, "pod", ("po",))
NODES = Resource(Kind("nodes", ""), "v1", "Node", False, "node", ("no",))
SECRET = "hunter2"


def _managed(names: int) -> List[Dict[str, Any]]:
    fields = {'k:{"name":"VARIABLE_%d"}' % n: {".": {}, "f:name": {}, "f:value": {}} for n in range(names)}
    owner = {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:env": fields}}
    status = {"f:status": {"f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}}}}
    return [
        {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": owner,
        },
        {
            "manager": "kubelet",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": status,
        },
    ]


def _container(name: str) -> Dict[str, Any]:
    env: List[Dict[str, Any]] = [{"name": "VARIABLE_%d" % n, "value": "%s-%d" % (SECRET, n)} for n in range(5)]
    env.append({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}})
    return {
        "name": name,
        "image": "registry.example.com/team/%s:1.2.3" % name,
        "args": ["--listen=:8080", "--verbose"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": env,
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "kube-api-access", "readOnly": True, "mountPath": "/var/run/secrets"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def pod(name: str = "web-0", namespace: str = "shop", rv: str = "1000", managed: int = 55) -> Dict[str, Any]:
    """One running pod of two containers; 10 KB of JSON, half of it managedFields."""
    labels = {"app": "web", "tier": "front", "pod-template-hash": "5d4f8c7b9"}
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"env": [{"value": SECRET}]})}
    containers = ["server", "proxy"]
    conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    moment = "2026-11-22T10:00:00Z"
    return {
        "metadata": {
            "name": name,
            "generateName": "web-",
            "namespace": namespace,
            "uid": "6c0b2bd0-5d1c-4a53-9e0f-%012d" % (int(rv) % 10**12),
            "resourceVersion": rv,
            "creationTimestamp": moment,
            "labels": labels,
            "annotations": last,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}],
            "managedFields": _managed(managed),
        },
        "spec": {
            "volumes": [{"name": "kube-api-access", "projected": {"sources": [{"configMap": {"name": "ca"}}]}}],
            "containers": [_container(one) for one in containers],
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "nodeName": "node-1",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": one, "status": "True", "lastTransitionTime": moment} for one in conditions],
            "hostIP": "10.0.0.1",
            "podIP": "10.1.0.7",
            "podIPs": [{"ip": "10.1.0.7"}],
            "startTime": moment,
            "containerStatuses": [
                {
                    "name": one,
                    "state": {"running": {"startedAt": moment}},
                    "lastState": {},
                    "ready": True,
                    "restartCount": 0,
                    "image": "registry.example.com/team/%s:1.2.3" % one,
                    "imageID": "registry.example.com/team/%s@sha256:%064d" % (one, 7),
                    "containerID": "containerd://%064d" % 9,
                    "started": True,
                }
                for one in containers
            ],
            "qosClass": "Burstable",
        },
    }


def compact(value: Any) -> bytes:
    """JSON as Go writes it: no spaces, no ASCII escapes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def watched(obj: Dict[str, Any], type: str = "MODIFIED", kind: str = "Pod", api_version: str = "v1") -> bytes:
    """A watch line without its line feed; objects of a watch carry kind and apiVersion first."""
    return compact({"type": type, "object": {"kind": kind, "apiVersion": api_version, **obj}})


def listed(objects: List[Dict[str, Any]], rv: str = "2000", token: str = "", kind: str = "PodList") -> bytes:
    """A LIST body; its items carry neither kind nor apiVersion."""
    metadata = {"resourceVersion": rv, **({"continue": token, "remainingItemCount": 7} if token else {})}
    return compact({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": objects})
