"""The metrics of /metrics/cadvisor as kubelet 1.36 with containerd on cgroup v2 has them: names, kinds, help.

A value is the name of a number of a cgroup (see kubelet_cadvisor.py), or a text that never changes.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

from .kubelet_forms import Family, number

# The numbers of a cgroup, in order.
FIELDS = (
    "stamp", "usage", "user", "system", "periods", "throttled", "throttled_time", "faults", "major",
    "read_bytes", "reads", "write_bytes", "writes", "oom", "cpu_waiting", "cpu_stalled", "memory_waiting",
    "memory_stalled", "io_waiting", "io_stalled", "cache", "rss", "swap", "memory_usage", "working_set", "active",
    "inactive", "start", "now", "processes", "threads",
    "rx", "rx_packets", "rx_errors", "tx", "tx_packets", "tx_errors",
    "fs_limit", "fs_usage", "fs_inodes", "fs_inodes_free",
)  # fmt: skip
INDEX = {name: index for index, name in enumerate(FIELDS)}


class Metric(NamedTuple):
    """One line of a cgroup: its family, what it says, and labels beside those of the cgroup."""

    family: Family
    value: str
    extra: Tuple[Tuple[str, str], ...] = ()
    stamped: bool = True


def _gauge(name: str, value: str, text: str, *extra: Tuple[str, str], stamped: bool = True) -> Metric:
    return Metric(Family("container_" + name, "gauge", text), value, extra, stamped)


def _counter(name: str, value: str, text: str, *extra: Tuple[str, str]) -> Metric:
    return Metric(Family("container_" + name, "counter", text), value, extra)


_MAX = "Maximum number of threads allowed inside the container, infinity if value is zero"
_ULIMIT = "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice"
_START = "Start time of the container since unix epoch in seconds."
_FAILURES = "Cumulative count of memory allocation failures."
_PERCENT = "Value of container cpu load%s average over the last 10 seconds."
_STATES = ("sleeping", "running", "stopped", "uninterruptible", "iowaiting")

ALWAYS: List[Metric] = [
    _gauge("start_time_seconds", "start", _START, stamped=False),
    _gauge("last_seen", "now", "Last time a container was seen by the exporter"),
    _gauge("health_state", "-1", "The result of the container's health check"),
    _counter("cpu_usage_seconds_total", "usage", "Cumulative cpu time consumed in seconds.", ("cpu", "total")),
    _counter("cpu_user_seconds_total", "user", "Cumulative user cpu time consumed in seconds."),
    _counter("cpu_system_seconds_total", "system", "Cumulative system cpu time consumed in seconds."),
    _gauge("cpu_load_average_10s", "0", _PERCENT % ""),
    _gauge("cpu_load_d_average_10s", "0", _PERCENT % ".d"),
    *(_gauge("tasks_state", "0", "Number of tasks in given state", ("state", state)) for state in _STATES),
    _gauge("memory_cache", "cache", "Number of bytes of page cache memory."),
    _gauge("memory_rss", "rss", "Size of RSS in bytes."),
    _gauge("memory_kernel_usage", "0", "Size of kernel memory allocated in bytes."),
    _gauge("memory_mapped_file", "0", "Size of memory mapped files in bytes."),
    _gauge("memory_swap", "swap", "Container swap usage in bytes."),
    _counter("memory_failcnt", "0", "Number of memory usage hits limits"),
    _gauge(
        "memory_usage_bytes",
        "memory_usage",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
    ),
    _gauge("memory_max_usage_bytes", "memory_usage", "Maximum memory usage recorded in bytes"),
    _gauge("memory_working_set_bytes", "working_set", "Current working set in bytes."),
    _gauge("memory_total_active_file_bytes", "active", "Current total active file in bytes."),
    _gauge("memory_total_inactive_file_bytes", "inactive", "Current total inactive file in bytes."),
    *(
        _counter("memory_failures_total", value, _FAILURES, ("failure_type", kind), ("scope", scope))
        for kind, value in (("pgfault", "faults"), ("pgmajfault", "major"))
        for scope in ("container", "hierarchy")
    ),
    _gauge("processes", "processes", "Number of processes running inside the container."),
    _gauge("file_descriptors", "12", "Number of open file descriptors for the container."),
    _gauge("sockets", "3", "Number of open sockets for the container."),
    _gauge("threads_max", "4096", _MAX),
    _gauge("threads", "threads", "Number of threads running inside the container"),
    _counter("oom_events_total", "oom", "Count of out of memory events observed for the container"),
]
_DEVICE = ("device", "/dev/vda")
DISK: List[Metric] = [
    _counter("fs_reads_bytes_total", "read_bytes", "Cumulative count of bytes read", _DEVICE),
    _counter("fs_reads_total", "reads", "Cumulative count of reads completed", _DEVICE),
    _counter("fs_writes_bytes_total", "write_bytes", "Cumulative count of bytes written", _DEVICE),
    _counter("fs_writes_total", "writes", "Cumulative count of writes completed", _DEVICE),
    *(
        _counter(
            "blkio_device_usage_total", value, "Blkio Device bytes usage", _DEVICE, ("major", "253"),
            ("minor", "0"), ("operation", operation),
        )
        for operation, value in (("Read", "read_bytes"), ("Write", "write_bytes"))
    ),
]  # fmt: skip
PRESSURE: List[Metric] = [
    _counter("pressure_%s_%s_seconds_total" % (name.lower(), kind), "%s_%s" % (name.lower(), kind), text % name)
    for name in ("CPU", "memory", "IO")
    for kind, text in (
        ("waiting", "Total time duration tasks in the container have waited due to %s congestion."),
        ("stalled", "Total time duration no tasks in the container could make progress due to %s congestion."),
    )
]
QUOTA: List[Metric] = [
    _counter("cpu_cfs_periods_total", "periods", "Number of elapsed enforcement period intervals."),
    _counter("cpu_cfs_throttled_periods_total", "throttled", "Number of throttled period intervals."),
    _counter(
        "cpu_cfs_throttled_seconds_total",
        "throttled_time",
        "Total time duration the container has been throttled.",
    ),
    _counter("cpu_cfs_burst_periods_total", "0", "Number of periods when burst occurs."),
    _counter("cpu_cfs_burst_seconds_total", "0", "Total time duration the container has been bursted."),
]
PROCESS: List[Metric] = [_gauge("ulimits_soft", "1.048576e+06", _ULIMIT, ("ulimit", "max_open_files"))]
_DROPPED = "Cumulative count of packets dropped while %sing"
_ETH = ("interface", "eth0")
NETWORK: List[Metric] = [
    _counter("network_%s_%s_total" % (way, name), value % short, text % done, _ETH)
    for way, short, done in (("receive", "rx", "receiv"), ("transmit", "tx", "transmitt"))
    for name, value, text in (
        ("bytes", "%s", "Cumulative count of bytes %sed"),
        ("packets", "%s_packets", "Cumulative count of packets %sed"),
        ("errors", "%s_errors", "Cumulative count of errors encountered while %sing"),
    )
] + [
    _counter(
        "network_%s_packets_dropped_total" % way,
        "0",
        "Cumulative count of packets dropped while %sing" % done,
        _ETH,
    )
    for way, done in (("receive", "receiv"), ("transmit", "transmitt"))
]
FILESYSTEM: List[Metric] = [  # of the root cgroup alone
    _gauge("fs_inodes_free", "fs_inodes_free", "Number of available Inodes", _DEVICE),
    _gauge("fs_inodes_total", "fs_inodes", "Number of Inodes", _DEVICE),
    _gauge(
        "fs_limit_bytes",
        "fs_limit",
        "Number of bytes that can be consumed by the container on this filesystem.",
        _DEVICE,
    ),
    _gauge(
        "fs_usage_bytes",
        "fs_usage",
        "Number of bytes that are consumed by the container on this filesystem.",
        _DEVICE,
    ),
    *(
        _counter("fs_%s_total" % name, "0", "Cumulative " + text, _DEVICE)
        for name, text in (
            ("io_time_seconds", "count of seconds spent doing I/Os"),
            ("io_time_weighted_seconds", "weighted I/O time in seconds"),
            ("read_seconds", "count of seconds spent reading"),
            ("reads_merged", "count of reads merged"),
            ("sector_reads", "count of sector reads completed"),
            ("sector_writes", "count of sector writes completed"),
            ("write_seconds", "count of seconds spent writing"),
            ("writes_merged", "count of writes merged"),
        )
    ),
    _gauge("fs_io_current", "0", "Number of I/Os currently in progress", _DEVICE),
]


def spec(cpu: float, memory: int, shares: int) -> List[Metric]:
    """The lines that say a cgroup's limits; cpu in millicores, 0 = none."""
    quota = [("spec_cpu_quota", number(int(cpu * 100)), "CPU quota of the container.")] if cpu else []
    return [
        _gauge(name, value, text, stamped=False)
        for name, value, text in (
            ("spec_cpu_period", "100000", "CPU period of the container."),
            *quota,
            ("spec_cpu_shares", "%d" % shares, "CPU share of the container."),
            ("spec_memory_limit_bytes", number(memory), "Memory limit for the container."),
            ("spec_memory_swap_limit_bytes", "0", "Memory swap limit for the container."),
            ("spec_memory_reservation_limit_bytes", "0", "Memory reservation limit for the container."),
        )
    ]


def machine(cores: int, memory: int) -> List[Tuple[Family, str]]:
    """The lines about the machine, and their values."""
    return [
        (Family("machine_" + name, "gauge", text), value)
        for name, value, text in (
            ("cpu_cores", "%d" % cores, "Number of logical CPU cores."),
            ("cpu_physical_cores", "%d" % cores, "Number of physical CPU cores."),
            ("cpu_sockets", "1", "Number of CPU sockets."),
            ("cpu_books", "0", "Number of CPU books."),
            ("cpu_drawers", "0", "Number of CPU drawers."),
            ("memory_bytes", number(memory), "Amount of memory installed on the machine."),
            ("swap_bytes", "0", "Amount of swap memory available on the machine."),
            ("nvm_avg_power_budget_watts", "0", "NVM power budget."),
        )
    ]
