"""The Node and Pod objects that belong to simulated kubelets, to create on a real API server or a paper one."""

from __future__ import annotations

from typing import List

from .kubelet_loads import Load
from .kubelet_nodes import Container, Node, Pod
from .wire import Object, time_text


def node_object(node: Node, port: int) -> Object:
    """A Ready node whose kubelet listens on 127.0.0.1:`port`. The API server takes a new Node's status too."""
    when = time_text(node.start / 1000.0)
    size = {"cpu": str(node.cores), "memory": "%dKi" % (node.memory // 1024), "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": when,
        "lastTransitionTime": when,
    }
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "status": dict(
            reachable(node.name, port), capacity=size, allocatable=dict(size), conditions=[ready],
            nodeInfo=_info(node.name),
        ),
    }  # fmt: skip


def reachable(name: str, port: int) -> Object:
    """What a Node's status says of where its kubelet listens."""
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}]
    return {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}


def pod_object(pod: Pod, node: Node) -> Object:
    """A running pod. A real API server gives it a uid of its own and no status: put that on /status afterwards."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "labels": dict(pod.labels)},
        "spec": {
            "nodeName": node.name,
            "containers": [_container(container) for container in pod.containers],
            # Nothing here is ever evicted for a paper node's silence.
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
        },
        "status": _pod_status(pod),
    }


def objects(nodes: List[Node], ports: List[int]) -> List[Object]:
    """Namespaces, nodes and pods, in the order in which to create them."""
    names = sorted({pod.namespace for node in nodes for pod in node.pods.values()} - {"default", "kube-system"})
    found: List[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    found += [node_object(node, port) for node, port in zip(nodes, ports)]
    return found + [pod_object(pod, node) for node in nodes for pod in node.pods.values()]


def _container(container: Container) -> Object:
    load: Load = container.life.at(container.life.start).epoch.load
    limits: Object = {}
    if container.cpu_limit:
        limits["cpu"] = "%dm" % container.cpu_limit
    if container.memory_limit:
        limits["memory"] = str(container.memory_limit)
    requests = {"cpu": "%dm" % max(1, int(load.cpu)), "memory": str(int(load.memory))}
    requests = {name: limits.get(name, value) for name, value in requests.items()}
    return {
        "name": container.name,
        "image": container.image,
        "resources": {"requests": requests, "limits": limits} if limits else {"requests": requests},
    }


def _pod_status(pod: Pod) -> Object:
    when = time_text(pod.start / 1000.0)
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": when}
        for name in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    statuses = [
        {
            "name": container.name,
            "state": {"running": {"startedAt": time_text(container.life.start / 1000.0)}},
            "lastState": {},
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": container.image,
            "imageID": container.image,
        }
        for container in pod.containers
    ]
    return {
        "phase": "Running",
        "startTime": when,
        "hostIP": "127.0.0.1",
        "conditions": conditions,
        "containerStatuses": statuses,
    }


def _info(name: str) -> Object:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": "6.8.0-60-generic",
        "osImage": "paper",
        "containerRuntimeVersion": "containerd://2.1.4",
        "kubeletVersion": "v1.36.3",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
