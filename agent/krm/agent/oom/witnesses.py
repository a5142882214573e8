"""What the counters of OOM kills rose by between two turns: how many processes were killed, and not which.

    a container's    version 1 counts the kills in a cgroup itself, so those below it are added; version 2 counts
                     all below it
    a pod's          version 2 alone: a container that is gone between two turns took its counter along, and its
                     pod's has it still
    the node's       /proc/vmstat: all of them, of processes of the host too

Where a whole cgroup is killed (memory.oom.group, which kubelets set on version 2) the kernel counts the process
that it chose twice, and says how often it killed so: `oom_group_kills`, since Linux 5.17.

The three count the same kills: the ledger takes them for three witnesses. At the first turn they say nothing, for
when the kills before it were is not known. What shows up later counts from 0, unless it is known to be older.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.agent.cgroupfs.hierarchy import V2
from krm.agent.figures import Figures
from krm.agent.seen import CONTAINER, OTHER, POD, QOS, Cgroup, Place
from krm.model.kills import CGROUP, Evidence

KEPT = 900.0  # seconds that a counter is remembered after it was seen last: a walk may miss it for a while
_OLDER = 1.0  # seconds: what began that much before the turn before was there, and was not seen
_NODE = ("node", "")
_Key = Tuple[str, str]  # level and id of container or pod


class _Count(NamedTuple):
    kills: int
    at: float  # Unix seconds at which it was read
    place: Optional[Place]  # None = the node
    started: Optional[float] = None
    pids: int = 0
    # Of version 1: path -> kills of the cgroups below a container's. Each by itself: one that is removed takes its
    # own along.
    below: Mapping[str, int] = {}
    local: bool = False  # without those below it. What began to be counted otherwise did not rise


class Counters:
    """The counters of one node, as they were at the turn before."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._known: Dict[_Key, _Count] = {}
        self._before: Optional[float] = None  # the turn before
        self._rose: Dict[_Key, Evidence] = {}  # of containers at the turn before

    def turn(self, version: str, cgroups: Sequence[Cgroup], node: Figures, now: float) -> List[Evidence]:
        """What rose since the turn before; of containers that go on after a kill it is said once more."""
        counts, all_of_node = _counts(version, cgroups, node, now), self._known.get(_NODE)
        found: List[Evidence] = []
        rose: Dict[_Key, Evidence] = {}
        for key, count in counts.items():
            known = self._known.get(key)
            evidence = self._rise(known, count)
            if evidence is not None:
                found.append(evidence)
                if key[0] == CONTAINER:
                    rose[key] = evidence
            before = self._rose.get(key)
            if before is not None and count.pids > 0 and known is not None and count.kills >= known.kills:
                found.append(before._replace(container_ended=False))
        self._rose, self._before = rose, now
        self._known = {key: one for key, one in self._known.items() if one.at > now - KEPT}
        self._known.update(counts)
        if all_of_node is not None and _NODE in counts and counts[_NODE].kills < all_of_node.kills:
            self._known[_NODE] = all_of_node  # it never falls: what is taken off it was read a moment later
        return found

    def _rise(self, known: Optional[_Count], count: _Count) -> Optional[Evidence]:
        if self._before is None:
            return None
        if known is None:
            if count.place is None or (count.started is not None and count.started < self._before - _OLDER):
                return None
            kills, after = count.kills, max(self._before, count.started or 0.0)
        else:
            if known.local != count.local:
                return None
            kills = count.kills - known.kills
            if kills < 0 and count.place is not None:
                kills = count.kills  # of a cgroup that was made anew: it counts from 0 again
            after = known.at
        if count.below:
            kills = max(0, kills) + _rise_below({} if known is None else known.below, count.below)
        if kills <= 0:
            return None
        place = count.place
        return Evidence(
            witness=CGROUP,
            node=self._node,
            at=count.at,
            after=min(after, count.at),
            kills=kills,
            container_id=place.container_id if place else "",
            pod_uid=place.pod_uid if place else "",
            cgroup=place.path if place else "",
        )


def _counts(version: str, cgroups: Sequence[Cgroup], node: Figures, now: float) -> Dict[_Key, _Count]:
    counts: Dict[_Key, _Count] = {}
    found = [cgroup for cgroup in cgroups if cgroup.place.level in (CONTAINER, POD, OTHER)]
    total = node.get("oom_kills")
    if isinstance(total, int):
        twice = [_number(one, "oom_group_kills") for one in cgroups if one.place.level == QOS and _topmost(one)]
        counts[_NODE] = _Count(total - sum(number or 0 for number in twice), now, None)
    if version == V2:
        return {**counts, **_of_version_2(found)}
    below: Dict[str, Dict[str, int]] = {}
    for cgroup in found:
        kills, place = _number(cgroup, "oom_kills"), cgroup.place
        if kills is None:
            continue
        if place.level == CONTAINER:
            counts[CONTAINER, place.container_id] = _count(kills, cgroup)
        elif place.level == OTHER and place.container_id:
            below.setdefault(place.container_id, {})[place.path] = kills
    for container, those in below.items():
        own = counts.get((CONTAINER, container))
        if own is not None:
            counts[CONTAINER, container] = own._replace(below=those)
    return counts


def _rise_below(known: Mapping[str, int], now: Mapping[str, int]) -> int:
    """One that is new, or was made anew, counts from 0."""
    former = {path: known.get(path, 0) for path in now}
    return sum(kills - former[path] if kills >= former[path] else kills for path, kills in now.items())


def _of_version_2(cgroups: List[Cgroup]) -> Mapping[_Key, _Count]:
    """A container that holds a whole node (kind) is asked for its own processes alone, and its pod not at all: the
    kills below are of the containers in it."""
    outer = {cgroup.place.outer for cgroup in cgroups if cgroup.place.outer}
    holding: Set[str] = {one.place.pod_uid for one in cgroups if outer and one.place.container_id in outer}
    counts: Dict[_Key, _Count] = {}
    for cgroup in cgroups:
        place = cgroup.place
        nested = place.level == CONTAINER and place.container_id in outer
        kills = _number(cgroup, "oom_kills_local" if nested else "oom_kills")
        if kills is None:
            continue
        if not nested:
            kills -= _number(cgroup, "oom_group_kills") or 0
        if place.level == CONTAINER:
            counts[CONTAINER, place.container_id] = _count(kills, cgroup)._replace(local=nested)
        elif place.level == POD and place.pod_uid not in holding:
            counts[POD, place.pod_uid] = _count(kills, cgroup)
    return counts


def _topmost(cgroup: Cgroup) -> bool:
    """kubepods itself: with what lies below it."""
    return not cgroup.place.qos and not cgroup.place.outer


def _count(kills: int, cgroup: Cgroup) -> _Count:
    return _Count(kills, cgroup.at, cgroup.place, cgroup.started, _number(cgroup, "pids") or 0)


def _number(cgroup: Cgroup, name: str) -> Optional[int]:
    value = cgroup.figures.get(name)
    return value if isinstance(value, int) else None
