"""Which container a process is in, by the path that /proc/PID/cgroup shows.

Who reads from within a cgroup namespace is shown paths that begin at its own cgroup: `/../../podX/idX`, and `/`
for itself. Where the own cgroup is known these are resolved exactly; else by the name of a container or pod.
The container is the innermost one that Kubernetes knows: what a container makes below its own cgroup, with a
dockerd in it or without, is that container's; a pod of a nested node (kind) is the pod's.
Who may make cgroups may name them after those of others, so what was walked goes before what a path claims.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional

from krm.agent.cgroupfs.hierarchy import Hierarchy, Unreadable
from krm.agent.cgroupfs.places import place_of
from krm.agent.seen import CONTAINER, OTHER, POD, Place

_MOST_NESTED = 8  # containers within containers of one pod
_NOBODY = Place(OTHER, "")


class Belongs(NamedTuple):
    """Whose a process is."""

    cgroup: str  # path below the hierarchy's root, "" = not known
    container_id: str = ""
    pod_uid: str = ""


class Belonging:
    """Paths to owners, by one walk over the cgroups."""

    def __init__(self, places: Mapping[str, Place], inside: bool, own: str = "") -> None:
        """`inside`: the reader is in a cgroup namespace. `own`: the path of its root, "" = not known."""
        self._places, self._inside, self._own = places, inside, own
        self._containers: Dict[str, Place] = {}  # by id
        self._pods: Dict[str, Place] = {}  # by uid
        self._names: Dict[str, Place] = {}  # both by the last name of their path
        for place in places.values():
            if place.level == CONTAINER:
                self._containers.setdefault(place.container_id, place)
            elif place.level == POD:
                self._pods.setdefault(place.pod_uid, place)
            else:
                continue
            self._names.setdefault(place.path.rpartition("/")[2], place)
        self._told: Dict[str, Optional[Belongs]] = {}

    def of(self, shown: str) -> Optional[Belongs]:
        """Whose a process at `shown` is. None: that is not known, not even that it is the host's."""
        if shown not in self._told:
            self._told[shown] = self._of(shown)
        return self._told[shown]

    def _of(self, shown: str) -> Optional[Belongs]:
        path = self._resolved(shown) if self._inside else self._below_root(shown)
        if path:
            place = self._places.get(path) or self._unwalked(path)
        elif not shown.startswith("/../"):
            return None  # the reader's own container or pod, and nobody said which one that is
        else:
            place = place_of(shown)  # passes over `/..`; what lies above a pod is no container
        for _ in range(_MOST_NESTED):
            outer = self._containers.get(place.outer, _NOBODY)
            if not outer.pod_uid or outer.pod_uid != place.pod_uid:
                break
            place = outer
        if place.outer and not place.container_id:  # in a nested node's pod or class, and in none of its containers
            place = self._containers.get(place.outer, place)
        return Belongs(path, place.container_id, place.pod_uid)

    def _resolved(self, shown: str) -> str:
        """Of a path as seen from the reader's cgroup the one below the hierarchy's root; "" = not known."""
        names = [name for name in shown.split("/") if name]
        up = 0
        while up < len(names) and names[up] == "..":
            up += 1
        if self._own:
            above = self._own.split("/")[1:]
            return "/" + "/".join(above[: max(0, len(above) - up)] + names[up:])
        return self._by_name(names[up:])

    def _below_root(self, shown: str) -> str:
        """`shown` without what stands above the root that was walked, in a nested node that is in no namespace."""
        names = shown.split("/")
        if shown in self._places or f"/{names[1]}" in self._places:
            return shown
        return self._by_name(names[1:]) or shown

    def _by_name(self, names: List[str]) -> str:
        """The path of the first container or pod among `names`, and what lies below it; "" = there is none."""
        for number, name in enumerate(names, 1):
            place = self._names.get(name)
            if place is not None:
                ending = "/" + "/".join(names[:number])
                if place.path.endswith(ending) or ending.endswith(place.path):
                    return "/".join([place.path, *names[number:]])
        return ""

    def _unwalked(self, path: str) -> Place:
        """The place of a cgroup that was made since the walk, or that lies beyond the walk's bounds."""
        claimed = place_of(path)
        for walked in (self._containers.get(claimed.container_id), self._pods.get(claimed.pod_uid)):
            if walked is not None and not path.startswith(walked.path + "/"):
                return self._around(path)
        return claimed

    def _around(self, path: str) -> Place:
        """The innermost cgroup around `path` that was walked."""
        while path:
            path = path.rpartition("/")[0]
            if path in self._places:
                return self._places[path]
        return _NOBODY


def own_cgroup(hierarchy: Hierarchy, places: Mapping[str, Place], pid: int) -> str:
    """The path of the cgroup that holds the process `pid` as this process sees it: cgroup.procs tells PIDs of the
    reader's own namespace, and of others none or 0. "" = none does. Containers are looked at first."""
    wanted = b"%d" % pid
    walked = hierarchy.walked()
    for path in sorted(places, key=lambda path: places[path].level != CONTAINER):
        try:
            if wanted in hierarchy.read(walked, path, "cgroup.procs").split():
                return path
        except (FileNotFoundError, Unreadable):
            continue
    return ""
