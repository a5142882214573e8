"""What processes are to their pod: who holds its namespaces open, and whose PID namespace a container shares. Pure.

A PID namespace ends with its process 1, so each that lives has one: a container without a process 1 at the depth
of its first process lives in another's namespace. In a pod that shares its processes that is the sandbox's; a
debug container may share another container's. Which one the kernel tells only to who may trace the process, so
where two could be it, it is not known.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Set

from krm.agent.seen import Process

PAUSE = "pause"  # name of the program that runtimes bring for it


class Marks(NamedTuple):
    """What the pod's other processes tell of one. By PID."""

    pauses: Set[int]
    shared: Mapping[int, str]  # PID -> id of the container in whose PID namespace it is


def marks(processes: Iterable[Process], sandboxes: Set[str]) -> Marks:
    """Of one moment's processes. `sandboxes`: ids of containers that their runtime calls so."""
    pods: Dict[str, Dict[str, List[Process]]] = {}
    for one in processes:
        if one.container_id and one.pod_uid:
            pods.setdefault(one.pod_uid, {}).setdefault(one.container_id, []).append(one)
    pauses: Set[int] = set()
    shared: Dict[int, str] = {}
    for containers in pods.values():
        pauses.update(_pauses(containers, sandboxes))
        shared.update(_shared(containers))
    return Marks(pauses, shared)


def _pauses(containers: Mapping[str, List[Process]], sandboxes: Set[str]) -> Set[int]:
    """The first processes of sandboxes. Where no runtime says which those are: the pod's oldest process, if it is
    alone in its container and named pause."""
    told = sandboxes.intersection(containers)
    if told:
        return {min(containers[one], key=lambda process: process.started_ticks).pid for one in told}
    oldest = min((one for all_of in containers.values() for one in all_of), key=lambda one: one.started_ticks)
    is_pause = oldest.name == PAUSE and len(containers[oldest.container_id]) == 1
    return {oldest.pid} if is_pause else set()


def _shared(containers: Mapping[str, List[Process]]) -> Dict[int, str]:
    owners: Dict[int, List[str]] = {}  # depth -> containers with a process 1 at it
    # Container -> depth of its first processes. What lies deeper it made itself. At depth 1 it shares the host's,
    # or is being started: runc puts a process of the host's namespace into the cgroup first.
    depths: Dict[str, int] = {}
    for name, all_of in containers.items():
        depth = min((one.pid_depth for one in all_of if one.pid_depth > 1), default=0)
        if depth:
            depths[name] = depth
        if any(one.pid_inside == 1 and one.pid_depth == depth for one in all_of):
            owners.setdefault(depth, []).append(name)
    found: Dict[int, str] = {}
    for name, depth in depths.items():
        possible = owners.get(depth, [])
        if len(possible) == 1 and possible[0] != name:
            found.update((one.pid, possible[0]) for one in containers[name] if one.pid_depth == depth)
    return found
