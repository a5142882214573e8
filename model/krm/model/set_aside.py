"""What a node's runtime and a pod's overhead used, beside what was set aside for it. Pure.

Who knows the declared values (a RuntimeClass' overhead.podFixed, the kubelet's system-reserved and kube-reserved)
gives them. What was used comes from two looks of a node's agent: krm.agent.seen.PodOverhead and RuntimeCost.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Protocol

_NS = 1e9  # in a second
_PASSING = frozenset({"runc", "crun"})


class Beyond(Protocol):
    """What a pod costs beyond its containers, and its shims beside it."""

    @property
    def cpu_ns(self) -> Optional[int]: ...
    @property
    def memory(self) -> Optional[int]: ...  # bytes
    @property
    def shims(self) -> int: ...
    @property
    def shim_cpu_ns(self) -> int: ...
    @property
    def shim_rss(self) -> int: ...


class Part(Protocol):
    """What one part of the runtime costs."""

    @property
    def part(self) -> str: ...
    @property
    def processes(self) -> int: ...
    @property
    def cpu_ns(self) -> int: ...
    @property
    def rss(self) -> int: ...


class Use(NamedTuple):
    """None = not known, or not declared."""

    cores: Optional[float]
    memory: Optional[int]  # bytes


class Share(NamedTuple):
    """Used / declared; more than 1 = it was set too low. None = either is not known, or 0 was declared."""

    cores: Optional[float]
    memory: Optional[float]


def pod_use(now: Beyond, before: Beyond, seconds: float) -> Use:
    """Of one pod over the `seconds` between two looks: what its cgroup has beyond its containers, and its shims."""
    cores = None
    if now.cpu_ns is not None and before.cpu_ns is not None and now.shims == before.shims:
        cores = _cores(now.cpu_ns + now.shim_cpu_ns, before.cpu_ns + before.shim_cpu_ns, seconds)
    return Use(cores, None if now.memory is None else now.memory + now.shim_rss)


def node_use(now: Iterable[Part], before: Iterable[Part], seconds: float) -> Use:
    """Of all parts of the runtime together, as processes: a page that two of them share counts twice. Where a part
    has another number of processes than before no CPU is known, for one that ended took its time with it; of those
    that run for moments alone it never is, and they are left out."""
    was = {cost.part: cost for cost in before}
    total: Optional[float] = 0.0
    memory = 0
    for cost in now:
        memory += cost.rss
        if cost.part in _PASSING:
            continue
        former = was.get(cost.part)
        grown = None
        if former is not None and former.processes == cost.processes:
            grown = _cores(cost.cpu_ns, former.cpu_ns, seconds)
        total = None if total is None or grown is None else total + grown
    return Use(total, memory)


def against(used: Use, declared: Use) -> Share:
    return Share(_share(used.cores, declared.cores), _share(used.memory, declared.memory))


def _cores(now: int, before: int, seconds: float) -> Optional[float]:
    return (now - before) / _NS / seconds if seconds > 0 and now >= before else None


def _share(used: Optional[float], declared: Optional[float]) -> Optional[float]:
    return used / declared if used is not None and declared else None
