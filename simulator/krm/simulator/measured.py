"""metrics.k8s.io/v1beta1 of a paper cluster: what a metrics-server would have of the kubelets that live.

Figures are of the last WINDOW, from the loads themselves: no point has to be waited for. As a metrics-server
does, it tells only of pods of which each container has run that long.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, Tuple

from krm.model.quantities import written_bytes, written_nanos

from .access import Access
from .history import Stored
from .kinds import Kind
from .kubelet_loads import CPU, Spot
from .kubelet_nodes import NodeSeen, PodSeen, total
from .kubelets import Kubelets
from .messages import Answer, Request
from .selectors import Selector, parse_labels
from .wire import Object, Refusal, dumps, time_text
from .world import World

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
WINDOW = 15  # seconds
NODES = Kind("nodes", GROUP, VERSION, "NodeMetrics", False, status=False, verbs=("get", "list"))
PODS = Kind("pods", GROUP, VERSION, "PodMetrics", True, status=False, verbs=("get", "list"))
KINDS = [NODES, PODS]


class Measured:
    """Served beside a world. GET only, no watch, as metrics-server."""

    def __init__(self, world: World, kubelets: Kubelets) -> None:
        self.world, self.kubelets = world, kubelets

    def answer(self, request: Request, user: str, access: Optional[Access]) -> Answer:
        """Of a path below the group's version. Refusal for all that it has not."""
        kind, namespace, name = _target(request.parts[3:])
        if access is not None:
            access.check(user, "get" if name else "list", kind, namespace, name)
        if request.method != "GET" or request.flag("watch"):
            raise Refusal(
                405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
            )
        items = list(self._items(kind, _wanted(request, namespace, name)))
        if name:
            if not items:
                raise _missing(kind, namespace, name)
            return Answer(body=dumps({"kind": kind.kind, "apiVersion": kind.api_version, **items[0]}) + b"\n")
        whole = {"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": {}, "items": items}
        return Answer(body=dumps(whole) + b"\n")

    def _items(self, kind: Kind, wanted: Callable[[Stored], bool]) -> Iterator[Object]:
        now = self.kubelets.clock()
        for name in sorted(self.kubelets.living):
            seen = self.kubelets.look(name, now)
            if kind is NODES:
                stored = self.world.get("nodes", name)
                if stored is not None and wanted(stored):
                    yield _node(seen, self.kubelets.look(name, now - WINDOW), stored)
                continue
            for pod in seen.pods:
                stored = self.world.get("pods", pod.pod.key)
                if stored is not None and wanted(stored):
                    yield from _pod(seen, pod, stored)


def _target(rest: List[str]) -> Tuple[Kind, str, str]:
    """(kind, namespace, name)."""
    if len(rest) in (3, 4) and rest[0] == "namespaces" and rest[2] == "pods":
        return PODS, rest[1], "".join(rest[3:])
    if len(rest) == 1 and rest[0] == "pods":
        return PODS, "", ""
    if len(rest) in (1, 2) and rest[0] == "nodes":
        return NODES, "", "".join(rest[1:])
    raise Refusal(404, "NotFound", "the server could not find the requested resource", {})


def _wanted(request: Request, namespace: str, name: str) -> Callable[[Stored], bool]:
    fields = (("metadata.name", True, name),) if name else ()
    return Selector(namespace, parse_labels(request.value("labelSelector")), fields).matches


def _node(seen: NodeSeen, before: NodeSeen, stored: Stored) -> Object:
    used = (_used(seen) - _used(before)) / max(1, seen.moment - before.moment) * 1000.0
    memory = sum(spot.amounts().memory for spot in seen.spots)
    return _item(seen, seen.moment, stored, {"usage": _usage(used, memory)})


def _pod(seen: NodeSeen, pod: PodSeen, stored: Stored) -> Iterator[Object]:
    containers: List[Object] = []
    for container, spot in pod.containers:
        since = spot.moment - WINDOW * 1000
        if spot.epoch.started > since:
            return
        used = (spot.counted(CPU) - _earlier(container.life.at(since), spot)) / WINDOW
        containers.append({"name": container.name, "usage": _usage(used, spot.amounts().memory)})
    if containers:
        yield _item(seen, min(spot.moment for _, spot in pod.containers), stored, {"containers": containers})


def _earlier(before: Spot, now: Spot) -> float:
    return before.counted(CPU) if before.epoch.run == now.epoch.run else 0.0


def _used(seen: NodeSeen) -> float:
    return total(seen.spots, CPU) + seen.past[CPU]


def _item(seen: NodeSeen, moment: int, stored: Stored, figures: Object) -> Object:
    namespace, _, name = stored.key.rpartition("/")
    stamp = time_text(seen.node.stamp(moment) / 1000.0)
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["creationTimestamp"] = stamp
    if stored.labels:
        metadata["labels"] = dict(stored.labels)
    return {"metadata": metadata, "timestamp": stamp, "window": "%ds" % WINDOW, **figures}


def _usage(nanocores: float, memory: int) -> Object:
    return {"cpu": written_nanos(round(nanocores)), "memory": written_bytes(memory)}


def _missing(kind: Kind, namespace: str, name: str) -> Refusal:
    which = "%s/%s" % (namespace, name) if namespace else name
    resource = kind.kind.lower()
    details = {"name": which, "group": GROUP, "kind": resource}
    return Refusal(404, "NotFound", '%s.%s "%s" not found' % (resource, GROUP, which), details)
