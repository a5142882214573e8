"""A kubelet's /metrics/cadvisor: throttling, pressure, page faults, cache, network of pods, OOM kills.

The page is large (100 lines a cgroup), so lines are chosen by name before anything of them is read. Cgroups
that belong to no pod are left out but the root, which is the node. Right: get on nodes/metrics.

Of a pod without a container's name there are two cgroups: the pod's own (no name), and its sandbox's, which
holds the pause process, and whose network is the pod's.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from krm.cluster.endpoints import TIMEOUT, Endpoints
from krm.collector.source import NoData, Target
from krm.collector.sources.asking import body_of
from krm.collector.sources.exposition import MAX_LINE, blocks, labels_of, number, usable
from krm.collector.sources.moments import AHEAD, Part, Traffic, joined, traffic_of, uid_of
from krm.model.measures import LEVELS, Sample, Subject
from krm.model.metrics import TABLE

NAME = "kubelet/cadvisor"
PATH = "/metrics/cadvisor"
MOST = 32 * 1024 * 1024  # bytes: 250 pods of two containers have about 30 MiB
_CPU, _STARTED = "cpu/usage", "started"
Labels = Dict[str, str]
_PRESSURES = tuple(f"{what}_{how}" for what in ("cpu", "memory", "io") for how in ("waiting", "stalled"))


class _Wanted(NamedTuple):
    """A series: the metric that it is, and what its other labels must say."""

    metric: str
    label: str = ""
    value: str = ""  # '' = any: the label tells parts of the subject


_WANTED: Dict[str, _Wanted] = {
    "container_cpu_usage_seconds_total": _Wanted(_CPU, "cpu", "total"),
    "container_cpu_cfs_periods_total": _Wanted("cpu/periods"),
    "container_cpu_cfs_throttled_periods_total": _Wanted("cpu/throttled_periods"),
    "container_cpu_cfs_throttled_seconds_total": _Wanted("cpu/throttled_time"),
    "container_memory_cache": _Wanted("memory/cache"),
    "container_memory_rss": _Wanted("memory/rss"),
    "container_memory_swap": _Wanted("swap/usage"),
    "container_memory_usage_bytes": _Wanted("memory/usage"),
    "container_memory_working_set_bytes": _Wanted("memory/working_set"),
    # Of the cgroup and all below it: for a pod and the node that is what counts, for a container it is the same.
    "container_memory_failures_total": _Wanted("memory/", "scope", "hierarchy"),
    "container_network_receive_bytes_total": _Wanted("network/rx", "interface"),
    "container_network_receive_errors_total": _Wanted("network/rx_errors", "interface"),
    "container_network_transmit_bytes_total": _Wanted("network/tx", "interface"),
    "container_network_transmit_errors_total": _Wanted("network/tx_errors", "interface"),
    "container_fs_usage_bytes": _Wanted("filesystem/usage", "device"),
    "container_fs_limit_bytes": _Wanted("filesystem/limit", "device"),
    "container_fs_inodes_total": _Wanted("filesystem/inodes", "device"),
    "container_fs_inodes_free": _Wanted("filesystem/inodes_free", "device"),
    "container_oom_events_total": _Wanted("oom/kills"),
    "container_threads": _Wanted("pids/usage"),
    "container_threads_max": _Wanted("pids/limit"),
    "container_start_time_seconds": _Wanted(_STARTED),
    **{f"container_pressure_{name}_seconds_total": _Wanted(f"pressure/{name}_time") for name in _PRESSURES},
}
_FAULTS = {"pgfault": "page_faults", "pgmajfault": "major_page_faults"}
_ZERO_IS_NONE = ("pids/limit", "filesystem/limit", "filesystem/inodes", _STARTED)
_AT_LEVEL = {level: {name for name, row in TABLE.items() if level in row.levels} for level in LEVELS}
_POD_UID = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})").search
_LINE = re.compile(r"\{(.*)\} ([^\s_]+)(?: ([0-9]{1,15}))?").fullmatch


class _Cgroup:
    """What a page says of one cgroup."""

    def __init__(self, labels: Labels) -> None:
        container = labels.get("container", "")
        self.container = "" if container == "POD" else container
        self.namespace, self.pod = labels.get("namespace", ""), labels.get("pod", "")
        self.root = labels.get("id") == "/"
        self.sandbox = not self.container and bool(labels.get("name"))
        uid = _POD_UID(labels.get("id", ""))
        self.uid = uid_of(uid.group(1)) if uid is not None else ""
        self.wanted = self.root or bool(self.namespace and self.pod and labels.get("id"))
        self.started: Optional[float] = None
        self.values: Dict[float, Dict[str, float]] = {}  # time -> metric -> value
        self.interfaces: Dict[float, Dict[str, Traffic]] = {}
        self.disks: Dict[str, Dict[float, Dict[str, float]]] = {}

    def subject(self, node: str) -> Subject:
        if self.root:
            return Subject(node=node)
        return Subject(self.namespace, self.pod, self.uid, self.container, node)

    def put(self, wanted: _Wanted, labels: Labels, at: float, value: float) -> None:
        metric, part = wanted.metric, labels.get(wanted.label, "")
        if wanted.value and part != wanted.value:
            return
        if metric == _STARTED:
            self.started = value
        elif wanted.label == "interface":
            self.interfaces.setdefault(at, {}).setdefault(part, {})[metric] = value
        elif wanted.label == "device":
            self.disks.setdefault(part, {}).setdefault(at, {})[metric] = value
        elif wanted.label == "scope":
            kind = _FAULTS.get(labels.get("failure_type", ""))
            if kind:
                self.values.setdefault(at, {})[metric + kind] = value
        else:
            self.values.setdefault(at, {})[metric] = int(value * 1e9) if metric == _CPU else value


_Known = Tuple[_Cgroup, Labels]


class Cadvisor:
    """The source."""

    name = NAME

    def __init__(self, door: Endpoints, timeout: float = TIMEOUT) -> None:
        self._door, self._timeout = door, timeout

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """Samples of the node, its pods and containers. Raises NoData."""
        return samples_of(body_of(self._door, target, PATH, MOST, self._timeout, gzip=True), target, now)


def samples_of(raw: bytes, target: Target, now: float) -> List[Sample]:
    """The samples of one page. Raises NoData where it has none."""
    cgroups: Dict[str, _Cgroup] = {}  # by id
    known: Dict[str, _Known] = {}  # a container's series have mostly the same text of labels
    for page in blocks(raw, f"{target.name}: {PATH}"):
        for text in page.split("\n"):
            wanted = _WANTED.get(text[: text.find("{")])
            if wanted is not None:
                _take(text, wanted, cgroups, known, now)
    samples: List[Sample] = []
    parts: Dict[Subject, _Parts] = {}
    for cgroup in _living(cgroups.values()):
        subject = cgroup.subject(target.node)
        at_level = _AT_LEVEL[subject.level]
        found = parts.setdefault(subject, _Parts(None, []))
        if not cgroup.sandbox:  # the pause process is nobody's load
            found = parts[subject] = found._replace(started=cgroup.started)
            for at, values in sorted(cgroup.values.items(), reverse=True):
                found.parts.append((at, {name: value for name, value in values.items() if name in at_level}))
            samples += _disks(cgroup, subject, at_level)
        for at, interfaces in cgroup.interfaces.items():
            found.parts.append((at, traffic_of(interfaces, cgroup.root)))
    for subject, (started, moments) in parts.items():
        samples += joined(subject, moments, NAME, started)
    if not samples:
        raise NoData(f"{target.name}: {PATH} has no numbers of a kubelet: is it a kubelet's address?")
    return samples


class _Parts(NamedTuple):
    started: Optional[float]
    parts: List[Part]


def _take(text: str, wanted: _Wanted, cgroups: Dict[str, _Cgroup], known: Dict[str, _Known], now: float) -> None:
    match = _LINE(text, text.find("{")) if len(text) <= MAX_LINE else None
    if match is None:
        return
    written, raw, millis = match.groups()
    found = known.get(written)
    if found is None:
        labels = labels_of(written) or {}
        cgroup = cgroups.get(labels.get("id", ""))
        if cgroup is None:
            cgroup = cgroups[labels.get("id", "")] = _Cgroup(labels)
        found = known[written] = (cgroup, labels)
    value = number(raw) if found[0].wanted else None
    if value is None or not usable(value) or (value == 0.0 and wanted.metric in _ZERO_IS_NONE):
        return
    at = int(millis) / 1000.0 if millis else now
    if 0.0 < at < now + AHEAD:
        found[0].put(wanted, found[1], at, value)


def _living(cgroups: Iterable[_Cgroup]) -> Iterator[_Cgroup]:
    """Each container's newest cgroup: for a moment after a restart that of the former one is there as well."""
    newest: Dict[Subject, _Cgroup] = {}
    for cgroup in cgroups:
        if not cgroup.wanted:
            continue
        if not cgroup.container:
            yield cgroup
            continue
        subject = cgroup.subject("")
        other = newest.get(subject)
        if other is None or (cgroup.started or 0.0) > (other.started or 0.0):
            newest[subject] = cgroup
    yield from newest.values()


def _disks(cgroup: _Cgroup, subject: Subject, at_level: Set[str]) -> Iterator[Sample]:
    for device, moments in cgroup.disks.items():
        parts = [(at, {name: value for name, value in values.items() if name in at_level})
                 for at, values in moments.items()]  # fmt: skip
        yield from joined(subject._replace(resource_id=device), parts, NAME)
