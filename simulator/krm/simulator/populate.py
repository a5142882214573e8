"""Fill a world: nodes, namespaces, and workloads that own pods."""

from __future__ import annotations

from typing import List, Optional

from . import workloads
from .nodes import build_namespace, build_node, build_priority_class
from .pods import build_pod
from .wire import Object
from .world import World

PODS_A_DEPLOYMENT = 6


def populate(world: World, nodes: int = 3, pods: int = 50, namespaces: int = 3) -> None:
    """Add exactly that many nodes and pods; namespaces `team-0`... beside the four that exist already.

    Every fifth workload is a StatefulSet with claims (its pods keep their names), the rest deployments.
    """
    with world.lock:
        when, rng = world.now_text(), world.random
        for index in range(nodes):
            world.create("nodes", build_node(rng, "node-%d" % index, when, control_plane=index == 0 and nodes > 1))
        for name, value in (("system-cluster-critical", 2000000000), ("batch-low", -10)):
            world.create("priorityclasses.scheduling.k8s.io", build_priority_class(name, value, when))
        names = ["team-%d" % index for index in range(namespaces)] or ["default"]
        for name in names:
            if world.get("namespaces", name) is None:
                world.create("namespaces", build_namespace(name, when))
            _put(world, "resourcequotas", "ResourceQuota", "quota", name, workloads.quota())
            _put(world, "limitranges", "LimitRange", "limits", name, workloads.limit_range())
        left, index = pods, 0
        while left > 0:
            count = min(left, PODS_A_DEPLOYMENT)
            namespace, app = names[index % len(names)], "app-%d" % index
            if index % 5 == 4:
                _stateful(world, app, namespace, count, nodes)
            else:
                _deployed(world, app, namespace, count, nodes)
            left, index = left - count, index + 1
        agent = workloads.daemon_set("node-agent", nodes)
        _put(world, "daemonsets.apps", "DaemonSet", "node-agent", "kube-system", agent)
        _put(world, "jobs.batch", "Job", "backup-1", names[0], workloads.job("backup", when))


def _put(
    world: World,
    kind: str,
    go_kind: str,
    name: str,
    namespace: str,
    body: Object,
    owner: Optional[Object] = None,
    app: str = "",
) -> str:
    """Create and answer the uid."""
    labels = {"app": app} if app else None
    obj = workloads.build(go_kind, name, namespace, world.now_text(), body, labels, owner)
    return world.create(kind, obj).uid


def _deployed(world: World, app: str, namespace: str, count: int, nodes: int) -> None:
    when = world.now_text()
    uid = _put(
        world, "deployments.apps", "Deployment", app, namespace, workloads.deployment(app, count, when), app=app
    )
    set_name = "%s-%010x" % (app, world.random.getrandbits(40))
    owner = workloads.reference("Deployment", app, uid)
    uid = _put(
        world, "replicasets.apps", "ReplicaSet", set_name, namespace, workloads.replica_set(app, count), owner, app
    )
    owner = workloads.reference("ReplicaSet", set_name, uid)
    names = ["%s-%05x" % (set_name, world.random.getrandbits(20)) for _ in range(count)]
    addresses = _pods(world, app, namespace, names, owner, nodes)
    _around(world, app, namespace, count, addresses)


def _stateful(world: World, app: str, namespace: str, count: int, nodes: int) -> None:
    body = workloads.stateful_set(app, count)
    uid = _put(world, "statefulsets.apps", "StatefulSet", app, namespace, body, app=app)
    names = ["%s-%d" % (app, index) for index in range(count)]
    for name in names:
        data = "data-" + name
        body, kind = workloads.claim(data), "PersistentVolumeClaim"
        _put(world, "persistentvolumeclaims", kind, data, namespace, body, app=app)
    _pods(world, app, namespace, names, workloads.reference("StatefulSet", app, uid), nodes)


def _pods(world: World, app: str, namespace: str, names: List[str], owner: Object, nodes: int) -> List[str]:
    """Create pods; answers their addresses."""
    addresses = []
    for name in dict.fromkeys(names):
        pod = new_pod(world, name, namespace, app, owner, pick_node(world, nodes))
        world.create("pods", pod)
        addresses.append(str(pod["status"].get("podIP", "")))
    # Two random names may be equal; the count was promised.
    for extra in range(len(names) - len(addresses)):
        node = pick_node(world, nodes)
        world.create("pods", new_pod(world, "%s-x%d" % (names[0], extra), namespace, app, owner, node))
    return [address for address in addresses if address]


def pick_node(world: World, nodes: int) -> str:
    """A node's name; "" (pending) where there is none."""
    return "node-%d" % world.random.randrange(nodes) if nodes else ""


def new_pod(world: World, name: str, namespace: str, app: str, owner: Object, node: str) -> Object:
    labels = {"app": app, "app.kubernetes.io/part-of": "paper", "tier": world.random.choice(("web", "data"))}
    if owner["kind"] == "ReplicaSet":
        labels["pod-template-hash"] = owner["name"].rpartition("-")[2]
    uid, when = world.new_uid(), world.now_text()
    return build_pod(world.random, name, namespace, uid, when, node, labels, owner, app)


def _around(world: World, app: str, namespace: str, count: int, addresses: List[str]) -> None:
    """The service, its slice, the ingress and the autoscaler of a deployment."""
    number = world.random.getrandbits(16)
    address = "10.96.%d.%d" % (number >> 8, number & 255)
    uid = _put(world, "services", "Service", app, namespace, workloads.service(app, address), app=app)
    owner = workloads.reference("Service", app, uid)
    name = "%s-%05x" % (app, world.random.getrandbits(20))
    body = workloads.endpoint_slice(addresses)
    _put(world, "endpointslices.discovery.k8s.io", "EndpointSlice", name, namespace, body, owner, app)
    _put(world, "ingresses.networking.k8s.io", "Ingress", app, namespace, workloads.ingress(app), app=app)
    scaler = workloads.autoscaler(app, count)
    kind = "horizontalpodautoscalers.autoscaling"
    _put(world, kind, "HorizontalPodAutoscaler", app, namespace, scaler, app=app)
