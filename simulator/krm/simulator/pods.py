"""A pod of realistic size and shape: about 8 KB of compact JSON, two fifths of it managedFields."""

from __future__ import annotations

import random
from typing import Any, List, Optional

from .managed import managed_fields
from .wire import Object, dumps

CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_ENV = (
    "DATABASE_URL",
    "DATABASE_PASSWORD",
    "CACHE_ADDRESS",
    "TRACE_ENDPOINT",
    "API_TOKEN",
)
_ENV_VALUE = "postgres://%s.internal.example:5432/orders?sslmode=verify-full&secret=%016x"


def build_pod(
    rng: random.Random,
    name: str,
    namespace: str,
    uid: str,
    when: str,
    node: str = "",
    labels: Optional[Object] = None,
    owner: Optional[Object] = None,
    app: str = "app",
) -> Object:
    """A running pod on `node`, or a pending one without. `owner`: its controller's reference."""
    metadata: Object = {"name": name}
    if owner is not None and owner["kind"] == "ReplicaSet":
        metadata["generateName"] = owner["name"] + "-"
    metadata.update(namespace=namespace, uid=uid, generation=1, creationTimestamp=when)
    metadata["labels"] = dict(labels or {"app": app})
    metadata["annotations"] = _annotations(rng, name, namespace, app)
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    pod: Object = {"metadata": metadata, "spec": _spec(rng, node, app)}
    pod["status"] = running_status(rng, pod, when) if node else pending_status(when)
    metadata["managedFields"] = managed_fields(pod, "v1", when)
    return pod


def _annotations(rng: random.Random, name: str, namespace: str, app: str) -> Object:
    found: Object = {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container %s" % app,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
    }
    if rng.random() < 0.3:
        applied = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [{"name": app, "image": app + ":1.0", "args": ["a<b && c>d"]}]},
        }
        found["kubectl.kubernetes.io/last-applied-configuration"] = dumps(applied).decode() + "\n"
    return dict(sorted(found.items()))


def _spec(rng: random.Random, node: str, app: str) -> Object:
    volume = "kube-api-access-%05x" % rng.getrandbits(20)
    containers = [app, app + "-proxy"] if rng.random() < 0.1 else [app]
    spec: Object = {
        "volumes": [
            {"name": "config", "configMap": {"name": app + "-config", "defaultMode": 420}},
            {
                "name": volume,
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    ],
                    "defaultMode": 420,
                },
            },
        ],
        "containers": [_container(rng, each, volume) for each in containers],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
    }
    if node:
        spec["nodeName"] = node
    spec.update(
        securityContext={"runAsNonRoot": True, "runAsUser": 10001},
        schedulerName="default-scheduler",
        tolerations=[
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
        priority=0,
        enableServiceLinks=True,
        preemptionPolicy="PreemptLowerPriority",
    )
    return spec


def _container(rng: random.Random, name: str, volume: str) -> Object:
    env: List[Object] = [{"name": each, "value": _ENV_VALUE % (name, rng.getrandbits(64))} for each in _ENV]
    env.append({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}})
    return {
        "name": name,
        "image": "registry.example/team/%s:1.%d.0" % (name, rng.randrange(9)),
        "args": ["--listen=:8080", "--verbosity=2", "--filter=level>=info"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": env,
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "%dm" % rng.choice((50, 100, 250)), "memory": "%dMi" % rng.choice((64, 128, 256))},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
        "livenessProbe": _probe("/healthz"),
        "readinessProbe": _probe("/readyz"),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
        },
    }


def _probe(path: str) -> Object:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def pending_status(when: str) -> Object:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": when,
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    return {"phase": "Pending", "conditions": [condition], "qosClass": "Burstable"}


def running_status(rng: random.Random, pod: Object, when: str) -> Object:
    """What a kubelet reports of a healthy pod."""
    address = "10.%d.%d.%d" % (rng.randrange(64, 96), rng.randrange(256), rng.randrange(2, 255))
    host = "192.168.0.%d" % rng.randrange(2, 255)
    return {
        "observedGeneration": 1,
        "phase": "Running",
        "conditions": [
            {
                "type": each,
                "observedGeneration": 1,
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": when,
            }
            for each in CONDITIONS
        ],
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": when,
        "containerStatuses": [_container_status(rng, container, when) for container in pod["spec"]["containers"]],
        "qosClass": "Burstable",
    }


def _container_status(rng: random.Random, container: Any, when: str) -> Object:
    image = str(container["image"])
    digest = "%064x" % rng.getrandbits(256)
    return {
        "name": container["name"],
        "state": {"running": {"startedAt": when}},
        "lastState": {},
        "ready": True,
        "restartCount": 0,
        "image": image,
        "imageID": "%s@sha256:%s" % (image.rpartition(":")[0], digest),
        "containerID": "containerd://%064x" % rng.getrandbits(256),
        "started": True,
        "resources": container["resources"],
        "volumeMounts": [
            {"name": mount["name"], "mountPath": mount["mountPath"], "recursiveReadOnly": "Disabled"}
            for mount in container["volumeMounts"]
        ],
    }
