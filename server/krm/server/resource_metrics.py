"""NodeMetrics and PodMetrics of metrics.k8s.io/v1beta1, as metrics-server writes them. Pure.

An item's bytes are made once, in two pieces: its labels are those of the object in
the replica, and come between them when a list is joined. What krm does otherwise than metrics-server, which
leaves out a pod of which one container has no value: it shows the pod, that container with the values that it
has, and names it in an annotation. Who needs all of them (the HPA) sees that one is missing, as the API has it.
"""

from __future__ import annotations

import math
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.model import times
from krm.model.codec import quoted
from krm.model.durations import go_duration
from krm.model.metrics import TABLE
from krm.model.quantities import written_bytes, written_nanos
from krm.store.errors import Corrupt
from krm.store.latest import Measured, Pod, unpack_measured, unpack_pod
from krm.store.latest_reader import Packed

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


class View:
    """The items of one turn, each made when it is first asked for: some 60 us. What rotted is not there."""

    def __init__(self, packed: Packed, former: Optional[View] = None) -> None:
        """`former`: of the turn before. What did not change since is taken from it."""
        self.packed = packed
        self._lacking: Set[str] = set()  # namespace/name of pods, made so far, of which a container lacks a value
        self._made: Dict[Tuple[str, str, str], Tuple[bytes, Optional[Item]]] = {}
        self._former = former._made if former is not None else {}

    def item(self, resource: str, namespace: str, name: str) -> Optional[Item]:
        """None where nothing of it can be shown. `namespace` of a node: ''."""
        key = (resource, namespace, name)
        held = self._made.get(key)
        if held is None:
            value = self._of(resource, namespace).get(name)
            if value is None:
                return None
            held = self._former.get(key)
            if held is None or held[0] != value:
                held = (value, _item(resource, namespace, name, value))
            self._made[key] = held
            if held[1] is not None and held[1].lacks:
                self._lacking.add(f"{namespace}/{name}")
        return held[1]

    def make(self, resource: str, namespace: str) -> None:
        """All items of a namespace, '' = of all. May run in another thread."""
        spaces = [namespace] if namespace or resource == NODES else list(self.packed.pods)
        for space in spaces:
            for name in self._of(resource, space):
                self.item(resource, space, name)

    def lacking(self, namespace: str) -> List[str]:
        """Pods of a namespace ('' = of all), made so far, of which a container lacks a value: namespace/name."""
        prefix = namespace + "/" if namespace else ""
        return [key for key in list(self._lacking) if key.startswith(prefix)]  # another thread may add to it

    def _of(self, resource: str, namespace: str) -> Mapping[str, bytes]:
        return self.packed.nodes if resource == NODES else self.packed.pods.get(namespace, {})


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


def _item(resource: str, namespace: str, name: str, value: bytes) -> Optional[Item]:
    try:
        if resource == PODS:
            return _pod(namespace, unpack_pod(name, value))
        return _node(name, unpack_measured(value)) if name else None  # '' holds the sums of the cluster
    except Corrupt:
        return None


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
