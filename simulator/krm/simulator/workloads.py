"""Controllers and what stands around them: deployments, replica sets, services, claims, quotas, events."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .managed import managed_fields
from .wire import Object

_API = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "Ingress": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "EndpointSlice": "discovery.k8s.io/v1",
}


def reference(kind: str, name: str, uid: str) -> Object:
    """An ownerReference to a controller."""
    return {
        "apiVersion": _API.get(kind, "v1"),
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def build(
    kind: str,
    name: str,
    namespace: str,
    when: str,
    body: Object,
    labels: Optional[Dict[str, str]] = None,
    owner: Optional[Object] = None,
) -> Object:
    """Any namespaced object around `body` (spec, status, ...), with managedFields."""
    metadata: Object = {"name": name, "namespace": namespace}
    if "spec" in body:
        metadata["generation"] = 1
    metadata["creationTimestamp"] = when
    if labels:
        metadata["labels"] = labels
    if owner:
        metadata["ownerReferences"] = [owner]
    obj: Object = dict({"metadata": metadata}, **body)
    api_version = _API.get(kind, "v1")
    metadata["managedFields"] = managed_fields(obj, api_version, when, "kube-controller-manager")
    return obj


def _template(app: str) -> Object:
    container = {
        "name": app,
        "image": "registry.example/team/%s:1.0.0" % app,
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "imagePullPolicy": "IfNotPresent",
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def deployment(app: str, replicas: int, when: str) -> Object:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    conditions = [
        {
            "type": kind,
            "status": "True",
            "lastUpdateTime": when,
            "lastTransitionTime": when,
            "reason": reason,
            "message": message,
        }
        for kind, reason, message in (
            ("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            ("Progressing", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed."),
        )
    ]
    return {
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": _template(app),
            "strategy": rolling,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": conditions,
        },
    }


def replica_set(app: str, replicas: int) -> Object:
    return {
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": _template(app)},
        "status": {
            "replicas": replicas,
            "fullyLabeledReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "observedGeneration": 1,
        },
    }


def stateful_set(app: str, replicas: int) -> Object:
    return {
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": _template(app),
            "serviceName": app,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate"},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "readyReplicas": replicas,
            "currentReplicas": replicas,
            "updatedReplicas": replicas,
            "collisionCount": 0,
            "availableReplicas": replicas,
        },
    }


def daemon_set(app: str, count: int) -> Object:
    return {
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": _template(app),
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": 10,
        },
        "status": {
            "currentNumberScheduled": count,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": count,
            "numberReady": count,
            "observedGeneration": 1,
            "updatedNumberScheduled": count,
            "numberAvailable": count,
        },
    }


def job(app: str, when: str) -> Object:
    conditions = [
        {"type": type_, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": when}
        for type_ in ("SuccessCriteriaMet", "Complete")
    ]
    status = {"startTime": when, "completionTime": when, "succeeded": 1, "ready": 0, "conditions": conditions}
    return {
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": _template(app)},
        "status": status,
    }


def service(app: str, address: str) -> Object:
    port = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}
    return {
        "spec": {
            "ports": [port],
            "selector": {"app": app},
            "clusterIP": address,
            "clusterIPs": [address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(addresses: Any) -> Object:
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    return {
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
    }


def ingress(app: str) -> Object:
    backend = {"service": {"name": app, "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{"host": "%s.example.com" % app, "http": {"paths": [path]}}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    }


def claim(name: str) -> Object:
    size = {"storage": "10Gi"}
    return {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": size},
            "volumeName": "pv-" + name,
            "storageClassName": "standard",
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": size},
    }


def autoscaler(app: str, replicas: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": 70}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    return {
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": app, "apiVersion": "apps/v1"},
            "minReplicas": 1,
            "maxReplicas": replicas * 3,
            "metrics": [metric],
        },
        "status": {
            "currentReplicas": replicas,
            "desiredReplicas": replicas,
            "currentMetrics": None,
            "conditions": [],
        },
    }


def quota() -> Object:
    hard = {"limits.memory": "512Gi", "pods": "500", "requests.cpu": "200"}
    used = {"limits.memory": "64Gi", "pods": "50", "requests.cpu": "20"}
    return {"spec": {"hard": hard}, "status": {"hard": hard, "used": used}}


def limit_range() -> Object:
    limits = {
        "type": "Container",
        "default": {"cpu": "500m", "memory": "512Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
    }
    return {"spec": {"limits": [limits]}}


def event(about: Object, reason: str, message: str, when: str, component: str, count: int = 1) -> Object:
    """The body of a core/v1 Event. about: an involvedObject."""
    kind = "Normal" if reason in ("Scheduled", "Pulled", "Created", "Started", "Killing") else "Warning"
    return {
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": count,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "",
    }
