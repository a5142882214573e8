"""The metric table: every series that krm keeps, its unit, its form and the levels that it has.

Part one are the 37 names that Heapster published and the classic kube_monitoring application served (units
as in Heapster's storage schema; gpu/usage is kube_monitoring's own). Part two are krm's own, same columns.
docs/metrics.md is written from this table, and tests hold every reader and API to it.

What a sum over time means follows from the form:
    counter  its increase, in the same unit; a restart begins again at 0 and is never an increase below 0
    rate     its integral: value x seconds (millicore-seconds, bytes)
    gauge    its integral: value x seconds (byte-seconds): divide by the covered seconds for the mean
    share    the same, in share-seconds
"""

from __future__ import annotations

from typing import Dict, Iterator, NamedTuple, Tuple

from krm.model.measures import CLUSTER, CONTAINER, LEVELS, NAMESPACE, NODE, POD

GAUGE, COUNTER, RATE, SHARE = "gauge", "counter", "rate", "share"
MILLICORES, BYTES, COUNT, NANOSECONDS, MILLISECONDS, SECONDS = (
    "millicores", "bytes", "count", "nanoseconds", "milliseconds", "seconds",
)  # fmt: skip
_ALL = LEVELS
_USERS = (CONTAINER, POD, NODE)
_NETWORK = (POD, NODE)
_NETWORK_SUMS = (POD, NAMESPACE, NODE, CLUSTER)
_DISKS = (CONTAINER, NODE)
_NODES = (NODE, CLUSTER)
_LIMITS = (CONTAINER, POD, NAMESPACE, NODE, CLUSTER)


class Metric(NamedTuple):
    """One row."""

    name: str
    unit: str
    form: str  # gauge, counter, rate, share
    levels: Tuple[str, ...]
    sources: Tuple[str, ...]  # the first that has it is taken
    about: str
    counter: str = ""  # of a rate: the counter that it is the rate of
    main: bool = False  # used for accounting
    step: float = 1.0  # what history stores it in, in its unit: a value is kept to half of this

    @property
    def adds_up(self) -> bool:
        """Whether parts come to their whole by addition. Of shares and ages the whole has its largest part's."""
        return self.unit not in ("share", MILLISECONDS) and not self.name.startswith("app/response_time")

    @property
    def sum_unit(self) -> str:
        """The unit of its sum over time."""
        if self.form == COUNTER:
            return self.unit
        if self.form == RATE and self.unit.endswith("/s"):
            return self.unit[:-2]
        return "share-seconds" if self.form == SHARE else f"{self.unit.rstrip('s')}-seconds"


_CPU = ("kubelet/resource", "kubelet/summary", "agent", "kubelet/cadvisor", "metrics.k8s.io")
_CADVISOR = ("kubelet/cadvisor", "agent")
_SUMMARY = ("kubelet/summary", "kubelet/cadvisor")
_MEMORY = (*_SUMMARY, "agent")
# Counters that become rates: the times of /stats/summary are whole seconds, /metrics/cadvisor's milliseconds.
_FLOWS = ("kubelet/cadvisor", "kubelet/summary")
_FAULTS = (*_FLOWS, "agent")
_AGENT = ("agent",)
_STATE = ("state",)
_SUM = ("sum",)

PART_ONE: Tuple[Metric, ...] = (
    Metric("cpu/limit", MILLICORES, GAUGE, _LIMITS, _STATE, "CPU limit in force."),
    Metric("cpu/node_capacity", MILLICORES, GAUGE, _NODES, _STATE, "CPU capacity of the node."),
    Metric("cpu/node_allocatable", MILLICORES, GAUGE, _NODES, _STATE, "CPU that pods may request on the node."),
    Metric("cpu/node_reservation", "share", SHARE, _NODES, _SUM, "Requests / allocatable, 0..1.", step=1e-4),
    Metric("cpu/node_utilization", "share", SHARE, _NODES, _SUM, "Usage / allocatable, 0..1.", step=1e-4),
    Metric("cpu/request", MILLICORES, GAUGE, _LIMITS, _STATE, "CPU request in force."),
    Metric("cpu/usage", NANOSECONDS, COUNTER, _USERS, _CPU, "CPU time since the container started.", step=1e5),
    Metric("cpu/usage_rate", MILLICORES, RATE, _ALL, _CPU, "CPU use.", "cpu/usage", main=True, step=0.1),
    Metric("filesystem/usage", BYTES, GAUGE, _DISKS, _SUMMARY, "Bytes used, a filesystem.", step=1024),
    Metric("filesystem/limit", BYTES, GAUGE, _DISKS, _SUMMARY, "Size of the filesystem.", step=1024),
    Metric("filesystem/available", BYTES, GAUGE, _DISKS, _SUMMARY, "Bytes free for use.", step=1024),
    Metric("filesystem/inodes", COUNT, GAUGE, _DISKS, _SUMMARY, "Inodes of the filesystem."),
    Metric("filesystem/inodes_free", COUNT, GAUGE, _DISKS, _SUMMARY, "Inodes free for use."),
    Metric("gpu/usage", "megabytes", GAUGE, _ALL, ("dcgm", "agent"), "GPU memory used, all GPUs.", main=True),
    Metric("memory/limit", BYTES, GAUGE, _LIMITS, _STATE, "Memory limit in force.", step=1024),
    Metric("memory/major_page_faults", COUNT, COUNTER, _USERS, _FAULTS, "Page faults that read a disk."),
    Metric("memory/major_page_faults_rate", "count/s", RATE, _ALL, _FAULTS, "The same a second.",
           "memory/major_page_faults", step=0.01),
    Metric("memory/node_capacity", BYTES, GAUGE, _NODES, _STATE, "Memory capacity of the node.", step=1024),
    Metric("memory/node_allocatable", BYTES, GAUGE, _NODES, _STATE, "Memory that pods may request.", step=1024),
    Metric("memory/node_reservation", "share", SHARE, _NODES, _SUM, "Requests / allocatable, 0..1.", step=1e-4),
    Metric("memory/node_utilization", "share", SHARE, _NODES, _SUM,
           "Working set / allocatable, 0..1.", step=1e-4),
    Metric("memory/page_faults", COUNT, COUNTER, _USERS, _FAULTS, "Page faults."),
    Metric("memory/page_faults_rate", "count/s", RATE, _ALL, _FAULTS, "The same a second.",
           "memory/page_faults", step=0.01),
    Metric("memory/request", BYTES, GAUGE, _LIMITS, _STATE, "Memory request in force.", step=1024),
    Metric("memory/usage", BYTES, GAUGE, _ALL, _MEMORY, "All memory charged, caches too.", main=True, step=1024),
    Metric("memory/cache", BYTES, GAUGE, _ALL, _CADVISOR, "Page cache.", step=1024),
    Metric("memory/rss", BYTES, GAUGE, _ALL, _MEMORY,
           "Anonymous memory and swap cache.", step=1024),
    Metric("memory/working_set", BYTES, GAUGE, _ALL, _CPU, "Usage less inactive file pages.", step=1024),
    Metric("network/rx", BYTES, COUNTER, _NETWORK, _FLOWS, "Bytes received.", step=1024),
    Metric("network/rx_errors", COUNT, COUNTER, _NETWORK, _FLOWS, "Errors while receiving."),
    Metric("network/rx_errors_rate", "count/s", RATE, _NETWORK_SUMS, _FLOWS, "The same a second.",
           "network/rx_errors", step=0.01),
    Metric("network/rx_rate", "bytes/s", RATE, _NETWORK_SUMS, _FLOWS, "Bytes received a second.", "network/rx"),
    Metric("network/tx", BYTES, COUNTER, _NETWORK, _FLOWS, "Bytes sent.", step=1024),
    Metric("network/tx_errors", COUNT, COUNTER, _NETWORK, _FLOWS, "Errors while sending."),
    Metric("network/tx_errors_rate", "count/s", RATE, _NETWORK_SUMS, _FLOWS, "The same a second.",
           "network/tx_errors", step=0.01),
    Metric("network/tx_rate", "bytes/s", RATE, _NETWORK_SUMS, _FLOWS, "Bytes sent a second.", "network/tx"),
    Metric("uptime", MILLISECONDS, GAUGE, _USERS, ("kubelet/resource", *_MEMORY),
           "Since the container (the node) started.", step=1000),
)  # fmt: skip

PART_TWO: Tuple[Metric, ...] = (
    Metric("cpu/periods", COUNT, COUNTER, (CONTAINER,), _CADVISOR, "Periods of its CPU quota."),
    Metric("cpu/throttled_periods", COUNT, COUNTER, (CONTAINER,), _CADVISOR, "Periods in which it was throttled."),
    Metric("cpu/throttled_share", "share", RATE, (CONTAINER, POD), _CADVISOR, "Throttled periods / periods.",
           step=1e-3),
    Metric("cpu/throttled_time", SECONDS, COUNTER, (CONTAINER,), _CADVISOR, "Time throttled, over all threads.",
           step=1e-3),
    Metric("cpu/throttled_time_rate", "seconds/s", RATE, (CONTAINER, POD), _CADVISOR, "The same a second.",
           "cpu/throttled_time", step=1e-3),
    Metric("pressure/cpu_waiting", "share", RATE, _USERS, _CADVISOR,
           "Share of time some task waited for CPU.", "pressure/cpu_waiting_time", step=1e-4),
    Metric("pressure/cpu_waiting_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("pressure/cpu_stalled", "share", RATE, _USERS, _CADVISOR,
           "Share of time all tasks did.", "pressure/cpu_stalled_time", step=1e-4),
    Metric("pressure/cpu_stalled_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("pressure/memory_waiting", "share", RATE, _USERS, _CADVISOR,
           "Share of time some task waited for memory.", "pressure/memory_waiting_time", step=1e-4),
    Metric("pressure/memory_waiting_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("pressure/memory_stalled", "share", RATE, _USERS, _CADVISOR,
           "Share of time all tasks did.", "pressure/memory_stalled_time", step=1e-4),
    Metric("pressure/memory_stalled_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("pressure/io_waiting", "share", RATE, _USERS, _CADVISOR,
           "Share of time some task waited for I/O.", "pressure/io_waiting_time", step=1e-4),
    Metric("pressure/io_waiting_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("pressure/io_stalled", "share", RATE, _USERS, _CADVISOR,
           "Share of time all tasks did.", "pressure/io_stalled_time", step=1e-4),
    Metric("pressure/io_stalled_time", SECONDS, COUNTER, _USERS, _CADVISOR, "That time.", step=1e-3),
    Metric("ephemeral_storage/usage", BYTES, GAUGE, (POD, NAMESPACE, NODE, CLUSTER), ("kubelet/summary",),
           "Writable layers, logs and emptyDirs of a pod.", step=1024),
    Metric("ephemeral_storage/request", BYTES, GAUGE, _LIMITS, _STATE, "Request in force.", step=1024),
    Metric("ephemeral_storage/limit", BYTES, GAUGE, _LIMITS, _STATE, "Limit in force.", step=1024),
    Metric("ephemeral_storage/node_allocatable", BYTES, GAUGE, _NODES, _STATE, "What pods may request.", step=1024),
    Metric("pids/usage", COUNT, GAUGE, (CONTAINER, POD, NODE), _MEMORY,
           "Processes and threads."),
    Metric("pids/limit", COUNT, GAUGE, (CONTAINER, NODE), _MEMORY,
           "The most there may be."),
    Metric("swap/usage", BYTES, GAUGE, _ALL, ("kubelet/resource", *_MEMORY),
           "Swap in use.", step=1024),
    Metric("quota/used", "as the resource", GAUGE, (NAMESPACE,), _STATE,
           "Of a ResourceQuota; resource_id is QUOTA/RESOURCE. cpu in millicores.", step=0.001),
    Metric("quota/hard", "as the resource", GAUGE, (NAMESPACE,), _STATE, "The same: what is allowed.", step=0.001),
    Metric("storage/claimed", BYTES, GAUGE, (NAMESPACE,), _STATE,
           "Of a bound PersistentVolumeClaim; resource_id is CLASS/CLAIM.", step=1024),
    Metric("extended/request", COUNT, GAUGE, _LIMITS, _STATE,
           "Extended resources and ResourceClaims' devices; resource_id is the resource or device class."),
    Metric("extended/node_capacity", COUNT, GAUGE, _NODES, _STATE, "The same, of the node (ResourceSlices too)."),
    Metric("extended/node_allocatable", COUNT, GAUGE, _NODES, _STATE, "The same, what pods may request."),
    Metric("pods/count", COUNT, GAUGE, (NAMESPACE, NODE, CLUSTER), _STATE, "Pods that have not ended."),
    Metric("pods/node_allocatable", COUNT, GAUGE, _NODES, _STATE, "Pods that the node may hold."),
    Metric("gpu/limit", "megabytes", GAUGE, _ALL, ("dcgm",), "GPU memory, used and free."),
    Metric("gpu/utilization", "share", GAUGE, (CONTAINER, POD, NODE), ("dcgm",),
           "Share of time the GPU was busy.", step=1e-3),
    Metric("app/request_rate", "count/s", RATE, (POD, NAMESPACE), ("app",), "Requests a second.", step=0.01),
    Metric("app/response_time", SECONDS, GAUGE, (POD,), ("app",), "Mean response time over the window.", step=1e-4),
    Metric("app/response_time_p95", SECONDS, GAUGE, (POD,), ("app",), "95th percentile over the window.",
           step=1e-4),
    Metric("app/response_time_p50", SECONDS, GAUGE, (POD,), ("app",), "Median over the window.", step=1e-4),
    Metric("app/response_time_p90", SECONDS, GAUGE, (POD,), ("app",), "90th percentile over the window.",
           step=1e-4),
    Metric("app/response_time_p99", SECONDS, GAUGE, (POD,), ("app",), "99th percentile over the window.",
           step=1e-4),
    Metric("app/queue_depth", COUNT, GAUGE, (POD, NAMESPACE), ("app",), "Items that wait.", step=0.1),
    Metric("oom/kills", COUNT, COUNTER, (CONTAINER,), ("kubelet/cadvisor", "agent"), "OOM kills of the container."),
    Metric("runtime/cpu_usage", NANOSECONDS, COUNTER, (NODE,), _AGENT,
           "CPU time of kubelet and container runtime, shims too, of processes that run now.", step=1e5),
    Metric("runtime/cpu_usage_rate", MILLICORES, RATE, (NODE,), _AGENT, "CPU use of these.",
           "runtime/cpu_usage", step=0.1),
    Metric("runtime/memory", BYTES, GAUGE, (NODE,), _AGENT, "Resident memory of these.", step=1024),
    Metric("cpu/node_reserved", MILLICORES, GAUGE, (NODE,), _STATE,
           "Capacity less allocatable: kept for the system and the kubelet."),
    Metric("memory/node_reserved", BYTES, GAUGE, (NODE,), _STATE,
           "Capacity less allocatable: kept for the system, the kubelet and eviction.", step=1024),
    Metric("overhead/cpu_usage", NANOSECONDS, COUNTER, (POD,), _AGENT,
           "CPU time of a pod beyond its containers: its cgroup less theirs, and its shims.", step=1e5),
    Metric("overhead/cpu_usage_rate", MILLICORES, RATE, (POD,), _AGENT, "CPU use beyond its containers.",
           "overhead/cpu_usage", step=0.1),
    Metric("overhead/memory", BYTES, GAUGE, (POD,), _AGENT,
           "Working set beyond its containers, and resident memory of its shims.", step=1024),
    Metric("overhead/cpu_request", MILLICORES, GAUGE, (POD,), _STATE, "Overhead that its RuntimeClass declares."),
    Metric("overhead/memory_request", BYTES, GAUGE, (POD,), _STATE, "The same of memory.", step=1024),
)  # fmt: skip

TABLE: Dict[str, Metric] = {metric.name: metric for metric in PART_ONE + PART_TWO}


def rates() -> Iterator[Metric]:
    """The rows that are the rate of a counter."""
    return (metric for metric in TABLE.values() if metric.counter)
