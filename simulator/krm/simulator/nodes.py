"""Nodes and the objects of the cluster itself: namespaces, priority classes."""

from __future__ import annotations

import random
from typing import List

from .managed import managed_fields
from .wire import Object

_IMAGES = ("app", "web", "worker", "cache", "proxy", "pause", "metrics", "dns", "logs", "storage")
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def build_node(rng: random.Random, name: str, when: str, control_plane: bool = False) -> Object:
    """A ready node with 8 to 32 cores."""
    cores = rng.choice((8, 16, 32))
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": "zone-%s" % rng.choice("abc"),
    }
    spec: Object = {"podCIDR": "10.%d.0.0/24" % rng.randrange(64, 128), "providerID": "paper:///" + name}
    if control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
        spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    node: Object = {
        "metadata": {
            "name": name,
            "creationTimestamp": when,
            "labels": labels,
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": spec,
        "status": _status(rng, name, cores, when),
    }
    node["metadata"]["managedFields"] = managed_fields(node, "v1", when)
    return node


def _status(rng: random.Random, name: str, cores: int, when: str) -> Object:
    memory = cores * 4 * 1024 * 1024
    capacity = {
        "cpu": str(cores),
        "ephemeral-storage": "102134512Ki",
        "hugepages-2Mi": "0",
        "memory": "%dKi" % memory,
        "pods": "110",
    }
    allocatable = dict(capacity, cpu="%dm" % (cores * 1000 - 100), memory="%dKi" % (memory - 1048576))
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": _conditions(when),
        "addresses": [
            {"type": "InternalIP", "address": "192.168.0.%d" % rng.randrange(2, 255)},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "%032x" % rng.getrandbits(128),
            "systemUUID": "%032x" % rng.getrandbits(128),
            "bootID": "%032x" % rng.getrandbits(128),
            "kernelVersion": "6.8.0-60-generic",
            "osImage": "Ubuntu 24.04.2 LTS",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
        "images": _images(rng),
    }


def _conditions(when: str) -> List[Object]:
    found = [("Ready", "True", "KubeletReady", "kubelet is posting ready status")]
    pressures = [(kind, "False", reason, message) for kind, reason, message in _PRESSURES]
    return [
        {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": when,
            "lastTransitionTime": when,
            "reason": reason,
            "message": message,
        }
        for kind, status, reason, message in [*pressures, *found]
    ]


def _images(rng: random.Random) -> List[Object]:
    images: List[Object] = []
    for name in _IMAGES:
        base = "registry.example/team/" + name
        names = ["%s@sha256:%064x" % (base, rng.getrandbits(256)), base + ":1.0.0"]
        images.append({"names": names, "sizeBytes": rng.randrange(10**6, 10**9)})
    return images


def build_namespace(name: str, when: str) -> Object:
    return {
        "metadata": {"name": name, "creationTimestamp": when, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def build_priority_class(name: str, value: int, when: str) -> Object:
    return {
        "metadata": {"name": name, "generation": 1, "creationTimestamp": when},
        "value": value,
        "description": "paper priority",
        "preemptionPolicy": "PreemptLowerPriority",
    }
