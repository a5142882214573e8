"""/stats/summary of a simulated kubelet: the whole of stats.k8s.io v1alpha1, as 1.36 with containerd has it. Pure.

Two things that its documentation hides and a real one does: times are cut to whole seconds, and pressure totals
are microseconds (they are called nanoseconds, and passed on as the kernel counts them).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import List, Sequence, Tuple

from .kubelet_forms import Form, gap
from .kubelet_loads import FAULTS, MAJOR, PRESSURES, RX, RX_ERRORS, TX, TX_ERRORS, Spot
from .kubelet_nodes import Container, NodeSeen, PodSeen, Volume
from .kubelet_used import INODE, PIECE, Disk, Used, disk, of_container, of_node, of_pod, of_pods, of_system
from .wire import Object, time_text

MAX_PID = 4194304
_PRESSURES = ("cpu_some", "cpu_full", "memory_some", "memory_full", "io_some", "io_full")
# The numbers of each subject, in order.
FIELDS = (
    "time", "start", "rate", "cpu", "available", "usage", "working_set", "rss", "faults", "major",
    *_PRESSURES, *(name + "_avg" for name in _PRESSURES),
    "swap", "rx", "rx_errors", "tx", "tx_errors", "processes",
    "rootfs", "rootfs_inodes", "logs", "logs_inodes", "ephemeral", "ephemeral_inodes",
)  # fmt: skip
INDEX = {name: index for index, name in enumerate(FIELDS)}
SIZE = len(FIELDS)
_DISK = 4  # numbers of the node's disk, before all others
_QUOTED_GAP = re.compile(r'"\\u0000([0-9]+)\\u0000"')


def summary_form(seen: NodeSeen) -> Form:
    """The page with gaps, for all looks of the same shape."""
    node, index = seen.node, _DISK + 3 * SIZE
    pods: List[Object] = []
    for pod in seen.pods:
        pods.append(_pod(seen, pod, index))
        index += SIZE * (1 + len(pod.containers))
    at = _DISK
    whole: Object = {
        "nodeName": node.name,
        "systemContainers": [
            _system("kubelet", _DISK + SIZE, limited=False),
            _system("pods", _DISK + 2 * SIZE, limited=True),
        ],
        "startTime": _of(at, "start"),
        **_usage(at, limited=True),
        "network": _network(at),
        "fs": _filesystem(seen, at, gap(1), gap(3)),
        "runtime": {
            name: _filesystem(seen, at, _of(at, "rootfs"), _of(at, "rootfs_inodes"))
            for name in ("imageFs", "containerFs")
        },
        "rlimit": {"time": _of(at, "time"), "maxpid": MAX_PID, "curproc": _of(at, "processes")},
        "swap": _swap(at),
    }
    return Form(
        _QUOTED_GAP.sub(lambda found: gap(int(found.group(1))), json.dumps({"node": whole, "pods": pods}, indent=1))
    )


def summary_values(seen: NodeSeen) -> List[str]:
    """What fills the gaps."""
    node, whole = seen.node, of_node(seen)
    space = disk(seen, whole)
    values = [str(each) for each in (space.available, space.used, space.inodes_free, space.inodes_used)]
    values += _values(whole, node.stamp(node.start), node.memory)
    values += _values(of_system(seen), node.stamp(node.start), 0)
    values += _values(of_pods(seen), node.stamp(node.start), node.memory)
    for pod in seen.pods:
        values += _pod_values(seen, pod)
    return values


def _pod(seen: NodeSeen, pod: PodSeen, at: int) -> Object:
    who = pod.pod
    inside = [
        _container(seen, container, at + SIZE * (1 + index)) for index, (container, _) in enumerate(pod.containers)
    ]
    found: Object = {
        "podRef": {"name": who.name, "namespace": who.namespace, "uid": who.uid},
        "startTime": _of(at, "start"),
        "containers": inside,
        **_usage(at, limited=bool(_limit(pod))),
        "network": _network(at),
    }
    if who.volumes:
        found["volume"] = [_volume(at, volume, who.namespace) for volume in who.volumes]
    found["ephemeral-storage"] = _filesystem(seen, at, _of(at, "ephemeral"), _of(at, "ephemeral_inodes"))
    found["process_stats"] = {"process_count": _of(at, "processes")}
    found["swap"] = _swap(at, limited=False)
    return found


def _container(seen: NodeSeen, container: Container, at: int) -> Object:
    found: Object = {"name": container.name, "startTime": _of(at, "start")}
    found.update(_usage(at, limited=bool(container.memory_limit)))
    found["rootfs"] = _filesystem(seen, at, _of(at, "rootfs"), _of(at, "rootfs_inodes"))
    found["logs"] = _filesystem(seen, at, _of(at, "logs"), _of(at, "logs_inodes"))
    found["swap"] = _swap(at)
    return found


def _system(name: str, at: int, limited: bool) -> Object:
    swap = _swap(at, limited=False)
    return {"name": name, "startTime": _of(at, "start"), **_usage(at, limited), "swap": swap}


def _usage(at: int, limited: bool) -> Object:
    """limited: whether there is a limit of memory, of which some is left."""
    time = _of(at, "time")
    available = {"availableBytes": _of(at, "available")} if limited else {}
    return {
        "cpu": {
            "time": time,
            "usageNanoCores": _of(at, "rate"),
            "usageCoreNanoSeconds": _of(at, "cpu"),
            "psi": _pressure(at, "cpu"),
        },
        "memory": {
            "time": time,
            **available,
            "usageBytes": _of(at, "usage"),
            "workingSetBytes": _of(at, "working_set"),
            "rssBytes": _of(at, "rss"),
            "pageFaults": _of(at, "faults"),
            "majorPageFaults": _of(at, "major"),
            "psi": _pressure(at, "memory"),
        },
        "io": {"time": time, "psi": _pressure(at, "io")},
    }


def _pressure(at: int, what: str) -> Object:
    found: Object = {}
    for kind in ("full", "some"):
        name = "%s_%s" % (what, kind)
        average = _of(at, name + "_avg")
        found[kind] = {"total": _of(at, name), "avg10": average, "avg60": average, "avg300": average}
    return found


def _network(at: int) -> Object:
    counted = {
        "name": "eth0",
        "rxBytes": _of(at, "rx"),
        "rxErrors": _of(at, "rx_errors"),
        "txBytes": _of(at, "tx"),
        "txErrors": _of(at, "tx_errors"),
    }
    return {"time": _of(at, "time"), **counted, "interfaces": [dict(counted)]}


def _swap(at: int, limited: bool = True) -> Object:
    """limited: a container may have none beyond what it uses; a pod's cgroup has no limit of its own."""
    available = {"swapAvailableBytes": 0} if limited else {}
    return {"time": _of(at, "time"), **available, "swapUsageBytes": _of(at, "swap")}


def _filesystem(seen: NodeSeen, at: int, used: str, inodes: str) -> Object:
    """A part of the node's one filesystem."""
    return {
        "time": _of(at, "time"),
        "availableBytes": gap(0),
        "capacityBytes": seen.node.disk,
        "usedBytes": used,
        "inodesFree": gap(2),
        "inodes": seen.node.disk // INODE,
        "inodesUsed": inodes,
    }


def _volume(at: int, volume: Volume, namespace: str) -> Object:
    space = Disk(volume.capacity, volume.used, volume.capacity // INODE, _inodes(volume.used))
    claim = {"pvcRef": {"name": volume.claim, "namespace": namespace}} if volume.claim else {}
    return {
        "time": _of(at, "time"),
        "availableBytes": space.available,
        "capacityBytes": space.capacity,
        "usedBytes": space.used,
        "inodesFree": space.inodes_free,
        "inodes": space.inodes,
        "inodesUsed": space.inodes_used,
        "name": volume.name,
        **claim,
    }


def _pod_values(seen: NodeSeen, pod: PodSeen) -> List[str]:
    """Of the pod, then of each container."""
    node, found = seen.node, of_pod(seen, pod)
    volumes = sum(volume.used for volume in pod.pod.volumes if not volume.claim)
    values = _values(found, node.stamp(pod.pod.start), _limit(pod), volumes)
    for container, spot in pod.containers:
        values += _container_values(seen, container, spot)
    return values


def _container_values(seen: NodeSeen, container: Container, spot: Spot) -> List[str]:
    started = seen.node.stamp(spot.epoch.started)
    return _values(of_container(seen, spot), started, container.memory_limit)


def _values(used: Used, started: int, limit: int, volumes: int = 0) -> List[str]:
    """The numbers of one subject, in the order of FIELDS. limit: bytes of memory, 0 = none."""
    counts, memory, storage = used.counts, used.memory, used.rootfs + used.logs + volumes
    return [
        _time(used.stamp // 1000), _time(started // 1000),
        str(round(used.rate * 1e6)), str(used.cpu),
        str(max(0, limit - memory.memory)), str(memory.usage), str(memory.memory), str(memory.rss),
        _whole(counts[FAULTS]), _whole(counts[MAJOR]),
        *_wholes([counts[each] * 1e6 for each in PRESSURES]),
        *(_average(share) for share in used.pressure),
        str(memory.swap),
        _whole(counts[RX]), _whole(counts[RX_ERRORS]), _whole(counts[TX]), _whole(counts[TX_ERRORS]),
        str(used.processes),
        str(used.rootfs), str(_inodes(used.rootfs)), str(used.logs), "1", str(storage), str(_inodes(storage)),
    ]  # fmt: skip


def _limit(pod: PodSeen) -> int:
    """Bytes of memory; 0 where not each container has a limit."""
    limits = [container.memory_limit for container in pod.pod.containers]
    return sum(limits) if all(limits) else 0


def _of(at: int, name: str) -> str:
    return gap(at + INDEX[name])


def _inodes(size: int) -> int:
    return -(-size // PIECE)


@lru_cache(maxsize=4096)
def _time(seconds: int) -> str:
    return '"%s"' % time_text(seconds)


@lru_cache(maxsize=4096)
def _average(share: float) -> str:
    """Percent, to the two digits that the kernel writes."""
    return ("%.2f" % (share * 100.0)).rstrip("0").rstrip(".") or "0"


def _whole(value: float) -> str:
    return str(int(value))


def _wholes(values: Sequence[float]) -> Tuple[str, ...]:
    return tuple(str(round(value)) if value else "0" for value in values)
