"""One OOM kill as a row, and the kills of one container as a series. Values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

from krm.analysis.oom.growth import Leak, Neighbour
from krm.model.kills import Kill, Moment
from krm.model.measures import Covers


@dataclass(frozen=True)
class Case:
    """Memory in bytes, times in Unix seconds, shares 0..1. None = not known, or there is no such thing."""

    id: str  # the same in each answer
    at: float
    after: float  # as early as it can have been
    node: str
    namespace: str  # '' = a process of the host
    pod: str
    pod_uid: str
    container: str
    container_id: str
    owner: str  # deployment.apps/web; '' = the pod is gone, or not known
    there: Optional[bool]  # its pod is in the snapshot
    process: str
    pid: Optional[int]
    rss: Optional[int]  # that the process held
    cause: str  # of krm.analysis.oom.cause.CAUSES
    limit: Optional[float]  # that was hit
    limited: str  # path of its cgroup
    limit_now: Optional[float]  # of the container, in force now
    child: Optional[bool]  # a child was killed, and the container goes on
    pattern: str  # leak, spike, '' = neither, or not known
    leak: Optional[Leak]
    peak: Optional[float]  # the largest working set of this life that was seen
    rose: Optional[float]  # working set, in the minute before
    waiting: Optional[float]  # memory PSI `some` of the container, the worst of that minute
    node_waiting: Optional[float]  # the same of the node
    node_available: Optional[int]  # of the node, the least of that minute
    neighbours: Tuple[Neighbour, ...]  # that grew most in that minute
    neighbours_covered: Optional[Covers]  # of how many that minute is known
    before: Tuple[Moment, ...]  # the minute before, oldest first
    number: int  # of the container's kills of the day, 1 = the first
    of: int
    witnesses: Tuple[str, ...]
    sureness: str  # of krm.analysis.finding.SURENESS, of the cause
    doubts: Tuple[str, ...]
    would_change: str
    limit_advised: Optional[float]  # a number stands here only where it is well founded


@dataclass(frozen=True)
class Series:
    """The kills of one container in the last day. Times in Unix seconds."""

    node: str  # of the last one
    namespace: str
    pod: str
    container: str
    kills: int
    first: float
    last: float
    interval: Optional[float]  # seconds, the median between two; None = there is one
    causes: Tuple[Tuple[str, int], ...]  # cause -> kills, the most first


def whose(kill: Union[Kill, Case]) -> Tuple[str, ...]:
    """What kills of one series have in common: a restarted container is the same, another pod is not."""
    if kill.pod:
        return (kill.namespace, kill.pod, kill.pod_uid, kill.container)
    return (kill.node, kill.container_id or kill.pod_uid or kill.process or kill.id, "", "")


def series_of(cases: Sequence[Case]) -> Tuple[Series, ...]:
    """Of all that are asked for."""
    groups: Dict[Tuple[str, ...], List[Case]] = {}
    for one in sorted(cases, key=lambda case: (case.at, case.id)):
        groups.setdefault(whose(one), []).append(one)
    found = [_series(group) for group in groups.values()]
    return tuple(sorted(found, key=lambda one: (-one.kills, -one.last, one.namespace, one.pod, one.container)))


def _series(group: Sequence[Case]) -> Series:
    last = group[-1]
    gaps = sorted(after.at - before.at for before, after in zip(group, group[1:]))
    counts: Dict[str, int] = {}
    for one in group:
        counts[one.cause] = counts.get(one.cause, 0) + 1
    return Series(
        last.node, last.namespace, last.pod, last.container, len(group), group[0].at, last.at,
        gaps[len(gaps) // 2] if gaps else None,
        tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
    )  # fmt: skip
