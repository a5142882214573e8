"""What the runtime itself costs, a node and a pod. Pure. What was set aside for it the collector knows.

A part of the runtime is a process of the host, of root, that bears its name; one that a container calls containerd
is that container's, and one of a nested node the outer container's. A shim is its pod's: it is the parent of the
pod's containers, and conmon also lives in a cgroup named after its container. A shim that several pods share is
none's, and counts for the node alone.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.agent.cgroupfs.places import conmon_of
from krm.agent.figures import Figures
from krm.agent.seen import CONTAINER, POD, Cgroup, Named, PodOverhead, Process, RuntimeCost

SHIM, CONMON = "containerd-shim", "conmon"
# comm, at most 15 bytes: part. containerd-shim-runc-v2, -kata-v2 and their like all end there.
_PARTS: Dict[str, str] = {
    "dockerd": "dockerd",
    "docker-proxy": "docker-proxy",
    "cri-dockerd": "cri-dockerd",
    "containerd": "containerd",
    "containerd-shim": SHIM,
    "crio": "cri-o",
    "conmon": CONMON,
    "conmonrs": CONMON,
    "runc": "runc",
    "crun": "crun",
    "kubelet": "kubelet",
}
_SERVICES = frozenset({"dockerd", "cri-dockerd", "containerd", "cri-o", "kubelet"})  # what systemd starts
_SHIMS = frozenset({SHIM, CONMON})


def part_of(process: Process) -> str:
    """The part of the runtime that it is; "" = of none."""
    if process.container_id or process.uid:
        return ""
    # runc calls itself runc:[1:CHILD] on the way to a container.
    return _PARTS.get(process.name.partition(":")[0], "")


def runtime_cgroups(processes: Iterable[Process]) -> FrozenSet[str]:
    """Paths of the cgroups that parts of the runtime live in: what `runtime_costs` can use the figures of."""
    return frozenset(process.cgroup for process in processes if part_of(process) in _SERVICES) - {"", "/"}


def runtime_costs(cgroups: Iterable[Cgroup], processes: Sequence[Process]) -> Tuple[RuntimeCost, ...]:
    """One a part that runs now, in order of their names. A part that does not run is not in it.

    A service has the figures of its cgroup where nothing but the runtime lives in that: those of containerd's unit
    hold its shims too, which systemd leaves there.
    """
    parts: Dict[str, List[Process]] = {}
    strangers: Set[str] = set()  # cgroups in which something else lives
    for process in processes:
        part = part_of(process)
        if part:
            parts.setdefault(part, []).append(process)
        else:
            strangers.add(process.cgroup)
    figures = {cgroup.place.path: cgroup.figures for cgroup in cgroups}
    costs = []
    for part, those in sorted(parts.items()):
        homes = {process.cgroup for process in those}
        home = homes.pop() if part in _SERVICES and len(homes) == 1 else ""
        own: Figures = {} if home in ("/", "") or home in strangers else figures.get(home, {})
        used, resident = sum(one.cpu_ns for one in those), sum(one.rss for one in those)
        costs.append(RuntimeCost(part, len(those), used, resident, own))
    return tuple(costs)


class Counted(NamedTuple):
    """What is remembered of a pod from one turn to the next."""

    base: int  # ns: what its cgroup had used beyond its containers that is not counted as overhead
    counted: Optional[int]  # ns, so far; None = its first turn
    containers: FrozenSet[str]  # ids of the containers that were in it
    pod_cpu: int  # ns: the counter of its cgroup


class Kept(NamedTuple):
    """What is remembered of all."""

    at: float  # Unix seconds, of the newest figure
    pods: Mapping[str, Counted]  # by pod uid


def pod_overheads(
    cgroups: Iterable[Cgroup],
    processes: Sequence[Process],
    named: Mapping[str, Named],
    before: Optional[Kept] = None,
) -> Tuple[Tuple[PodOverhead, ...], Kept]:
    """What each pod costs beyond its containers (not those of a nested node), and the next turn's `before`.

    Its sandbox is part of the overhead, if the runtime says which it is, or pause is all that runs in it.

    cpu_ns is a counter. A pod's cgroup keeps what containers used that ended, so the difference to those that run
    is no overhead: it counts from the turn after the one in which the pod was first seen (None in that), or from 0
    where the pod was started since the turn before. The growth of a turn in which a container ended is not
    counted, for how much of it was the container's is not known. It never falls: what a container used between the
    two reads of one turn comes back in the next. memory is of one moment: less than none comes of two reads, and
    is 0.

    Both are None where a figure is not known, or where containers do not lie in their pod's cgroup.
    """
    pods: Dict[str, Cgroup] = {}
    containers: Dict[str, List[Cgroup]] = {}
    for cgroup in cgroups:
        place = cgroup.place
        if place.level == POD and not place.outer:
            pods[place.pod_uid] = cgroup
        elif place.level == CONTAINER and not place.outer and place.pod_uid:
            containers.setdefault(place.pod_uid, []).append(cgroup)
    sandboxes = _sandboxes(processes, named)
    shims = _shims_of_pods(
        processes, {c.place.container_id: uid for uid, those in containers.items() for c in those}
    )
    found: List[PodOverhead] = []
    kept: Dict[str, Counted] = {}
    at = max((pod.at for pod in pods.values()), default=0.0 if before is None else before.at)
    for uid, pod in pods.items():
        inside = containers.get(uid, [])
        apart = any(c.place.path.rpartition("/")[0] != pod.place.path for c in inside)
        running = [c for c in inside if c.place.container_id not in sandboxes]
        cpu = memory = None
        if not apart:
            known = None if before is None else before.pods.get(uid)
            is_young = before is not None and pod.started is not None and pod.started >= before.at
            now = _counted(pod, running, known, is_young)
            if now is not None:
                kept[uid], cpu = now, now.counted
            elif known is not None:
                kept[uid] = known
            memory = _beyond("memory_working_set", pod, running)
            memory = None if memory is None else max(0, memory)
        those = shims.get(uid, [])
        used, resident = sum(one.cpu_ns for one in those), sum(one.rss for one in those)
        found.append(PodOverhead(uid, cpu, memory, len(those), used, resident))
    return tuple(found), Kept(at, kept)


def _counted(pod: Cgroup, running: List[Cgroup], before: Optional[Counted], is_young: bool) -> Optional[Counted]:
    """The pod's counter of this turn; None = a figure is missing."""
    beyond, total = _beyond("cpu_usage_ns", pod, running), _number(pod, "cpu_usage_ns")
    if beyond is None or total is None:
        return None
    ids = frozenset(c.place.container_id for c in running)
    if before is None or total < before.pod_cpu:  # or another cgroup of the same name: the kubelet made it anew
        if is_young or before is not None:
            return Counted(0, max(0, beyond), ids, total)
        return Counted(beyond, None, ids, total)
    former = before.counted or 0
    if before.containers <= ids:
        return Counted(before.base, max(former, beyond - before.base), ids, total)
    return Counted(beyond - former, former, ids, total)


def _beyond(figure: str, pod: Cgroup, running: Iterable[Cgroup]) -> Optional[int]:
    """The pod's figure less those of its containers; None = one of them is not known."""
    numbers = [_number(cgroup, figure) for cgroup in (pod, *running)]
    known = [number for number in numbers if number is not None]
    return known[0] - sum(known[1:]) if len(known) == len(numbers) else None


def _number(cgroup: Cgroup, figure: str) -> Optional[int]:
    value = cgroup.figures.get(figure)
    return value if isinstance(value, int) else None


def _sandboxes(processes: Iterable[Process], named: Mapping[str, Named]) -> Set[str]:
    pauses: Set[str] = set()
    others: Set[str] = set()
    for process in processes:
        (pauses if process.is_pause else others).add(process.container_id)
    found = {id_ for id_ in pauses - others if id_ not in named}
    return found | {id_ for id_, name in named.items() if name.sandbox}


def _shims_of_pods(processes: Sequence[Process], pods: Mapping[str, str]) -> Dict[str, List[Process]]:
    """Pod uid -> its shims beside its cgroup. A monitor inside of that (CRI-O's own choice) is in the pod's figures
    already. `pods`: container id -> pod uid."""
    shims = {process.pid: process for process in processes if part_of(process) in _SHIMS and not process.pod_uid}
    owners: Dict[int, Set[str]] = {pid: set() for pid in shims}
    for process in processes:
        if process.ppid in owners and process.container_id:
            owners[process.ppid].add(process.pod_uid or pods.get(process.container_id, ""))
    found: Dict[str, List[Process]] = {}
    for pid, shim in shims.items():
        uids = owners[pid] | {pods.get(conmon_of(shim.cgroup), "")}
        uids.discard("")
        if len(uids) == 1:
            found.setdefault(uids.pop(), []).append(shim)
    return found
