"""One turn of the agent: every reader once, what each says put together, and what fails told instead.

A part that fails is Missing in that turn, and stops no other. What is read less often than each turn (processes,
the runtimes' APIs) is carried over, and says when it was read.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Set, Tuple, TypeVar

from krm.agent.asking import Runtimes, Told
from krm.agent.cgroups import Cgroups
from krm.agent.differences import Look, differences
from krm.agent.hierarchy import Hierarchy, NoCgroups, open_hierarchy
from krm.agent.seen import CONTAINER, Cgroup, Difference, Missing, Process, Seen
from krm.agent.walk import Walked, walk

T = TypeVar("T")
NO_VERSION = "none"  # of cgroups: none are mounted where they are looked for
log = logging.getLogger("krm")


class Asked(NamedTuple):
    """What the agent is told to do."""

    node: str
    procfs: Path = Path("/proc")
    cgroupfs: Path = Path("/sys/fs/cgroup")
    every: float = 5.0  # seconds between two turns
    commands: bool = False
    runtime_sockets: Tuple[str, ...] = ()
    kernel_log: str = ""  # "" = it is not read


class Turns:
    """Takes them, and keeps what outlives one. Not for several threads."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._hierarchy: Optional[Hierarchy] = None
        self._cgroups: Optional[Cgroups] = None
        self._walked = Walked({}, ())
        self._runtimes = Runtimes(asked.runtime_sockets, asked.node)
        self._told = Told({}, {}, (), ())
        self._look: Optional[Look] = None
        self._differences: Tuple[Difference, ...] = ()
        self._processes: Tuple[Process, ...] = ()
        self._processes_at: Optional[float] = None
        self._problems: List[Missing] = []
        self._logged: Set[Tuple[str, str]] = set()

    def turn(self, whole: bool) -> Seen:
        """What is there now. `whole`: processes and the runtimes' APIs too. Raises nothing that a node can do."""
        began, self._problems = time.thread_time(), []
        self._part("cgroups", self._walk, None)
        if whole:
            self._told = self._part("runtime API", self._runtimes.turn, self._told)
        nothing: Tuple[Cgroup, ...] = ()
        cgroups = self._part("cgroups", self._read, nothing)
        if whole and self._told.stats:
            self._part("runtime API", lambda: self._compare(cgroups), None)
        missing = (*self._walked.problems, *self._told.problems, *self._problems)
        return Seen(
            node=self._asked.node,
            time=time.time(),
            turn=self._asked.every,
            version=NO_VERSION if self._hierarchy is None else self._hierarchy.version,
            booted=None,
            node_figures={},
            cgroups=cgroups,
            named=self._told.names,
            processes=self._processes,
            runtime=(),
            overheads=(),
            differences=self._differences,
            kills=(),
            missing=tuple(dict.fromkeys(missing)),
            seconds=time.thread_time() - began,
            processes_at=self._processes_at,
        )

    def close(self) -> None:
        """Leaves nothing open."""
        self._runtimes.close()

    def _walk(self) -> None:
        try:
            if self._hierarchy is None:
                self._hierarchy = open_hierarchy(self._asked.cgroupfs)
                self._cgroups = Cgroups(self._hierarchy)
            self._walked = walk(self._hierarchy, self._walked)
        except NoCgroups as error:
            self._hierarchy, self._walked = None, Walked({}, ())  # it is looked for anew
            self._problems.append(Missing("cgroups", str(error)))

    def _read(self) -> Tuple[Cgroup, ...]:
        if self._cgroups is None or self._hierarchy is None:
            return ()
        found = self._cgroups.turn(self._walked.places.values(), self._others(), time.time())
        return self._cgroups.since(found, self._processes)

    def _others(self) -> FrozenSet[str]:
        return frozenset()

    def _compare(self, cgroups: Tuple[Cgroup, ...]) -> None:
        containers = {one.place.container_id: one for one in cgroups if one.place.level == CONTAINER}
        look = Look(containers, self._told.stats)
        self._differences = tuple(differences(look, self._look))
        self._look = look

    def _part(self, what: str, work: Callable[[], T], otherwise: T) -> T:
        """What `work` answers; where it fails, that is told, and `otherwise`."""
        try:
            return work()
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            if (what, told) not in self._logged and len(self._logged) < 1000:
                self._logged.add((what, told))
                log.exception("%s could not be read", what)
            self._problems.append(Missing(what, f"they could not be read in this turn: {told}"))
            return otherwise
