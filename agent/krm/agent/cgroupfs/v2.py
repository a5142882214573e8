"""Cgroups of version 2: file and its parser. Pure; `reading.py` reads by these rows, in their order.

Working set, rss and cache are what cAdvisor, and so the kubelet, takes for them: memory.current less inactive_file,
anon, file.
"""

from __future__ import annotations

from typing import Tuple

from krm.agent.cgroupfs.parsing import IDLE, devices_v2, keyed, limit, pressure, quota, single
from krm.agent.cgroupfs.v1 import Row

# PSI, of trees of version 2 and of the one beside version 1's.
PRESSURE: Tuple[Row, ...] = tuple(Row("", f"{what}.pressure", pressure(what)) for what in ("cpu", "memory", "io"))
MEMORY_STAT = Row(
    "memory",
    "memory.stat",
    keyed(
        {
            "anon": ("memory_rss", 1),
            "file": ("memory_cache", 1),
            "pgfault": ("memory_page_faults", 1),
            "pgmajfault": ("memory_major_page_faults", 1),
            "inactive_file": (IDLE, 1),
        },
    ),
)
USAGE: Tuple[Row, ...] = (
    Row("memory", "memory.current", single("memory_usage")),
    MEMORY_STAT,
    Row("memory", "memory.swap.current", single("swap_usage")),
    Row(
        "memory",
        "memory.events",
        keyed(
            {
                "oom_kill": ("oom_kills", 1),
                "oom_group_kill": ("oom_group_kills", 1),  # since Linux 5.17
                "max": ("memory_limit_hits", 1),
            }
        ),
    ),
    Row("memory", "memory.events.local", keyed({"oom_kill": ("oom_kills_local", 1)})),
    Row(
        "cpu",
        "cpu.stat",
        keyed(
            {
                "usage_usec": ("cpu_usage_ns", 1000),
                "user_usec": ("cpu_user_ns", 1000),
                "system_usec": ("cpu_system_ns", 1000),
                "nr_periods": ("cpu_periods", 1),
                "nr_throttled": ("cpu_throttled_periods", 1),
                "throttled_usec": ("cpu_throttled_ns", 1000),
            }
        ),
    ),
    Row("pids", "pids.current", single("pids")),
    Row(
        "io",
        "io.stat",
        devices_v2(
            {"rbytes": "io_read_bytes", "wbytes": "io_written_bytes", "rios": "io_reads", "wios": "io_writes"}
        ),
    ),
    *PRESSURE,
)
SLOW: Tuple[Row, ...] = (  # what changes rarely: limits, and the peak
    Row("memory", "memory.peak", single("memory_peak")),  # since Linux 5.19
    Row("cpu", "cpu.max", quota),
    Row("cpu", "cpu.weight", single("cpu_weight")),
    Row("memory", "memory.max", limit("memory_limit")),
    Row("memory", "memory.high", limit("memory_high")),
    Row("memory", "memory.low", limit("memory_low")),
    Row("memory", "memory.min", limit("memory_min")),
    Row("memory", "memory.swap.max", limit("swap_limit")),
    Row("pids", "pids.max", limit("pids_limit")),
)
