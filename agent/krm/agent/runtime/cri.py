"""The Container Runtime Interface over its unix socket: containerd, CRI-O, and Docker behind cri-dockerd.

runtime.v1, and runtime.v1alpha2 where that is unknown: of what is read here the two differ in their name alone.
Only CALLS can be sent; none of them changes anything. An entry of a list that cannot be read is left out, and
does not take the others with it.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, TypeVar

from krm.agent.cgroupfs.places import is_id
from krm.agent.runtime import http2
from krm.agent.runtime.protobuf import BadMessage, Message, fields, first_text, written
from krm.agent.runtime.runtimes import KILLED, SETTLED_SECONDS, RuntimeLate, RuntimeSilent, RuntimeStats
from krm.agent.runtime.unix_socket import connect
from krm.agent.seen import Named
from krm.model.kills import CRI, Evidence

VERSION, SANDBOXES, CONTAINERS, STATS, STATUS = CALLS = (
    "Version", "ListPodSandbox", "ListContainers", "ListContainerStats", "ContainerStatus",
)  # fmt: skip
PACKAGES = ("runtime.v1", "runtime.v1alpha2")
SECONDS = 4.0  # of one call: a busy runtime takes one or two for all its containers
MOST_ASKED = 200  # statuses of ended containers in one turn; the others in the next ones
EXITED = 2  # of ContainerState
OOM_KILLED = "OOMKilled"
_USUAL = frozenset(("runc", "crun"))  # handlers: programs that run a container on the node's own kernel
# Field of CpuUsage, and of MemoryUsage -> figure.
_CPU = {2: "cpu_usage_ns"}
_MEMORY = {
    2: "memory_working_set", 4: "memory_usage", 5: "memory_rss", 6: "memory_page_faults",
    7: "memory_major_page_faults",
}  # fmt: skip
_POD = "io.kubernetes.pod."
_OF_STATE_EXITED = written([(1, written([(2, written([(1, EXITED)]))]))])  # a ListContainersRequest

T = TypeVar("T")


class _Refused(RuntimeSilent):
    """The runtime answered that it does not: it is still there."""


class _Ended(NamedTuple):
    """What was said of a container that ended."""

    evidence: Optional[Evidence]  # None: no OOM kill
    settled: bool  # it will not be said differently


class Cri:
    """A Runtime (runtimes.py)."""

    def __init__(self, path: str, node: str, clock: Callable[[], float] = time.time) -> None:
        """Connects. Raises RuntimeSilent. `clock`: Unix seconds."""
        self.name = ""
        self._path, self._node, self._clock = path, node, clock
        self._connection: Optional[http2.Connection] = None
        self._package = PACKAGES[0]
        self._named: Dict[str, Named] = {}
        self._ended: Dict[str, _Ended] = {}
        self._connected(time.monotonic() + SECONDS)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def names(self) -> Mapping[str, Named]:
        """What a container is called does not change: only those that are new are read whole."""
        sandboxes = _read(self._rows(SANDBOXES), _sandbox, self._named)
        containers = _read(self._rows(CONTAINERS), lambda raw: _container(raw, sandboxes), self._named)
        self._named = {**sandboxes, **containers}
        return dict(self._named)

    def stats(self) -> Mapping[str, RuntimeStats]:
        found: Dict[str, RuntimeStats] = {}
        for raw in self._rows(STATS):
            try:
                container, stats = _stats(raw)
            except BadMessage:
                continue
            if is_id(container) and stats.figures:  # containerd lists those that ended as well
                found[container] = stats
        return found

    def ended(self) -> List[Evidence]:
        listed = _read(self._rows(CONTAINERS, _OF_STATE_EXITED), lambda _: True, {})
        self._ended = {container: said for container, said in self._ended.items() if container in listed}
        asked = [one for one in listed if one not in self._ended or not self._ended[one].settled]
        for container in asked[:MOST_ASKED]:
            try:
                raw = self._call(STATUS, written([(1, container)]))
                self._ended[container] = self._status(container, Message(raw).message(1))
            except (_Refused, BadMessage):  # it was removed since it was listed; or this one answer is broken
                self._ended.pop(container, None)
        found = [said.evidence for said in self._ended.values() if said.evidence is not None]
        return sorted(found, key=lambda evidence: (evidence.at, evidence.container_id))

    def _status(self, container: str, status: Message) -> _Ended:
        """Of a ContainerStatus."""
        started, finished = _seconds(status.signed(5)), _seconds(status.signed(6))
        if status.signed(3) != EXITED or finished is None:
            return _Ended(None, False)
        if status.text(10) != OOM_KILLED:
            return _Ended(None, self._clock() - finished > SETTLED_SECONDS)
        named = self._named.get(container)
        if named is None:
            named = _labelled(status.texts(12), status.message(2).text(1))
        evidence = Evidence(
            witness=CRI,
            node=self._node,
            at=finished,
            after=finished if started is None else min(started, finished),
            container_id=container,
            pod_uid=named.pod_uid,
            elsewhere=bool(named.handler),
            namespace=named.namespace,
            pod=named.pod,
            container=named.container,
            container_ended=True if status.signed(7) == KILLED else None,
        )
        return _Ended(evidence, True)

    def _rows(self, method: str, request: bytes = b"") -> List[bytes]:
        """The entries of a list, unread."""
        try:
            return Message(self._call(method, request)).messages(1)
        except BadMessage as error:
            raise RuntimeSilent(f"the runtime at {self._path} answered {method} with {error}") from None

    def _call(self, method: str, request: bytes) -> bytes:
        """A connection that ended since the last call is made anew, once."""
        if method not in CALLS:
            raise ValueError(f"{method} is not among the calls that only read")
        deadline = time.monotonic() + SECONDS
        for again in (True, False):
            kept = self._connection is not None and not self._connection.is_spent
            connection = self._connected(deadline)
            try:
                return self._asked(connection, method, request, deadline)
            except http2.Lost as lost:
                self.close()
                if not (again and kept and lost.unheard):
                    raise self._silent(method, lost) from lost
        raise AssertionError("the second time raises or returns")

    def _connected(self, deadline: float) -> http2.Connection:
        """The connection; a new one begins with the question what is there, which may have changed."""
        if self._connection is not None and not self._connection.is_spent:
            return self._connection
        self.close()
        connection = self._connection = http2.Connection(connect(self._path, deadline))
        for package in PACKAGES:
            self._package = package
            try:
                version = Message(self._asked(connection, VERSION, b"", deadline))
            except _Refused:
                continue
            except http2.Lost as lost:
                self.close()
                raise self._silent(VERSION, lost) from lost
            except BadMessage as error:
                self.close()
                raise RuntimeSilent(f"the runtime at {self._path} answered {VERSION} with {error}") from None
            self.name = f"{version.text(2)} {version.text(3)}".strip()
            return connection
        self.close()
        raise RuntimeSilent(f"what listens at {self._path} knows neither {' nor '.join(PACKAGES)}")

    def _asked(self, connection: http2.Connection, method: str, request: bytes, deadline: float) -> bytes:
        """Raises http2.Lost, which may be worth another connection; else RuntimeSilent."""
        try:
            return connection.unary(f"/{self._package}.RuntimeService/{method}", request, deadline)
        except http2.Refused as refused:
            raise _Refused(str(self._silent(method, refused))) from refused
        except http2.Broken as broken:
            self.close()
            raise self._silent(method, broken) from broken
        except http2.Late as late:
            self.close()
            raise RuntimeLate(str(self._silent(method, late))) from late

    def _silent(self, method: str, error: http2.Http2Error) -> RuntimeSilent:
        return RuntimeSilent(f"the runtime at {self._path} did not answer {method}: {error}")


def _read(rows: Iterable[bytes], read: Callable[[bytes], T], known: Mapping[str, T]) -> Dict[str, T]:
    """Rows that begin with an id, by that id; `read` only where it is not known."""
    found: Dict[str, T] = {}
    for raw in rows:
        try:
            name = first_text(raw, 1)
            if is_id(name):
                found[name] = known[name] if name in known else read(raw)
        except BadMessage:
            continue
    return found


def _sandbox(raw: bytes) -> Named:
    """Of a PodSandbox."""
    sandbox = Message(raw)
    metadata = sandbox.message(2)
    handler = "" if sandbox.text(7) in _USUAL else sandbox.text(7)
    return Named(metadata.text(3), metadata.text(1), "", metadata.text(2), sandbox=True, handler=handler)


def _container(raw: bytes, sandboxes: Mapping[str, Named]) -> Named:
    """Of a Container: its pod is that of its sandbox; where that is gone, its labels say whose it was."""
    container = Message(raw)
    image = container.message(4)
    pod = sandboxes.get(container.text(2))
    name = container.message(3).text(1)
    named = _labelled(container.texts(8), name) if pod is None else pod._replace(container=name, sandbox=False)
    return named._replace(image=image.text(18) or image.text(1) or container.text(5))


def _labelled(labels: Mapping[str, str], name: str) -> Named:
    """By the labels that a kubelet gives."""
    namespace, pod, uid = (labels.get(_POD + what, "") for what in ("namespace", "name", "uid"))
    return Named(namespace, pod, name, uid)


def _stats(raw: bytes) -> Tuple[str, RuntimeStats]:
    """Of a ContainerStats: the container's id with it. By its fields: each turn reads one of each container."""
    container, cpu_at, memory_at = "", None, None
    told: Dict[str, int] = {}
    for number, value in fields(raw):
        if isinstance(value, int):
            continue
        if number == 1:
            container = first_text(value, 1)
        elif number == 2:
            cpu_at = _usage(value, _CPU, told)
        elif number == 3:
            memory_at = _usage(value, _MEMORY, told)
    return container, RuntimeStats(told, cpu_at, memory_at)


def _usage(raw: bytes, names: Mapping[int, str], into: Dict[str, int]) -> Optional[float]:
    """Of a CpuUsage or MemoryUsage: the figures into `into`, and the moment that they are of."""
    at = None
    for number, value in fields(raw):
        if isinstance(value, int):
            at = _seconds(value) if number == 1 else at
        elif number in names:  # a UInt64Value: where it is there and empty, 0 was told
            into[names[number]] = next((one for of, one in fields(value) if of == 1 and isinstance(one, int)), 0)
    return at


def _seconds(nanoseconds: Optional[int]) -> Optional[float]:
    """Unix seconds; None where it is not set, or no time."""
    return nanoseconds / 1e9 if nanoseconds is not None and 0 < nanoseconds < 2**63 else None
