"""Figures of the node as a whole, in the shape of a cgroup's: of the root cgroup where it has them, else of /proc.

The root cgroup of version 2 has few files, that of version 1 no limits, no PIDs and no OOM kills. What is physical
(memory, swap, disks, PIDs) comes from the mounted /proc, through psutil where psutil reads it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Container, Dict, List, NamedTuple, Optional, Tuple

from krm.agent.cgroupfs.hierarchy import V2, Hierarchy, Unreadable
from krm.agent.cgroupfs.parsing import count, keyed, pressure, working_set
from krm.agent.cgroupfs.reading import read_cgroup
from krm.agent.cgroupfs.v2 import MEMORY_STAT
from krm.agent.figures import Figures, Value
from krm.agent.seen import NODE, Missing, Place

_MOST_BYTES = 64 * 1024  # of one file. /proc/vmstat has 5 KB
_NS = 1_000_000_000
_NO_PSUTIL = Missing(
    "node figures", "memory, swap, disks and boot time of the node need psutil: pip install 'krm[agent]'"
)
# Devices over others, in memory, and of media that come and go.
_OVER_DISKS = ("dm-", "md", "loop", "ram", "zram", "bcache", "drbd", "sr", "fd")
# At the level of the node the kernel has no `full` for CPU and writes 0.
_PRESSURE = (
    ("cpu", pressure("cpu", full=False)),
    ("memory", pressure("memory")),
    ("io", pressure("io")),
)
_VMSTAT = keyed(
    {
        "oom_kill": ("oom_kills", 1),  # in all cgroups and outside of them
        "pgfault": ("memory_page_faults", 1),
        "pgmajfault": ("memory_major_page_faults", 1),
    }
)


class Node(NamedTuple):
    """What a node says of itself."""

    figures: Figures
    booted: Optional[float]  # Unix seconds
    missing: Tuple[Missing, ...]


def read_node(hierarchy: Optional[Hierarchy], procfs: Path, now: float) -> Node:
    """`hierarchy`: None where no cgroups are mounted. `procfs`: the host's /proc, wherever it is mounted. `now`:
    Unix seconds. Raises nothing that a node can do."""
    figures: Dict[str, Value] = {} if hierarchy is None else _root(hierarchy, now)
    missing: List[Missing] = []
    _of_pressure(procfs, figures, missing)
    _of_tasks(procfs, figures)
    figures.pop("oom_kills", None)  # the root's own of version 1: a 0 that says nothing of the cgroups below it
    vmstat = _read(procfs / "vmstat")
    if vmstat is not None:
        _VMSTAT(vmstat, figures)
    try:
        import psutil
    except ImportError:
        return Node(figures, None, (*missing, _NO_PSUTIL))
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(procfs)  # of the whole process: given back below
    try:
        for what, work in (("memory", _of_memory), ("swap", _of_swap), ("disks", _of_disks), ("CPU", _of_cpu)):
            try:
                work(psutil, figures)
            except Exception as error:  # noqa: BLE001 - psutil raises what its parsing meets: one part stops no other
                missing.append(Missing(what, f"{procfs} says nothing of the node's {what}: {error}"))
        return Node(figures, _booted(psutil.boot_time), tuple(missing))
    finally:
        psutil.PROCFS_PATH = before


def _root(hierarchy: Hierarchy, now: float) -> Dict[str, Value]:
    """Of the root cgroup. Limits it has none."""
    cgroup = read_cgroup(hierarchy, Place(NODE, "/"), now, limits_too=False)
    figures = {} if cgroup is None else dict(cgroup.figures)
    if hierarchy.version == V2 and "memory_usage" not in figures:
        anonymous, cache = figures.get("memory_rss"), figures.get("memory_cache")
        if isinstance(anonymous, int) and isinstance(cache, int):
            # What version 1 counts for its root, and so the kubelet on both.
            figures["memory_usage"] = anonymous + cache
            try:
                MEMORY_STAT.parse(hierarchy.read(MEMORY_STAT.controller, "/", MEMORY_STAT.name), figures)
                working_set(figures)
            except (FileNotFoundError, Unreadable):
                pass
    return figures


def _of_pressure(procfs: Path, into: Dict[str, Value], missing: List[Missing]) -> None:
    into.pop("cpu_stalled_us", None)  # of the root cgroup, the same 0
    for what, parse in _PRESSURE:
        raw = _read(procfs / "pressure" / what)
        if raw is not None:
            parse(raw, into)
    if not any(name.endswith("_waiting_us") for name in into):
        missing.append(
            Missing(
                "pressure", f"{procfs}/pressure has none: CONFIG_PSI is off, or the kernel booted without psi=1"
            )
        )


def _of_tasks(procfs: Path, into: Dict[str, Value]) -> None:
    """/proc/loadavg: `0.71 0.79 1.09 4/129 18551`: means of 1, 5 and 15 minutes, running/all threads."""
    words = (_read(procfs / "loadavg") or b"").split()
    for figure, word in zip(("load_1m", "load_5m", "load_15m"), words):
        whole, dot, hundredths = word.partition(b".")
        tasks, part = count(whole), count(hundredths)
        if dot and len(hundredths) == 2 and tasks is not None and part is not None:
            into[figure] = tasks * 1000 + part * 10
    threads = count(words[3].partition(b"/")[2]) if len(words) > 3 else None
    if threads is not None:
        into["pids"] = threads
    # As the kubelet has it: whichever ends first.
    most = [count(_read(procfs / "sys/kernel" / name) or b"") for name in ("pid_max", "threads-max")]
    known = [number for number in most if number is not None]
    if known:
        into["pids_limit"] = min(known)


def _of_memory(psutil: Any, into: Dict[str, Value]) -> None:
    memory = psutil.virtual_memory()
    into["memory_limit"] = int(memory.total)
    into["memory_available"] = int(memory.available)
    if "memory_usage" not in into:  # no cgroups, or a root that has no memory.stat
        into["memory_usage"] = int(memory.total - memory.free)


def _of_swap(psutil: Any, into: Dict[str, Value]) -> None:
    swap = psutil.swap_memory()
    into["swap_limit"], into["swap_usage"] = int(swap.total), int(swap.used)


def _of_disks(psutil: Any, into: Dict[str, Value]) -> None:
    """Of disks alone: what a device lays over them (LVM, RAID, encryption) is in theirs a second time."""
    told = psutil.disk_io_counters(perdisk=True, nowrap=False)
    disks = [one for name, one in told.items() if not name.startswith(_OVER_DISKS) and not _is_part(name, told)]
    if disks:
        into["io_read_bytes"] = sum(int(one.read_bytes) for one in disks)
        into["io_written_bytes"] = sum(int(one.write_bytes) for one in disks)
        into["io_reads"] = sum(int(one.read_count) for one in disks)
        into["io_writes"] = sum(int(one.write_count) for one in disks)


def _is_part(name: str, names: Container[str]) -> bool:
    """Whether it is a partition of another: sda1, nvme0n1p1."""
    disk = name.rstrip("0123456789")
    return disk != name and (disk in names or (disk.endswith("p") and disk[:-1] in names))


def _of_cpu(psutil: Any, into: Dict[str, Value]) -> None:
    """Where the root cgroup has none: in ticks, without what a hypervisor took."""
    if "cpu_usage_ns" in into:
        return
    times = psutil.cpu_times()
    user, system = times.user + times.nice, times.system + times.irq + times.softirq
    into["cpu_user_ns"], into["cpu_system_ns"] = round(user * _NS), round(system * _NS)
    into["cpu_usage_ns"] = round((user + system) * _NS)


def _booted(boot_time: Callable[[], float]) -> Optional[float]:
    try:
        return float(boot_time())
    except (OSError, RuntimeError, ValueError, IndexError):
        return None


def _read(path: Path) -> Optional[bytes]:
    """None: it is not there, not for us, or not kept by this kernel."""
    try:
        file = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(file, _MOST_BYTES)
    except OSError:
        return None
    finally:
        os.close(file)
