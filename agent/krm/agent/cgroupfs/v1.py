"""Cgroups of version 1: controller, file and its parser. Pure; `reading.py` reads by these rows, in their order.

Working set, rss, cache and swap are what cAdvisor, and so the kubelet, takes for them: usage less
total_inactive_file, total_rss, total_cache, total_swap.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Tuple

from krm.agent.cgroupfs.parsing import IDLE, Parse, Parsed, count, devices_v1, keyed, limit, single
from krm.agent.figures import UNLIMITED

# cpuacct.stat counts in USER_HZ, which is 100 on every Linux that Python runs on; still it is asked.
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_MEMSW = "memsw_limit"  # memory and swap together; no figure of its own


class Row(NamedTuple):
    """One file."""

    controller: str
    name: str
    parse: Parse
    # What older kernels have instead, of a cgroup without those below it: the same for a container alone.
    of_leaf: str = ""


def _swap_limit(raw: bytes, into: Parsed) -> None:
    """memory.memsw.limit_in_bytes, read after the memory limit: what of both may be swap."""
    both: Parsed = {}
    limit(_MEMSW)(raw, both)
    memory, together = into.get("memory_limit"), both.get(_MEMSW)
    if together == UNLIMITED:
        into["swap_limit"] = UNLIMITED
    elif isinstance(memory, int) and isinstance(together, int):
        into["swap_limit"] = max(0, together - memory)


def _shares(raw: bytes, into: Parsed) -> None:
    found = count(raw)
    if found:
        into["cpu_shares"] = found


USAGE: Tuple[Row, ...] = (
    # The first row is of the tree that was walked: where it is gone, the cgroup is.
    Row("memory", "memory.usage_in_bytes", single("memory_usage")),
    Row(
        "memory",
        "memory.stat",
        keyed(
            {
                "total_rss": ("memory_rss", 1),
                "total_cache": ("memory_cache", 1),
                "total_swap": ("swap_usage", 1),  # there where swap is accounted
                "total_pgfault": ("memory_page_faults", 1),
                "total_pgmajfault": ("memory_major_page_faults", 1),
                "total_inactive_file": (IDLE, 1),
            },
        ),
    ),
    Row("memory", "memory.oom_control", keyed({"oom_kill": ("oom_kills", 1)})),  # since Linux 4.13
    Row("memory", "memory.failcnt", single("memory_limit_hits")),
    Row("cpuacct", "cpuacct.usage", single("cpu_usage_ns")),
    Row(
        "cpuacct",
        "cpuacct.stat",
        keyed({"user": ("cpu_user_ns", _TICK_NS), "system": ("cpu_system_ns", _TICK_NS)}),
    ),
    Row(
        "cpu",
        "cpu.stat",
        keyed(
            {
                "nr_periods": ("cpu_periods", 1),
                "nr_throttled": ("cpu_throttled_periods", 1),
                "throttled_time": ("cpu_throttled_ns", 1),
            }
        ),
    ),
    Row("pids", "pids.current", single("pids")),
    Row(
        "blkio",
        "blkio.throttle.io_service_bytes_recursive",
        devices_v1("io_read_bytes", "io_written_bytes"),
        "blkio.throttle.io_service_bytes",
    ),
    Row(
        "blkio",
        "blkio.throttle.io_serviced_recursive",
        devices_v1("io_reads", "io_writes"),
        "blkio.throttle.io_serviced",
    ),
)
SLOW: Tuple[Row, ...] = (  # what changes rarely: limits, and the peak
    Row("memory", "memory.max_usage_in_bytes", single("memory_peak")),
    Row("memory", "memory.limit_in_bytes", limit("memory_limit")),
    Row("memory", "memory.memsw.limit_in_bytes", _swap_limit),
    Row("cpu", "cpu.cfs_quota_us", limit("cpu_quota_us", b"-1")),
    Row("cpu", "cpu.cfs_period_us", single("cpu_period_us")),
    Row("cpu", "cpu.shares", _shares),
    Row("pids", "pids.max", limit("pids_limit")),
)
