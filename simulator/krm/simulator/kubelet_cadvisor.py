"""/metrics/cadvisor of a simulated kubelet: a page of every cgroup, as 1.36 with containerd writes it. Pure.

Cgroups: the root, all pods, the burstable class (all pods too: no pod here is of another), and of each pod its
own, its sandbox's, and its containers'. As on a real node network is the sandbox's and the root's alone, the
filesystem the root's, and a container that restarts has another id, so other series.
"""

from __future__ import annotations

import hashlib
from typing import List, Optional, Sequence, Tuple

from . import kubelet_cadvisor_table as table
from .kubelet_cadvisor_table import INDEX, Metric
from .kubelet_forms import Family, Form, Labels, Row, amount, exposition, labels, number
from .kubelet_loads import (
    COUNTERS,
    FAULTS,
    MAJOR,
    OOM,
    PERIOD,
    PRESSURES,
    READS,
    RX,
    RX_ERRORS,
    SYSTEM,
    THROTTLED,
    THROTTLED_TIME,
    TX,
    TX_ERRORS,
    WRITES,
    Amounts,
    Pressure,
    Spot,
)  # fmt: skip
from .kubelet_nodes import Container, NodeSeen, Pod, PodSeen
from .kubelet_used import Disk, Used, disk, of_container, of_node, of_pod, of_pods

PAUSE = "registry.k8s.io/pause:3.10.1"
BLOCK = 4096.0  # bytes of one read or write
PACKET = 1000.0  # bytes
_NOTHING = Used(0, [0.0] * COUNTERS, Amounts(245760, 40960, 0, 245760, 0), 1, 1, 0, 0.0, Pressure())  # pause's
_VERSION = Family(
    "cadvisor_version_info",
    "gauge",
    "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & "
    "cadvisor revision.",
)


def cadvisor_form(seen: NodeSeen) -> Form:
    """The page with gaps, for all looks of the same shape."""
    node, rows, size = seen.node, _heads(seen), len(table.FIELDS)
    common = table.ALWAYS + table.DISK + table.PRESSURE
    of_root = common + table.NETWORK + table.FILESYSTEM + table.spec(0, node.memory, 1024)
    rows += _rows(_cgroup("/"), of_root, 0)
    for offset, name in enumerate(_groups(seen.node.systemd)):
        rows += _rows(_cgroup(name), common + table.spec(0, 0, 1024), (offset + 1) * size)
    index = 3 * size
    for pod in seen.pods:
        path, quota, memory = _path(pod.pod, node.systemd), _quota(pod), _memory(pod)
        limited = (table.QUOTA if quota else []) + table.spec(quota, memory, 102)
        rows += _rows(_cgroup(path, pod.pod), common + limited, index)
        sandbox = digest(pod.pod.uid, "sandbox")
        metrics = common + table.NETWORK + table.PROCESS + table.spec(0, 0, 2)
        inside = _cgroup(_inside(path, sandbox, node.systemd), pod.pod, name=sandbox, image=PAUSE)
        rows += _rows(inside, metrics, index + size)
        index += 2 * size
        for container, spot in pod.containers:
            rows += _container_rows(path, pod.pod, container, spot, node.systemd, common, index)
            index += size
    return Form(exposition(rows))


def cadvisor_values(seen: NodeSeen) -> List[str]:
    """What fills the gaps: the numbers of each cgroup in turn."""
    stamp, node, pods = seen.node.stamp, of_node(seen), of_pods(seen)
    booted = stamp(seen.node.start)
    values = _values(node, booted, node.counts, disk(seen, node))
    values += _values(pods, booted) * 2
    for pod in seen.pods:
        used, started = of_pod(seen, pod), stamp(pod.pod.start)
        values += _values(used, started)
        values += _sandbox_values(used, started)
        for _, spot in pod.containers:
            values += _values(of_container(seen, spot), stamp(spot.epoch.started))
    return values


def digest(*parts: object) -> str:
    """An id as a runtime gives them, always the same for the same parts."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def _container_rows(
    path: str, pod: Pod, container: Container, spot: Spot, systemd: bool, common: List[Metric], index: int
) -> List[Row]:
    found = digest(pod.uid, container.name, spot.epoch.run)
    named = _cgroup(_inside(path, found, systemd), pod, container.name, found, container.image)
    quota = table.QUOTA if container.cpu_limit else []
    limits = table.spec(container.cpu_limit, container.memory_limit, 102)
    return _rows(named, common + table.PROCESS + quota + limits, index)


def _heads(seen: NodeSeen) -> List[Row]:
    """What is about no cgroup."""
    node = seen.node
    version = labels(
        kernelVersion="6.8.0-60-generic", osVersion="paper", dockerVersion="", cadvisorVersion="",
        cadvisorRevision="",
    )  # fmt: skip
    ids = labels(machine_id=node.name, system_uuid=node.name, boot_id=node.name)
    errors = "1 if there was an error while getting %s metrics, 0 otherwise"
    return [
        Row(_VERSION, version, "1"),
        Row(Family("container_scrape_error", "gauge", errors % "container"), (), "0"),
        Row(Family("machine_scrape_error", "gauge", errors % "machine" + "."), (), "0"),
        *(Row(family, ids, value) for family, value in table.machine(node.cores, node.memory)),
    ]


def _rows(named: Labels, metrics: Sequence[Metric], index: int) -> List[Row]:
    """index: where the cgroup's numbers begin."""
    found: List[Row] = []
    for family, value, extra, stamped in metrics:
        where = tuple(sorted(named + extra)) if extra else named
        stamp = index + INDEX["stamp"] if stamped else -1
        found.append(Row(family, where, index + INDEX[value] if value in INDEX else value, stamp))
    return found


def _cgroup(path: str, pod: Optional[Pod] = None, container: str = "", name: str = "", image: str = "") -> Labels:
    where = (pod.namespace, pod.name) if pod else ("", "")
    return labels(container=container, id=path, image=image, name=name, namespace=where[0], pod=where[1])


def _groups(systemd: bool) -> Tuple[str, str]:
    if systemd:
        return "/kubepods.slice", "/kubepods.slice/kubepods-burstable.slice"
    return "/kubepods", "/kubepods/burstable"


def _path(pod: Pod, systemd: bool) -> str:
    group = _groups(systemd)[1]
    if systemd:
        return "%s/kubepods-burstable-pod%s.slice" % (group, pod.uid.replace("-", "_"))
    return "%s/pod%s" % (group, pod.uid)


def _inside(path: str, found: str, systemd: bool) -> str:
    return "%s/cri-containerd-%s.scope" % (path, found) if systemd else "%s/%s" % (path, found)


def _quota(pod: PodSeen) -> float:
    """A pod has a limit where each of its containers has."""
    limits = [container.cpu_limit for container in pod.pod.containers]
    return sum(limits) if all(limits) else 0


def _memory(pod: PodSeen) -> int:
    limits = [container.memory_limit for container in pod.pod.containers]
    return sum(limits) if all(limits) else 0


def _values(
    used: Used, started: int, network: Optional[Sequence[float]] = None, filesystem: Optional[Disk] = None
) -> List[str]:
    """The numbers of a cgroup, in the order of the table's fields. network: the counters that have it."""
    counts, memory = used.counts, used.memory
    system = round(counts[SYSTEM])
    found = [
        str(used.stamp),
        number(used.cpu / 1e9), number((used.cpu - system) / 1e9), number(system / 1e9),
        _whole(counts[PERIOD]), _whole(counts[THROTTLED]), _parts(counts[THROTTLED_TIME], 1e9),
        _whole(counts[FAULTS]), _whole(counts[MAJOR]),
        _whole(counts[READS]), _whole(counts[READS] / BLOCK),
        _whole(counts[WRITES]), _whole(counts[WRITES] / BLOCK),
        _whole(counts[OOM]),
        *(_parts(counts[each], 1e6) for each in PRESSURES),
        amount(memory.cache), amount(memory.rss), amount(memory.swap), amount(memory.usage),
        amount(memory.memory), amount(max(0, memory.cache - memory.inactive)), amount(memory.inactive),
        _start(started), number(used.stamp // 1000),
        amount(used.processes), amount(used.threads),
    ]  # fmt: skip
    found += _NO_NETWORK if network is None else _network(network)
    if filesystem is None:
        return found + _NO_DISK
    sizes = (filesystem.capacity, filesystem.used, filesystem.inodes, filesystem.inodes_free)
    return found + [number(size) for size in sizes]


def _sandbox_values(pod: Used, started: int) -> List[str]:
    """The pause container does nothing, but the pod's network is its."""
    found = _PAUSED[:]
    found[INDEX["stamp"]], found[INDEX["now"]] = str(pod.stamp), number(pod.stamp // 1000)
    found[INDEX["start"]] = _start(started)
    found[INDEX["rx"] : INDEX["tx_errors"] + 1] = _network(pod.counts)
    return found


def _network(counts: Sequence[float]) -> List[str]:
    found: List[str] = []
    for volume, errors in ((RX, RX_ERRORS), (TX, TX_ERRORS)):
        found += (_whole(counts[volume]), _whole(counts[volume] / PACKET), _whole(counts[errors]))
    return found


def _start(moment: int) -> str:
    """In whole seconds, as cAdvisor cuts it."""
    return amount(float(moment // 1000))


_NO_NETWORK = ["0"] * 6
_NO_DISK = ["0"] * 4


def _whole(value: float) -> str:
    return number(int(value)) if value else "0"


def _parts(value: float, grain: float) -> str:
    """Seconds to the grain that the kernel counts in."""
    return number(round(value * grain) / grain) if value else "0"


_PAUSED = _values(_NOTHING, 0)
