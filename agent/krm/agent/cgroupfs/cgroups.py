"""The cgroups of one turn: which of a walk are read, and what is kept of them between turns.

Limits change rarely and are half of the files: they are read when a cgroup is new and each LIMITS_EVERY-th turn.
Since when a cgroup is there no file says for sure, so the earliest process that was ever seen in it does.
"""

from __future__ import annotations

import time
from typing import AbstractSet, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.agent.cgroupfs.hierarchy import V2, Hierarchy, Unreadable
from krm.agent.cgroupfs.parsing import keyed
from krm.agent.cgroupfs.reading import Last, limits_of, read_cgroup, with_limits
from krm.agent.figures import Figures, Value
from krm.agent.seen import CONTAINER, NODE, OTHER, POD, Cgroup, Place, Process

LIMITS_EVERY = 6  # turns: half a minute
MOST_INSIDE = 500  # cgroups below containers' own
_KILLS = keyed({"oom_kill": ("oom_kills", 1)})


class _Kept(NamedTuple):
    inode: int  # its identity: a cgroup of the same path, made anew, has another
    limits: Figures
    started: Optional[float]  # Unix seconds
    last: Last


class Cgroups:
    """Reads them, and remembers. Not for several threads."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self._kept: Dict[str, _Kept] = {}
        self._turns = 0
        self._processes: Sequence[Process] = ()  # of the newest look at them
        self._earliest: Mapping[str, float] = {}

    def turn(
        self,
        places: Iterable[Place],
        others: AbstractSet[str],
        now: float,
        inodes: Optional[Mapping[str, int]] = None,
    ) -> Tuple[Cgroup, ...]:
        """Those of QoS classes, pods and containers, and the `others` by path. The root is the node's own. `now`:
        Unix seconds; each cgroup is told at the moment of its own reading. `inodes`: of their folders, as far as
        the walk saw them."""
        inodes = inodes or {}
        limits_due = self._turns % LIMITS_EVERY == 0
        self._turns += 1
        began = time.monotonic()
        found: List[Cgroup] = []
        kept: Dict[str, _Kept] = {}
        apart = 0 if self._hierarchy.version == V2 else MOST_INSIDE
        for place in places:
            if place.level == OTHER and place.path not in others:
                if place.container_id and apart:
                    apart -= 1
                    found += self._kills(place, now)
                continue
            if place.level == NODE:
                continue
            inode = inodes.get(place.path) or self._inode(place)
            before = self._kept.get(place.path)
            if before is not None and before.inode != inode:
                before = None
            limits_too = limits_due or before is None
            last = Last() if before is None else before.last
            cgroup = read_cgroup(self._hierarchy, place, now + time.monotonic() - began, limits_too, last)
            if cgroup is None:
                continue
            if before is None or limits_too:
                limits = limits_of(cgroup.figures)
            else:
                limits = before.limits
                cgroup = with_limits(cgroup, limits)
            started = None if before is None else before.started
            kept[place.path] = _Kept(inode, limits, started, last)
            found.append(cgroup if started is None else cgroup._replace(started=started))
        self._kept = kept
        return tuple(found)

    def since(self, cgroups: Iterable[Cgroup], processes: Sequence[Process]) -> Tuple[Cgroup, ...]:
        """With the start of the earliest process that was seen in them, or in a container of a pod."""
        if processes is not self._processes:
            self._processes, self._earliest = processes, _earliest(processes)
        told: List[Cgroup] = []
        for cgroup in cgroups:
            place, started = cgroup.place, cgroup.started
            key = {CONTAINER: place.container_id, POD: place.pod_uid}.get(place.level)
            first = self._earliest.get(key) if key else None
            if first is not None and (started is None or first < started):
                started = first
                self._kept[place.path] = self._kept[place.path]._replace(started=first)
                cgroup = cgroup._replace(started=first)
            told.append(cgroup)
        return tuple(told)

    def _kills(self, place: Place, now: float) -> List[Cgroup]:
        """OOM kills alone, of a cgroup below a container's: version 1 counts them in each by itself."""
        figures: Dict[str, Value] = {}
        try:
            _KILLS(self._hierarchy.read("memory", place.path, "memory.oom_control"), figures)
        except (FileNotFoundError, Unreadable):
            return []
        return [Cgroup(place, now, None, figures)]

    def _inode(self, place: Place) -> int:
        try:
            return self._hierarchy.made(self._hierarchy.walked(), place.path)[0]
        except (FileNotFoundError, Unreadable):
            return 0


def _earliest(processes: Iterable[Process]) -> Mapping[str, float]:
    """Container id, and pod uid -> Unix seconds."""
    earliest: Dict[str, float] = {}
    for process in processes:
        for key in (process.container_id, process.pod_uid):
            if key and process.started < earliest.get(key, float("inf")):
                earliest[key] = process.started
    return earliest
