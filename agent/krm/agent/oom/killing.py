"""All that a node's agent knows of OOM kills: its witnesses asked each turn, and one ledger of what they say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.agent.cgroupfs.hierarchy import V2
from krm.agent.figures import Figures
from krm.agent.oom.before import Before
from krm.agent.oom.kmsg import NOT_ASKED, KernelLog
from krm.agent.oom.witnesses import Counters
from krm.agent.seen import CONTAINER, Cgroup, Missing, Named, Process
from krm.model.kill_ledger import SLACK, Ledger
from krm.model.kills import CGROUP, CONTAINER_LIMIT, KERNEL_LOG, Evidence, Kill

_RECENT = 120.0  # seconds: longer than two turns


class Looked(NamedTuple):
    """What a turn read before it asks for kills."""

    now: float  # Unix seconds
    clock: float  # CLOCK_MONOTONIC at the same moment, seconds
    version: str  # of cgroups
    cgroups: Sequence[Cgroup]
    node: Figures
    named: Mapping[str, Named] = {}  # container id -> whose
    processes: Sequence[Process] = ()  # as they were last looked at
    ended: Sequence[Evidence] = ()  # what the runtime's API says


class Kills:
    """The ledger of one node. `kernel_log`: path of /dev/kmsg; "" = it is not read."""

    def __init__(self, node: str, procfs: Path, kernel_log: str) -> None:
        self._log = KernelLog(kernel_log, node, _boot(procfs)) if kernel_log else None
        self._counters, self._before = Counters(node), Before()
        self._ledger = Ledger()
        self._logged: Dict[str, Evidence] = {}  # of the last turns

    def turn(self, looked: Looked) -> Tuple[Tuple[Kill, ...], List[Missing]]:
        """All kills that are known, the oldest first. The log is read after the cgroups: so who counted a kill has
        not seen it before the log had it."""
        told = self._counters.turn(looked.version, looked.cgroups, looked.node, looked.now)
        missing = [NOT_ASKED]
        if self._log is not None:
            logged, missing = self._log.turn(looked.now, looked.clock)
            told += _unclaimed(_placed(logged, looked.processes), looked.cgroups)
            if not missing:
                told = self._not_twice(told, looked)
        told += looked.ended
        sees_all = "oom_kills" in looked.node or not missing
        watched = min(self._ledger.watched, looked.now) if sees_all else math.inf
        self._ledger = self._ledger._replace(watched=watched)
        self._before.turn(looked.cgroups, looked.node, looked.now)
        self._ledger = self._ledger.add([self._whole(one, looked.named) for one in told], looked.now)
        return self._ledger.kills, missing

    @property
    def since(self) -> Optional[float]:
        """Unix seconds since when no kill is missed; None = some may be."""
        return None if math.isinf(self._ledger.watched) else self._ledger.watched

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _not_twice(self, told: List[Evidence], looked: Looked) -> List[Evidence]:
        """Where a group is killed (memory.oom.group) the kernel counts one of it twice: in the node's count that is
        not known, and before Linux 5.17 nowhere. The log has each kill once, so there it says how many they are."""
        self._logged.update({one.key: one for one in told if one.witness == KERNEL_LOG})
        self._logged = {key: one for key, one in self._logged.items() if one.at > looked.now - _RECENT}
        groups_known = looked.version != V2 or any("oom_group_kills" in one.figures for one in looked.cgroups)
        found: List[Evidence] = []
        for one in told:
            if one.witness == CGROUP and not (one.pod_uid or one.container_id):
                continue
            if one.witness == CGROUP and not groups_known:
                logged = sum(
                    one.after - SLACK < other.at < one.at + SLACK
                    and (one.container_id or other.container_id) == other.container_id
                    and one.pod_uid == other.pod_uid
                    for other in self._logged.values()
                )
                one = one._replace(kills=min(one.kills, logged or one.kills))
            found.append(one)
        return found

    def _whole(self, told: Evidence, named: Mapping[str, Named]) -> Evidence:
        """With names and the minute before."""
        # A counter was read after the kill: what was read with it is no moment before.
        before = self._before.of(told.container_id, told.after if told.witness == CGROUP else told.at)
        owner = named.get(told.container_id)
        if owner is None or told.pod:
            return told._replace(before=before)
        return told._replace(
            before=before,
            namespace=owner.namespace,
            pod=owner.pod,
            container=owner.container,
            pod_uid=told.pod_uid or owner.pod_uid,
        )


def _placed(logged: List[Evidence], processes: Sequence[Process]) -> List[Evidence]:
    """Of a kill that the log tells without a cgroup, where the process was when it was last looked at."""
    if all(told.cgroup for told in logged):
        return logged
    known = {(one.pid, one.name): one for one in processes}
    found: List[Evidence] = []
    for told in logged:
        process = None if told.cgroup or told.pid is None else known.get((told.pid, told.process))
        if process is not None:
            told = told._replace(cgroup=process.cgroup, container_id=process.container_id, pod_uid=process.pod_uid)
        found.append(told)
    return found


def _unclaimed(logged: List[Evidence], cgroups: Sequence[Cgroup]) -> List[Evidence]:
    """Of a kill in a cgroup that bears the id of another container's, whose it is: the container's that it lies in,
    as the walk has it, and so the counters."""
    if not any(told.container_id for told in logged):
        return logged
    places = {one.place.path: one.place for one in cgroups if one.place.level == CONTAINER}
    paths = {place.container_id: path for path, place in places.items()}
    found: List[Evidence] = []
    for told in logged:
        path = paths.get(told.container_id)
        if path is not None and not f"{told.cgroup}/".startswith(f"{path}/"):
            names = told.cgroup.split("/")
            above = ("/".join(names[:length]) for length in range(len(names), 1, -1))
            around = next((places[one] for one in above if one in places), None)
            if around is not None:
                scope = CONTAINER_LIMIT if told.limited == around.path else told.scope
                told = told._replace(container_id=around.container_id, pod_uid=around.pod_uid, scope=scope)
        found.append(told)
    return found


def _boot(procfs: Path) -> str:
    """What names this boot; "" where it cannot be read."""
    try:
        return (procfs / "sys/kernel/random/boot_id").read_text(encoding="ascii", errors="replace")[:64]
    except OSError:
        return ""
