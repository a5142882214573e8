"""Figures that no container of this node has: which, why, and what turns them on."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from krm.agent.cgroupfs.hierarchy import HYBRID, V1, V2, Hierarchy, Unreadable
from krm.agent.seen import CONTAINER, Cgroup, Missing


class _Group(NamedTuple):
    """Figures that are there or not together."""

    what: str
    figure: str  # one of them
    v1: Tuple[str, str]  # controller and file of version 1
    v2: Tuple[str, str]
    why: str  # on version 1: why this kernel keeps none
    why_v2: str


_GROUPS = (
    _Group(
        "CPU of containers", "cpu_usage_ns", ("cpuacct", "cpuacct.usage"), ("cpu", "cpu.stat"),
        "the controller cpuacct is not mounted: mount the host's /sys/fs/cgroup with all that lies below it",
        "no cgroup has cpu.stat: mount the host's /sys/fs/cgroup",
    ),
    _Group(
        "throttling of containers", "cpu_periods", ("cpu", "cpu.stat"), ("cpu", "cpu.stat"),
        "this kernel has no CPU quotas (CONFIG_CFS_BANDWIDTH), or the controller cpu is not mounted",
        "the controller cpu is not enabled for them (cgroup.subtree_control), or this kernel has no CPU quotas",
    ),
    _Group(
        "memory of containers", "memory_usage", ("memory", "memory.usage_in_bytes"), ("memory", "memory.current"),
        "the controller memory is off: boot with cgroup_enable=memory",
        "the controller memory is not enabled for them (cgroup.subtree_control), or is off: boot with"
        " cgroup_enable=memory",
    ),
    _Group(
        "swap of containers", "swap_usage", ("memory", "memory.stat"), ("memory", "memory.swap.current"),
        "swap is not accounted: boot with swapaccount=1", "swap is not accounted: boot with swapaccount=1",
    ),
    _Group(
        "OOM kills by cgroup", "oom_kills", ("memory", "memory.oom_control"), ("memory", "memory.events"),
        "this kernel counts none; Linux 4.13 and later do", "the controller memory is not enabled for them",
    ),
    _Group(
        "PIDs of containers", "pids", ("pids", "pids.current"), ("pids", "pids.current"),
        "the controller pids is not mounted",
        "the controller pids is not enabled for them (cgroup.subtree_control)",
    ),
    _Group(
        "I/O of containers", "io_read_bytes",
        ("blkio", "blkio.throttle.io_service_bytes_recursive"), ("io", "io.stat"),
        "the controller blkio is not mounted",
        "none did any yet, or the controller io is not enabled for them (cgroup.subtree_control)",
    ),
    _Group(
        "pressure of containers", "memory_waiting_us", ("", "memory.pressure"), ("", "memory.pressure"),
        "cgroups of version 1 keep none", "this kernel keeps none: CONFIG_PSI is off, or it booted without psi=1",
    ),
)  # fmt: skip
_HYBRID_PRESSURE = (
    "cgroups of version 1 keep none, and in the tree of version 2 beside them containers have no cgroup"
)


def lacking(hierarchy: Hierarchy, cgroups: Sequence[Cgroup]) -> Tuple[Missing, ...]:
    """Of `cgroups` the containers are looked at. Where a file is there and cannot be read, that is why."""
    containers = [cgroup for cgroup in cgroups if cgroup.place.level == CONTAINER]
    found: List[Missing] = []
    for group in _GROUPS if containers else ():
        if not any(group.figure in cgroup.figures for cgroup in containers):
            found.append(Missing(group.what, _why(hierarchy, group, containers[0].place.path)))
    return tuple(found)


def _why(hierarchy: Hierarchy, group: _Group, path: str) -> str:
    controller, name = group.v2 if hierarchy.version == V2 else group.v1
    try:
        hierarchy.read(controller, path, name)
    except Unreadable as error:
        return f"it cannot be read: {error}"
    except FileNotFoundError:
        pass
    if hierarchy.version == HYBRID and group.figure == "memory_waiting_us":
        return _HYBRID_PRESSURE
    return group.why if hierarchy.version in (V1, HYBRID) else group.why_v2
