"""NodeMetrics and PodMetrics of metrics.k8s.io/v1beta1, as metrics-server writes them. Pure.

An item's bytes are made once a turn of the collector, in two pieces: its labels are those of the object in
the replica, and come between them when a list is joined. What krm does otherwise than metrics-server, which
leaves out a pod of which one container has no value: it shows the pod, that container with the values that it
has, and names it in an annotation. Who needs all of them (the HPA) sees that one is missing, as the API has it.
"""

from __future__ import annotations

import math
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.model import times
from krm.model.codec import quoted
from krm.model.durations import go_duration
from krm.model.metrics import TABLE
from krm.model.quantities import written_bytes, written_nanos
from krm.store.latest import Latest, Measured, Pod

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
NODES, PODS = "nodes", "pods"
OBJECT_KINDS: Mapping[str, str] = {NODES: "NodeMetrics", PODS: "PodMetrics"}
# Names the containers of a pod that run and of which a value is not known, with commas.
LACKS = "krm.io/lacks"
_CPU, _MEMORY = "cpu/usage_rate", "memory/working_set"
# The sources of both, the first that has them is taken.
_SOURCES: Mapping[str, int] = {source: place for place, source in enumerate(TABLE[_CPU].sources)}
# The last second that RFC 3339 can write.
_MOST_SECONDS = 253402300799.0
# A rate that is so near to a whole number of billionths was one before it was a float.
_NEAR = 1e-3


class Item(NamedTuple):
    """One node or pod but for its labels."""

    uid: str  # of the pod that was measured, '' = the source does not tell
    lacks: Tuple[str, ...]  # containers of which a value is not known
    begin: bytes  # `{"metadata":{"name":"web-0",...` without the kind
    annotations: bytes  # with a comma before it, or b""
    end: bytes  # `,"timestamp":...}` after the metadata
    cells: bytes  # of its row in a Table

    def metadata(self, labels: bytes) -> bytes:
        """`{"metadata":{...}` and nothing behind it. `labels`: raw JSON, b"" = none."""
        shown = b',"labels":' + labels if labels not in (b"", b"{}") else b""
        return b"".join((self.begin, shown, self.annotations, b"}"))

    def written(self, labels: bytes) -> bytes:
        """As it stands in a list."""
        return self.metadata(labels) + self.end


class View(NamedTuple):
    """All items of one turn, by resource (nodes, pods) and then by namespace/name."""

    items: Mapping[str, Mapping[str, Item]]
    lacking: FrozenSet[str]  # pods of which some container lacks a value


class Usage(NamedTuple):
    """What one container or node uses."""

    at: float  # Unix seconds
    window: float  # seconds
    cpu: Optional[int]  # billionths of a core
    memory: Optional[int]  # bytes

    @property
    def is_whole(self) -> bool:
        """Whether both are known."""
        return self.cpu is not None and self.memory is not None


def view(latest: Latest) -> View:
    """All that can be shown of a turn; some 10 us a container."""
    nodes, pods = {}, {}
    for node in latest.nodes:
        found = _node(node.name, node.measured)
        if found is not None:
            nodes["/" + node.name] = found
    for namespace, listed in latest.pods.items():
        for pod in listed:
            found = _pod(namespace, pod)
            if found is not None:
                pods[f"{namespace}/{pod.name}"] = found
    lacking = frozenset([key for key, one in pods.items() if one.lacks])
    return View({NODES: nodes, PODS: pods}, lacking)


def usage(measured: Sequence[Measured]) -> Optional[Usage]:
    """Each value from the first source that has it, at the moment of the CPU's; None = nothing is known."""
    cpu: Optional[Measured] = None
    memory: Optional[Measured] = None
    for one in sorted(measured, key=lambda one: _SOURCES.get(one.source, len(_SOURCES))):
        if one.resource_id or one.source not in _SOURCES:
            continue
        if not (0 < one.at < _MOST_SECONDS and 0 <= one.window < _MOST_SECONDS):
            continue
        cpu = one if cpu is None and _is_amount(one.values.get(_CPU)) else cpu
        memory = one if memory is None and _is_amount(one.values.get(_MEMORY)) else memory
    if cpu is None:
        return None if memory is None else Usage(memory.at, memory.window, None, int(memory.values[_MEMORY]))
    known = None if memory is None else int(memory.values[_MEMORY])
    return Usage(cpu.at, cpu.window, nanocores(cpu.values[_CPU]), known)


def nanocores(millicores: float) -> int:
    """Whole billionths of a core, the rest cut off as metrics-server does."""
    exact = millicores * 1e6
    near = round(exact)
    return near if abs(exact - near) < _NEAR else int(exact)


def _is_amount(value: Optional[float]) -> bool:
    return value is not None and math.isfinite(value) and value >= 0


def _node(name: str, measured: Sequence[Measured]) -> Optional[Item]:
    found = usage(measured)
    if found is None or found.cpu is None or found.memory is None:
        return None
    end = b'%s,"usage":%s}' % (_moment(found), _quantities(found))
    return Item("", (), _begin(name, "", found.at), b"", end, _cells(name, found.cpu, found.memory, found))


def _pod(namespace: str, pod: Pod) -> Optional[Item]:
    """None where no container has both values: a pod that just began, at metrics-server too."""
    told = {name: usage(rows) for name, rows in pod.containers.items()}  # None = it does not run, maybe
    used = {name: told.get(name) for name in sorted({*told, *pod.lacks}) if told.get(name) or name in pod.lacks}
    whole = [one for one in used.values() if one is not None and one.is_whole]
    if not whole:
        return None
    earliest = min(whole, key=lambda one: one.at)
    lacks = tuple(name for name, one in used.items() if one is None or not one.is_whole)
    rows = [b'{"name":%s,"usage":%s}' % (quoted(name), _quantities(one)) for name, one in used.items()]
    end = b'%s,"containers":[%s]}' % (_moment(earliest), b",".join(rows))
    cpu = sum(one.cpu or 0 for one in used.values() if one is not None)
    memory = sum(one.memory or 0 for one in used.values() if one is not None)
    cells = _cells(pod.name, cpu, memory, earliest)
    return Item(pod.uid, lacks, _begin(pod.name, namespace, earliest.at), _annotations(lacks), end, cells)


def _begin(name: str, namespace: str, at: float) -> bytes:
    space = b',"namespace":' + quoted(namespace) if namespace else b""
    return b'{"metadata":{"name":%s%s,"creationTimestamp":"%s"' % (quoted(name), space, _second(at))


def _annotations(lacks: Tuple[str, ...]) -> bytes:
    return b',"annotations":{"%s":%s}' % (LACKS.encode(), quoted(",".join(lacks))) if lacks else b""


def _moment(one: Usage) -> bytes:
    return b',"timestamp":"%s","window":"%s"' % (_second(one.at), _window(one))


def _second(at: float) -> bytes:
    """As metav1.Time is written: whole seconds, cut off."""
    return times.write(math.floor(at)).encode()


def _window(one: Usage) -> bytes:
    return go_duration(round(one.window * 1e6) * 1000).encode()  # a difference of two floats, some 0.2 us off


def _quantities(one: Optional[Usage]) -> bytes:
    rows: List[bytes] = []
    if one is not None and one.cpu is not None:
        rows.append(b'"cpu":"%s"' % written_nanos(one.cpu).encode())
    if one is not None and one.memory is not None:
        rows.append(b'"memory":"%s"' % written_bytes(one.memory).encode())
    return b"{%s}" % b",".join(rows)


def _cells(name: str, cpu: int, memory: int, one: Usage) -> bytes:
    quantities = (quoted(name), written_nanos(cpu).encode(), written_bytes(memory).encode(), _window(one))
    return b'[%s,"%s","%s","%s"]' % quantities


def column_definitions() -> List[Dict[str, object]]:
    """Of a Table that has rows: metrics-server takes them from the first."""
    named = (
        ("Name", "name", "Name of the resource"),
        ("cpu", "quantity", ""),
        ("memory", "quantity", ""),
        ("Window", "duration", ""),
    )
    return [
        {"name": name, "type": "string", "format": form, "description": about, "priority": 0}
        for name, form, about in named
    ]
