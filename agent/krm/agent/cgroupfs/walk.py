"""The walk over all cgroups of a node, within bounds that no container can make others pay for.

Breadth first, and first all that lies outside of containers and units: whoever may make cgroups below its own (a
service of systemd, a container with a nested node in it) comes after the pods, and each has a share of its own.
A leaf costs one stat: a folder of cgroupfs has two links, and one more for each folder in it.

Whoever may make cgroups may also name them after a pod or container of another. Of two that claim one id the one
that is found first counts, which is the outer one; the other, with all below it, is a part of what it lies in.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Deque, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Set, Tuple

from krm.agent.cgroupfs.hierarchy import Hierarchy, NoCgroups
from krm.agent.cgroupfs.places import below, place_of, printable
from krm.agent.seen import CONTAINER, NODE, OTHER, POD, Missing, Place

MOST_CGROUPS = 10_000  # of a node: 500 pods of five containers each are 3,000
MOST_INSIDE = 1_000  # of them within one container: a nested node of 110 pods has some 600
MOST_IN_UNIT = 5_000  # within one unit of systemd: a runtime's may hold all containers of the node
MOST_DEPTH = 32  # names on a path. A container of a nested node within a nested node has 15
MOST_LENGTH = 3_000  # characters of a path below the root; the kernel takes 4,095 bytes with root and file
MOST_ENTRIES = 100_000  # files and folders of one cgroup that are looked at
_SHOWN = 80  # characters of a path in a sentence
_LEAF = 2  # links

_ROOT = Place(NODE, "/")


class Walked(NamedTuple):
    """All cgroups that were found, parents before their children."""

    places: Mapping[str, Place]  # path -> place
    problems: Tuple[Missing, ...]
    inodes: Mapping[str, int] = {}  # path -> its folder's: another one is another cgroup
    false: FrozenSet[str] = frozenset()  # paths that claim an id which another cgroup has


class _Waiting(NamedTuple):
    path: str  # "" = the root
    depth: int
    inside: str  # path of the outermost container or unit that it lies in, "" = in none
    part_of: Optional[Place]  # it is a part of that, whatever its name says


def walk(hierarchy: Hierarchy, known: Optional[Walked] = None) -> Walked:
    """Every cgroup that there is now; `known` is the former walk, whose paths are not read again. NoCgroups: the
    root itself cannot be listed."""
    return _Walk(hierarchy, known or Walked({}, ())).run()


class _Walk:
    """One walk."""

    def __init__(self, hierarchy: Hierarchy, known: Walked) -> None:
        self._base = hierarchy.folder(hierarchy.walked(), "")
        self._known = known
        self._places: Dict[str, Place] = {"/": _ROOT}
        self._false: Set[str] = set()
        self._claimed: Set[Tuple[str, str]] = set()
        self._counts: Dict[str, int] = {}  # container or unit -> cgroups found in it
        self._inodes: Dict[str, int] = {}
        self._links = True  # the number of links tells how many folders there are
        self._problems: Dict[str, Tuple[str, int]] = {}  # why -> first path, number

    def run(self) -> Walked:
        first: Deque[_Waiting] = deque([_Waiting("", 0, "", None)])
        later: Deque[_Waiting] = deque()
        while first or later:
            here = (first or later).popleft()
            for name in self._folders(here.path):
                found = self._found(here, name)
                if found is not None:
                    (later if found.inside else first).append(found)
        said = tuple(
            Missing(
                "cgroups", f"{why}: {printable(path[:_SHOWN])}" + (f" and {number - 1} more" if number > 1 else "")
            )
            for why, (path, number) in self._problems.items()
        )
        return Walked(self._places, said, self._inodes, frozenset(self._false))

    def _folders(self, path: str) -> List[str]:
        """Names of the cgroups directly below; [] where it is gone."""
        folder = self._base + path
        names: List[str] = []
        try:
            status = os.stat(folder or "/", follow_symlinks=False)
            self._inodes[path], links = status.st_ino, status.st_nlink
            if self._links and path and links == _LEAF:
                return names
            with os.scandir(folder or "/") as entries:
                for number, entry in enumerate(entries):
                    if number >= MOST_ENTRIES:
                        self._problem(
                            f"a cgroup has more than {MOST_ENTRIES} files and cgroups, the rest is cut", path
                        )
                        break
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not path:
                raise NoCgroups(
                    f"{folder}: {error.strerror}. Is the host's /sys/fs/cgroup still mounted?"
                ) from None
        except OSError as error:
            if not path:
                raise NoCgroups(f"{folder}: {error.strerror}. Mount the host's /sys/fs/cgroup readable.") from None
            self._problem(f"what lies below cannot be listed ({error.strerror})", path)
        else:
            # Not every file system that a tree can lie on counts so; the first folder shows it.
            if not path:
                self._links = links == _LEAF + len(names)
        return names

    def _found(self, here: _Waiting, name: str) -> Optional[_Waiting]:
        """Takes one cgroup in; None = its bounds are reached."""
        path, depth = f"{here.path}/{name}", here.depth + 1
        if depth > MOST_DEPTH or len(path) > MOST_LENGTH:
            self._problem(f"deeper than {MOST_DEPTH} names or longer than {MOST_LENGTH} characters, cut", path)
            return None
        if len(self._places) >= MOST_CGROUPS:
            self._problem(f"more than {MOST_CGROUPS} cgroups on this node, the rest is cut", path)
            return None
        if here.inside:
            count = self._counts.get(here.inside, 0)
            is_container = self._places[here.inside].level == CONTAINER
            most, which = (MOST_INSIDE, "container") if is_container else (MOST_IN_UNIT, "unit")
            if count >= most:
                self._problem(f"more than {most} cgroups in one {which}, the rest is cut", path)
                return None
            self._counts[here.inside] = count + 1
        place, part_of = self._place(here, path)
        self._places[path] = place
        inside = here.inside
        if not inside and (place.level == CONTAINER or name.endswith((".service", ".scope"))):
            inside = path
        return _Waiting(path, depth, inside, part_of)

    def _place(self, here: _Waiting, path: str) -> Tuple[Place, Optional[Place]]:
        """Its place, and what all below it are a part of, if they have no say in it."""
        if here.part_of is not None:
            return below(here.part_of, path), here.part_of
        false = path in self._known.false
        place = place_of(path) if false else self._known.places.get(path) or place_of(path)
        if place.level in (POD, CONTAINER):
            claim = (place.level, place.pod_uid if place.level == POD else place.container_id)
            if false or claim in self._claimed:
                self._false.add(path)
                self._problem("it bears the id of another cgroup, and is taken for a part of what it lies in", path)
                around = self._around(here.path)
                return below(around, path), around
            self._claimed.add(claim)
        return place, None

    def _around(self, path: str) -> Place:
        """The container that `path` lies in, or else the root."""
        while path:
            place = self._places[path]
            if place.level == CONTAINER:
                return place
            path = path.rpartition("/")[0]
        return Place(OTHER, "")

    def _problem(self, why: str, path: str) -> None:
        first, number = self._problems.get(why, (path, 0))
        self._problems[why] = (first, number + 1)
