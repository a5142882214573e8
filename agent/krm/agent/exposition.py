"""One turn as Prometheus reads it: text format 0.0.4. Pure.

Names are cAdvisor's and node-exporter's where they mean the same, with cAdvisor's labels; `krm_` where not. A limit
that is not set, and a figure that is not known, has no series: cAdvisor's 0 for "no limit" would be a number.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple, Union

from krm.agent.documents import Listed, listed, plain
from krm.agent.figures import COUNTER, FIGURES, UNLIMITED
from krm.agent.seen import Cgroup, Seen

Labels = Sequence[Tuple[str, str]]
Number = Union[int, float]
MEDIA = "text/plain; version=0.0.4; charset=utf-8"
POD_SANDBOX = "POD"  # what the kubelet calls a pause container
_GAUGE, _OF_NODE = "gauge", "node_"


class Series(NamedTuple):
    """How a figure is told."""

    name: str
    scale: float = 1  # how many of the figure are one of its unit
    more: Labels = ()


_NS, _US = 1e9, 1e6
_FAULTS = "container_memory_failures_total"
# figure -> its series. What cAdvisor has no like of is krm_container_...
SERIES: Dict[str, Series] = {
    "cpu_usage_ns": Series("container_cpu_usage_seconds_total", _NS, (("cpu", "total"),)),
    "cpu_user_ns": Series("container_cpu_user_seconds_total", _NS),
    "cpu_system_ns": Series("container_cpu_system_seconds_total", _NS),
    "cpu_periods": Series("container_cpu_cfs_periods_total"),
    "cpu_throttled_periods": Series("container_cpu_cfs_throttled_periods_total"),
    "cpu_throttled_ns": Series("container_cpu_cfs_throttled_seconds_total", _NS),
    "cpu_quota_us": Series("container_spec_cpu_quota"),
    "cpu_period_us": Series("container_spec_cpu_period"),
    "cpu_shares": Series("container_spec_cpu_shares"),
    "cpu_weight": Series("krm_container_spec_cpu_weight"),
    "memory_usage": Series("container_memory_usage_bytes"),
    "memory_peak": Series("container_memory_max_usage_bytes"),
    "memory_working_set": Series("container_memory_working_set_bytes"),
    "memory_rss": Series("container_memory_rss"),
    "memory_cache": Series("container_memory_cache"),
    "memory_page_faults": Series(_FAULTS, 1, (("failure_type", "pgfault"), ("scope", "hierarchy"))),
    "memory_major_page_faults": Series(_FAULTS, 1, (("failure_type", "pgmajfault"), ("scope", "hierarchy"))),
    "memory_limit": Series("container_spec_memory_limit_bytes"),
    "memory_high": Series("krm_container_spec_memory_high_bytes"),
    "memory_low": Series("krm_container_spec_memory_low_bytes"),
    "memory_min": Series("krm_container_spec_memory_min_bytes"),
    "memory_available": Series("node_memory_MemAvailable_bytes"),
    "swap_usage": Series("container_memory_swap"),
    "swap_limit": Series("krm_container_spec_swap_limit_bytes"),  # cAdvisor's has memory in it on version 1
    "oom_kills": Series("container_oom_events_total"),
    "oom_kills_local": Series("krm_container_oom_kills_local_total"),
    "oom_group_kills": Series("krm_container_oom_group_kills_total"),
    "memory_limit_hits": Series("container_memory_failcnt"),
    "pids": Series("container_threads"),
    "pids_limit": Series("container_threads_max"),
    **{f"load_{minutes}m": Series(f"node_load{minutes}", 1000) for minutes in (1, 5, 15)},
    "io_read_bytes": Series("container_fs_reads_bytes_total"),
    "io_written_bytes": Series("container_fs_writes_bytes_total"),
    "io_reads": Series("container_fs_reads_total"),
    "io_writes": Series("container_fs_writes_total"),
    **{
        f"{what}_{how}_us": Series(f"container_pressure_{what}_{how}_seconds_total", _US)
        for what in ("cpu", "memory", "io")
        for how in ("waiting", "stalled")
    },
}
# Of the node: PSI and what node-exporter has, beside the root cgroup's own as cAdvisor tells them of id="/".
_HELP: Dict[str, str] = {
    "container_last_seen": "Unix seconds at which the cgroup was read.",
    "container_start_time_seconds": "Unix seconds at which it was made.",
    "container_processes": "Processes in the container.",
    "node_boot_time_seconds": "Unix seconds at which the node booted.",
    "krm_processes": "Processes on the node, by whether a container or pod holds them.",
    "krm_runtime_processes": "Processes of this part of the runtime.",
    "krm_runtime_cpu_seconds": "CPU time of those of them that run now.",
    "krm_runtime_resident_memory_bytes": "Memory that they hold.",
    "krm_pod_overhead_cpu_seconds": "CPU time of the pod's cgroup less its containers'.",
    "krm_pod_overhead_memory_bytes": "Working set of the pod's cgroup less its containers'.",
    "krm_pod_shim_cpu_seconds": "CPU time of the pod's shims, which run beside its cgroup.",
    "krm_pod_shim_resident_memory_bytes": "Memory that they hold.",
    "krm_runtime_difference_ratio": "(runtime's API - cgroup) / cgroup.",
    "krm_agent_missing": "What the agent cannot see here.",
    "krm_agent_info": "Version of cgroups on this node.",
    "krm_agent_last_turn_time_seconds": "Unix seconds of the end of the newest turn.",
    "krm_agent_turn_cpu_seconds": "CPU time that it cost.",
}


class _Families:
    """Series by name, each family's together, none twice."""

    def __init__(self) -> None:
        self._lines: Dict[str, List[str]] = {}
        self._kinds: Dict[str, Tuple[str, str]] = {}
        self._known: Set[str] = set()

    def add(self, name: str, inside: str, value: Number, help: str = "", kind: str = _GAUGE, at: str = "") -> None:
        """`inside`: labels, as `_rendered` has them. `at`: a space and Unix milliseconds, where the series has a
        time of its own."""
        series = f"{name}{{{inside}}}" if inside else name
        if series in self._known:
            return  # two names that are the same once they are text: the first counts
        self._known.add(series)
        self._kinds.setdefault(name, (help or _HELP[name], kind))
        self._lines.setdefault(name, []).append(f"{series} {value}{at}")

    def text(self) -> Iterator[str]:
        for name, lines in self._lines.items():
            help, kind = self._kinds[name]
            yield f"# HELP {name} {help}"
            yield f"# TYPE {name} {kind}"
            yield from lines


_ROOT = (("id", "/"), ("name", ""), ("image", ""), ("namespace", ""), ("pod", ""), ("container", ""))


def exposition(seen: Seen) -> bytes:
    """/metrics of one turn."""
    families, every = _Families(), listed(seen)
    _figures(families, _rendered(_ROOT), seen.node_figures, _at(seen.time))
    _node(families, seen)
    for sandbox in (False, True):
        for cgroup in every.sandboxes if sandbox else every.containers:
            _cgroup(families, cgroup, every, sandbox)
    for cgroup in (*every.pods, *every.classes, *every.others):
        if cgroup.place.path != "/":
            _cgroup(families, cgroup, every, False)
    _processes(families, seen, every)
    _runtime(families, seen, every)
    return ("\n".join(families.text()) + "\n").encode("utf-8", "backslashreplace")


def _labels(cgroup: Cgroup, every: Listed, sandbox: bool) -> str:
    place = cgroup.place
    owner = every.owner(place.container_id, place.pod_uid)
    return _rendered((
        ("id", place.path), ("name", place.container_id), ("image", owner.image), ("namespace", owner.namespace),
        ("pod", owner.pod), ("container", POD_SANDBOX if sandbox else owner.container),
    ))  # fmt: skip


def _cgroup(families: _Families, cgroup: Cgroup, every: Listed, sandbox: bool) -> None:
    labels, at = _labels(cgroup, every, sandbox), _at(cgroup.at)
    _figures(families, labels, cgroup.figures, at)
    families.add("container_last_seen", labels, cgroup.at, at=at)
    if cgroup.started is not None:
        families.add("container_start_time_seconds", labels, cgroup.started, at=at)


def _figures(families: _Families, labels: str, figures: Mapping[str, Union[int, str]], at: str) -> None:
    for name, value in figures.items():
        told, row = SERIES.get(name), FIGURES.get(name)
        if told is None or row is None or value == UNLIMITED or isinstance(value, str):
            continue
        number = value if told.scale == 1 else value / told.scale
        kind = "counter" if row.kind == COUNTER else _GAUGE
        if told.name.startswith(_OF_NODE):  # as node-exporter has it: there is one node
            families.add(told.name, "", number, row.what, kind)
        else:
            inside = f"{labels},{_rendered(told.more)}" if told.more else labels
            families.add(told.name, inside, number, row.what, kind, at)


def _node(families: _Families, seen: Seen) -> None:
    if seen.booted is not None:
        families.add("node_boot_time_seconds", "", seen.booted)
    for what in ("cpu", "memory", "io"):
        for how in ("waiting", "stalled"):
            value = seen.node_figures.get(f"{what}_{how}_us")
            if isinstance(value, int):
                name = f"node_pressure_{what}_{how}_seconds_total"
                families.add(name, "", value / _US, FIGURES[f"{what}_{how}_us"].what, "counter")
    families.add("krm_agent_info", _rendered((("node", seen.node), ("cgroups", seen.version))), 1)
    families.add("krm_agent_last_turn_time_seconds", "", seen.time)
    families.add("krm_agent_turn_cpu_seconds", "", seen.seconds)
    for one in seen.missing:
        families.add("krm_agent_missing", _rendered((("what", one.what),)), 1)


def _processes(families: _Families, seen: Seen, every: Listed) -> None:
    """Not one series a process: their names would be without bound. /v1/processes has them."""
    if seen.processes_at is None:
        return
    counts: Dict[str, int] = {}
    for process in seen.processes:
        counts[process.container_id] = counts.get(process.container_id, 0) + 1
    for sandbox in (False, True):
        for cgroup in every.sandboxes if sandbox else every.containers:
            count = counts.get(cgroup.place.container_id, 0)
            if not count and cgroup.figures.get("pids") != 0:
                continue  # it came after they were looked at, or they are hidden
            families.add("container_processes", _labels(cgroup, every, sandbox), count, at=_at(seen.processes_at))
    inside = sum(1 for process in seen.processes if process.container_id or process.pod_uid)
    families.add("krm_processes", 'of="host"', len(seen.processes) - inside)
    families.add("krm_processes", 'of="containers"', inside)


def _runtime(families: _Families, seen: Seen, every: Listed) -> None:
    for part in seen.runtime:
        labels = _rendered((("part", part.part),))
        families.add("krm_runtime_processes", labels, part.processes)
        families.add("krm_runtime_cpu_seconds", labels, part.cpu_ns / _NS)
        families.add("krm_runtime_resident_memory_bytes", labels, part.rss)
    for one in seen.overheads:
        owner = every.owner("", one.pod_uid)
        pod = _rendered((("namespace", owner.namespace), ("pod", owner.pod), ("uid", one.pod_uid)))
        if one.cpu_ns is not None:
            families.add("krm_pod_overhead_cpu_seconds", pod, one.cpu_ns / _NS)
        if one.memory is not None:
            families.add("krm_pod_overhead_memory_bytes", pod, one.memory)
        families.add("krm_pod_shim_cpu_seconds", pod, one.shim_cpu_ns / _NS)
        families.add("krm_pod_shim_resident_memory_bytes", pod, one.shim_rss)
    for difference in seen.differences:
        if difference.share is not None:
            labels = _rendered((("name", difference.container_id), ("figure", difference.figure)))
            families.add("krm_runtime_difference_ratio", labels, difference.share)


def _at(moment: float) -> str:
    return f" {round(moment * 1000)}"


def _rendered(labels: Labels) -> str:
    return ",".join([f'{key}="{_escaped(text)}"' for key, text in labels])


def _escaped(text: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    return plain(text).replace("\\", "\\\\").replace('"', '\\"')  # it has no line end
