"""What one cgroup has used at the moment of its sample: the numbers behind every page. Pure."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from .kubelet_loads import CPU, LOGS, Amounts, Pressure, Spot
from .kubelet_nodes import GIB, NodeSeen, PodSeen

SYSTEM_DISK = 20 * GIB  # bytes of a node's filesystem that are no pod's
INODE = 16 * 1024  # bytes of disk a inode, as mkfs.ext4 makes them
PIECE = 256 * 1024  # bytes of a file, on average: what becomes inodes in use


class Used(NamedTuple):
    """One cgroup. counts: as the counters of kubelet_loads; stamp: milliseconds by the node's clock."""

    stamp: int
    counts: Sequence[float]
    memory: Amounts
    processes: int
    threads: int
    rootfs: int  # bytes of writable layers
    rate: float  # millicores at the moment
    pressure: Pressure  # at the moment: of several, the worst

    @property
    def cpu(self) -> int:
        """Nanoseconds."""
        return round(self.counts[CPU])

    @property
    def logs(self) -> int:
        """Bytes."""
        return int(self.counts[LOGS])


def of_container(seen: NodeSeen, spot: Spot) -> Used:
    """A container since its start."""
    return _one(seen.node.stamp(spot.moment), spot.counts(), spot)


def of_pod(seen: NodeSeen, pod: PodSeen) -> Used:
    """A pod since its start, over its containers' restarts."""
    return _sum(seen.node.stamp(pod.moment), [spot.wholes() for spot in pod.spots], pod.spots)


def of_system(seen: NodeSeen) -> Used:
    """What runs on the node and is no pod."""
    spot = seen.spots[-1]
    return _sum(seen.node.stamp(seen.moment), [spot.wholes()], [spot])


def of_pods(seen: NodeSeen) -> Used:
    """All pods together, those that have ended with what they used."""
    spots = seen.spots[:-1]
    return _sum(seen.node.stamp(seen.moment), [list(seen.past), *(spot.wholes() for spot in spots)], spots)


def of_node(seen: NodeSeen) -> Used:
    """The root cgroup."""
    spots = seen.spots
    return _sum(seen.node.stamp(seen.moment), [list(seen.past), *(spot.wholes() for spot in spots)], spots)


class Disk(NamedTuple):
    """A filesystem: bytes and inodes."""

    capacity: int
    used: int
    inodes: int
    inodes_used: int

    @property
    def available(self) -> int:
        return self.capacity - self.used

    @property
    def inodes_free(self) -> int:
        return self.inodes - self.inodes_used


def disk(seen: NodeSeen, node: Used) -> Disk:
    """The node's one filesystem, where pods' layers and logs are too."""
    used = min(seen.node.disk, SYSTEM_DISK + node.rootfs + node.logs)
    return Disk(seen.node.disk, used, seen.node.disk // INODE, used // PIECE)


def _one(stamp: int, counts: Sequence[float], spot: Spot) -> Used:
    load = spot.epoch.load
    sizes = load.processes, load.threads, int(load.rootfs)
    return Used(stamp, counts, spot.amounts(), *sizes, spot.rate, load.pressure)


def _sum(stamp: int, counts: List[List[float]], spots: Sequence[Spot]) -> Used:
    if len(spots) == len(counts) == 1:
        return _one(stamp, counts[0], spots[0])
    amounts = [spot.amounts() for spot in spots]
    loads = [spot.epoch.load for spot in spots]
    return Used(
        stamp,
        list(map(sum, zip(*counts))),
        Amounts(*map(sum, zip(*amounts))) if amounts else Amounts(0, 0, 0, 0, 0),
        sum(load.processes for load in loads),
        sum(load.threads for load in loads),
        int(sum(load.rootfs for load in loads)),
        sum(spot.rate for spot in spots),
        Pressure(*map(max, zip(*(load.pressure for load in loads)))) if loads else Pressure(),
    )
