"""/metrics/resource of a simulated kubelet, as 1.36 writes it. Pure."""

from __future__ import annotations

from typing import List, Tuple

from .kubelet_forms import Family, Form, Labels, Row, amount, exposition, labels, number
from .kubelet_loads import CPU, Spot
from .kubelet_nodes import NodeSeen, PodSeen, total

_ERROR = Family(
    "resource_scrape_error",
    "gauge",
    "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
)
_START = Family(
    "container_start_time_seconds", "gauge", "[STABLE] Start time of the container since unix epoch in seconds"
)
_SWAP_LIMIT = Family(
    "container_swap_limit_bytes",
    "gauge",
    "[ALPHA] Current amount of the container swap limit in bytes. Reported only on non-windows systems",
)


def _families(level: str, swap: str) -> List[Family]:
    return [
        Family(
            level + "_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the %s in core-seconds" % level,
        ),
        Family(
            level + "_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the %s in bytes" % level,
        ),
        Family(level + "_swap_usage_bytes", "gauge", "[ALPHA] %s. Reported only on non-windows systems" % swap),
    ]


_NODE = _families("node", "Current swap usage of the node in bytes")
_POD = _families("pod", "Current amount of the pod swap usage in bytes")
_CONTAINER = _families("container", "Current amount of the container swap usage in bytes")
# What stands among the values, of each subject in turn: its stamp, CPU, working set and swap; of a container
# its start too.
_OF_ALL, _OF_CONTAINER = 4, 5


def resource_form(seen: NodeSeen) -> Form:
    """The page with gaps, for all looks of the same shape."""
    rows = [Row(_ERROR, (), 0)]
    _subject(rows, _NODE, (), 1)
    index = 1 + _OF_ALL
    for pod in seen.pods:
        whose = {"namespace": pod.pod.namespace, "pod": pod.pod.name}
        _subject(rows, _POD, labels(**whose), index)
        index += _OF_ALL
        for container, _ in pod.containers:
            named = labels(container=container.name, **whose)
            _subject(rows, _CONTAINER, named, index)
            rows += [Row(_START, named, index + 4), Row(_SWAP_LIMIT, named, index + 3, index)]
            index += _OF_CONTAINER
    return Form(exposition(rows))


def resource_values(seen: NodeSeen) -> List[str]:
    """What fills the gaps."""
    node, values = seen.node, ["0"]
    used = total(seen.spots, CPU) + seen.past[CPU]
    values += _numbers(node.stamp(seen.moment), used, seen.spots)
    for pod in seen.pods:
        _pod_values(values, seen, pod)
    return values


def _pod_values(values: List[str], seen: NodeSeen, pod: PodSeen) -> None:
    node = seen.node
    first = pod.containers[0][1] if len(pod.containers) == 1 else None
    if first is not None and first.moment == pod.moment and not first.epoch.run:
        shared = _numbers(node.stamp(pod.moment), first.counted(CPU), pod.spots)
        values += shared  # of a pod with one container that never began anew
        values += shared
        values.append(amount(node.stamp(first.epoch.started) / 1e3))
        return
    values += _numbers(node.stamp(pod.moment), total(pod.spots, CPU), pod.spots)
    for _, spot in pod.containers:
        values += _numbers(node.stamp(spot.moment), spot.counted(CPU), [spot])
        values.append(amount(node.stamp(spot.epoch.started) / 1e3))


def _subject(rows: List[Row], families: List[Family], named: Labels, index: int) -> None:
    rows += [Row(family, named, index + 1 + offset, index) for offset, family in enumerate(families)]


def _numbers(stamp: int, used: float, spots: List[Spot]) -> Tuple[str, ...]:
    """used: nanoseconds of CPU."""
    memory = swap = 0
    for spot in spots:
        amounts = spot.amounts()
        memory += amounts.memory
        swap += amounts.swap
    return (str(stamp), number(round(used) / 1e9), amount(memory), amount(swap))
