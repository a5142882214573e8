"""A kubelet's /stats/summary: filesystems, ephemeral storage, network, memory by kind, page faults, PIDs.

Its times are whole seconds, and each section has its own. Some kubelets answer 500 (they cannot find the device of
a filesystem): then what only this page has is unknown. Right: get on nodes/stats.

Left out: a pod's process_count, which counts no threads, unlike pids/usage; volumes; pressure, which
/metrics/cadvisor has with times to the millisecond.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Tuple

from krm.cluster.endpoints import TIMEOUT, Endpoints
from krm.collector.source import NoData, Target
from krm.collector.sources.asking import body_of, decoded
from krm.collector.sources.moments import AHEAD, Part, Traffic, joined, traffic_of, uid_of
from krm.model import times
from krm.model.measures import Sample, Subject
from krm.model.reading import mapping, rows, text

NAME = "kubelet/summary"
PATH = "/stats/summary"
MOST = 32 * 1024 * 1024  # bytes: 250 pods of two containers have about 2 MiB
MAX_PARTS = 20_000  # pods, containers, filesystems and interfaces; a node of 500 pods has under 5,000

_MEMORY = {
    "usageBytes": "memory/usage",
    "workingSetBytes": "memory/working_set",
    "rssBytes": "memory/rss",
    "pageFaults": "memory/page_faults",
    "majorPageFaults": "memory/major_page_faults",
}
_SECTIONS: Tuple[Tuple[str, Dict[str, str]], ...] = (
    ("cpu", {"usageCoreNanoSeconds": "cpu/usage"}),
    ("memory", _MEMORY),
    ("swap", {"swapUsageBytes": "swap/usage"}),
    ("rlimit", {"curproc": "pids/usage", "maxpid": "pids/limit"}),
)
_NETWORK = {
    "rxBytes": "network/rx",
    "rxErrors": "network/rx_errors",
    "txBytes": "network/tx",
    "txErrors": "network/tx_errors",
}
_DISK = {
    "usedBytes": "filesystem/usage",
    "capacityBytes": "filesystem/limit",
    "availableBytes": "filesystem/available",
    "inodes": "filesystem/inodes",
    "inodesFree": "filesystem/inodes_free",
}
# Filesystems by the names that Heapster gave them.
_OF_CONTAINER = (("rootfs", "/"), ("logs", "logs"))
_OF_RUNTIME = (("imageFs", "imagefs"), ("containerFs", "containerfs"))


class Summary:
    """The source."""

    name = NAME

    def __init__(self, door: Endpoints, timeout: float = TIMEOUT) -> None:
        self._door, self._timeout = door, timeout

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """Samples of the node, its pods and containers, and their filesystems. Raises NoData."""
        return samples_of(body_of(self._door, target, PATH, MOST, self._timeout, gzip=True), target, now)


def samples_of(raw: bytes, target: Target, now: float) -> List[Sample]:
    """The samples of one page. Raises NoData where it has none."""
    page = mapping(decoded(raw))
    reader = _Reader(target, now)
    samples: List[Sample] = []
    samples += reader.of_node(mapping(page.get("node")))
    for pod in rows(page.get("pods")):
        samples += reader.of_pod(pod)
    if not samples:
        raise NoData(f"{target.name}: {PATH} has no numbers of a kubelet: is it a kubelet's address?")
    return samples


class _Reader:
    """One page."""

    def __init__(self, target: Target, now: float) -> None:
        self._target, self._latest = target, now + AHEAD
        self._times: Dict[str, float] = {}  # few texts stand again and again
        self._parts = 0

    def of_node(self, node: Dict[str, Any]) -> Iterator[Sample]:
        subject = Subject(node=self._target.node)
        yield from self._used(subject, node)
        yield from self._disk(subject, node, "fs", "/")
        for name, resource_id in _OF_RUNTIME:
            yield from self._disk(subject, mapping(node.get("runtime")), name, resource_id)

    def of_pod(self, pod: Dict[str, Any]) -> Iterator[Sample]:
        ref = mapping(pod.get("podRef"))
        namespace, name = text(ref.get("namespace")), text(ref.get("name"))
        if not (namespace and name):
            return
        subject = Subject(namespace, name, uid_of(text(ref.get("uid"))), "", self._target.node)
        yield from self._used(subject, pod)
        for container in rows(pod.get("containers")):
            called = text(container.get("name"))
            if called:
                inner = subject._replace(container=called)
                yield from self._used(inner, container)
                for section, resource_id in _OF_CONTAINER:
                    yield from self._disk(inner, container, section, resource_id)

    def _used(self, subject: Subject, found: Dict[str, Any]) -> List[Sample]:
        self._count()
        parts: List[Part] = []
        for section, names in _SECTIONS:
            inner = mapping(found.get(section))
            at = self._at(inner)
            if at is not None:
                parts.append((at, _values(inner, names)))
        network = mapping(found.get("network"))
        at = self._at(network)
        if at is not None:
            parts.append((at, self._traffic(network, subject)))
        storage = mapping(found.get("ephemeral-storage"))
        at = self._at(storage)
        if at is not None:
            parts.append((at, _values(storage, {"usedBytes": "ephemeral_storage/usage"})))
        started = self._time(found.get("startTime"))
        return joined(subject, parts, NAME, started)

    def _traffic(self, network: Dict[str, Any], subject: Subject) -> Traffic:
        interfaces: Dict[str, Traffic] = {}
        for interface in rows(network.get("interfaces")):
            self._count()
            interfaces[str(interface.get("name"))] = _values(interface, _NETWORK)
        default = _values(network, _NETWORK)
        if default and (not interfaces or not subject.pod):
            return default  # of a node, what its kubelet takes for the way out
        return traffic_of(interfaces, not subject.pod)

    def _disk(self, subject: Subject, found: Dict[str, Any], section: str, resource_id: str) -> List[Sample]:
        self._count()
        disk = mapping(found.get(section))
        at = self._at(disk)
        part = [] if at is None else [(at, _values(disk, _DISK))]
        return joined(subject._replace(resource_id=resource_id), part, NAME)

    def _at(self, section: Dict[str, Any]) -> Optional[float]:
        """The section's own time; None where it has none that can be used, and so is unknown."""
        return self._time(section.get("time")) if section else None

    def _time(self, written: Any) -> Optional[float]:
        if not isinstance(written, str):
            return None
        at = self._times.get(written)
        if at is None:
            found = times.known(written)
            at = self._times[written] = found if found is not None and 0.0 < found < self._latest else 0.0
        return at or None

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NoData(f"{self._target.name}: {PATH} has more than {MAX_PARTS} parts: it was not read")


def _values(section: Dict[str, Any], names: Dict[str, str]) -> Dict[str, float]:
    """What of `names` is there as a number that can be."""
    found: Dict[str, float] = {}
    for name, metric in names.items():
        value = section.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**64:
            found[metric] = value
    return found
