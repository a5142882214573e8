"""What a cgroup says of itself, in one shape for version 1 and 2: names, units, and how it is read.

A figure that cannot be read, or that this kernel does not keep, is not in the mapping: it is never 0. A limit
that is not set (`max`, -1, version 1's page-aligned huge number) is UNLIMITED, which
is no number. A node's limits are what it has.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Union

UNLIMITED = "unlimited"
Value = Union[int, str]  # a number in the figure's unit, or UNLIMITED
Figures = Mapping[str, Value]

COUNTER, GAUGE, LIMIT = "counter", "gauge", "limit"


class Figure(NamedTuple):
    """One row. docs/agent.md prints the table."""

    kind: str  # COUNTER since the cgroup was made, GAUGE, or LIMIT
    unit: str  # ns, us, bytes, count, thousandths; "" = a weight
    what: str


FIGURES: Dict[str, Figure] = {
    # CPU. v1: cpuacct.usage, cpuacct.stat, cpu.stat, cpu.cfs_*, cpu.shares. v2: cpu.stat, cpu.max, cpu.weight.
    "cpu_usage_ns": Figure(COUNTER, "ns", "CPU time used."),
    "cpu_user_ns": Figure(COUNTER, "ns", "Of it in user mode."),
    "cpu_system_ns": Figure(COUNTER, "ns", "Of it in the kernel."),
    "cpu_periods": Figure(COUNTER, "count", "Periods of the quota that it was runnable in."),
    "cpu_throttled_periods": Figure(COUNTER, "count", "Of these, in which the quota was used up."),
    "cpu_throttled_ns": Figure(COUNTER, "ns", "Time throttled, over all threads."),
    "cpu_quota_us": Figure(LIMIT, "us", "CPU time that it may use in a period."),
    "cpu_period_us": Figure(LIMIT, "us", "That period."),
    "cpu_shares": Figure(LIMIT, "", "Its share when CPU is short, 2 to 262144; version 1's."),
    "cpu_weight": Figure(LIMIT, "", "The same, 1 to 10000; version 2's."),
    # Memory. v1: memory.usage_in_bytes, memory.stat (total_*), memory.limit_in_bytes, memory.memsw.*.
    # v2: memory.current, memory.stat, memory.max/high/low/min, memory.swap.current, memory.swap.max.
    "memory_usage": Figure(GAUGE, "bytes", "All memory charged to it, page cache too."),
    "memory_peak": Figure(GAUGE, "bytes", "The most that it ever was."),
    "memory_working_set": Figure(GAUGE, "bytes", "Usage less inactive file pages, as the kubelet counts."),
    "memory_rss": Figure(GAUGE, "bytes", "Anonymous memory, as the kubelet counts. v1: total_rss, v2: anon."),
    "memory_cache": Figure(GAUGE, "bytes", "Page cache, tmpfs and shared memory included."),
    "memory_page_faults": Figure(COUNTER, "count", "Page faults."),
    "memory_major_page_faults": Figure(COUNTER, "count", "Of these, that waited for a disk."),
    "memory_limit": Figure(LIMIT, "bytes", "More is an OOM kill. v1: limit_in_bytes, v2: max."),
    "memory_high": Figure(LIMIT, "bytes", "More is throttled and reclaimed. v2 alone."),
    "memory_low": Figure(LIMIT, "bytes", "Less is not reclaimed while others can be. v2; v1's soft limit is none."),
    "memory_min": Figure(LIMIT, "bytes", "Less is never reclaimed. v2 alone."),
    "memory_available": Figure(GAUGE, "bytes", "Of the node alone: what can be had without swapping."),
    "swap_usage": Figure(GAUGE, "bytes", "Swap in use."),
    "swap_limit": Figure(LIMIT, "bytes", "Swap that it may use. v1: memsw limit less memory limit."),
    # OOM. v1: memory.oom_control, memory.failcnt. v2: memory.events, memory.events.local.
    "oom_kills": Figure(COUNTER, "count", "Processes killed for want of memory; on v2 in cgroups below it too."),
    "oom_kills_local": Figure(COUNTER, "count", "The same, of its own cgroup alone. v2; v1 oom_kills is that."),
    "oom_group_kills": Figure(
        COUNTER, "count", "Kills of a whole cgroup (memory.oom.group): oom_kills has one process of it twice. v2."
    ),
    "memory_limit_hits": Figure(COUNTER, "count", "How often the limit was hit. v1: failcnt, v2: events max."),
    # Processes. Both: pids.current, pids.max, pids.events.
    "pids": Figure(GAUGE, "count", "Threads and processes, as the kernel counts."),
    "pids_limit": Figure(LIMIT, "count", "As many as there may be."),
    # Of the node alone: /proc/loadavg.
    "load_1m": Figure(GAUGE, "thousandths", "Threads that run, or wait for CPU or disk; mean of a minute."),
    "load_5m": Figure(GAUGE, "thousandths", "The same, of 5 minutes."),
    "load_15m": Figure(GAUGE, "thousandths", "The same, of 15 minutes."),
    # I/O. v1: blkio.throttle.io_service_bytes and io_serviced (_recursive where there). v2: io.stat.
    "io_read_bytes": Figure(COUNTER, "bytes", "Read from block devices."),
    "io_written_bytes": Figure(COUNTER, "bytes", "Written to them."),
    "io_reads": Figure(COUNTER, "count", "Read operations."),
    "io_writes": Figure(COUNTER, "count", "Write operations."),
    # PSI, `some` and `full` totals: cpu.pressure, memory.pressure, io.pressure of v2; /proc/pressure of the node.
    "cpu_waiting_us": Figure(COUNTER, "us", "Time in which some task waited for CPU."),
    "cpu_stalled_us": Figure(COUNTER, "us", "Time in which all did."),
    "memory_waiting_us": Figure(COUNTER, "us", "Time in which some task waited for memory."),
    "memory_stalled_us": Figure(COUNTER, "us", "Time in which all did."),
    "io_waiting_us": Figure(COUNTER, "us", "Time in which some task waited for I/O."),
    "io_stalled_us": Figure(COUNTER, "us", "Time in which all did."),
}  # fmt: skip
