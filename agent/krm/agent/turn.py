"""One turn of the agent: every reader once, what each says put together, and what fails told instead.

A part that fails is Missing in that turn, and stops no other. What is read less often than each turn (processes,
the runtimes' APIs) is carried over, and says when it was read.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Set, Tuple, TypeVar

from krm.agent.cgroupfs.cgroups import Cgroups
from krm.agent.cgroupfs.hierarchy import Hierarchy, NoCgroups, open_hierarchy
from krm.agent.cgroupfs.walk import Walked, walk
from krm.agent.lacking import lacking
from krm.agent.node import Node, read_node
from krm.agent.oom.killing import Kills
from krm.agent.oom.killing import Looked as Read
from krm.agent.process.processes import Processes
from krm.agent.runtime.asking import Runtimes, Told
from krm.agent.runtime.differences import Look, differences
from krm.agent.runtime.overhead import Kept, pod_overheads, runtime_cgroups, runtime_costs
from krm.agent.seen import (
    CONTAINER,
    NO_VERSION,
    Cgroup,
    Difference,
    Missing,
    PodOverhead,
    Process,
    RuntimeCost,
    Seen,
)
from krm.model.kills import Kill

T = TypeVar("T")
MOST_LOGGED = 1000  # failures, each once
_NO_CGROUPS: Tuple[Cgroup, ...] = ()
_NO_COSTS: Tuple[RuntimeCost, ...] = ()
_NO_MISSING: Tuple[Missing, ...] = ()
_NO_OVERHEADS: Tuple[PodOverhead, ...] = ()
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


class _Looked(NamedTuple):
    """Processes, as they were looked at last."""

    rows: Tuple[Process, ...]
    problems: Tuple[Missing, ...]
    at: Optional[float]  # Unix seconds


class Turns:
    """Takes them, and keeps what outlives one. Not for several threads."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._hierarchy: Optional[Hierarchy] = None
        self._cgroups: Optional[Cgroups] = None
        self._walked = Walked({}, ())
        self._node = Node({}, None, ())
        self._processes = _Looked((), (), None)
        self._reader = Processes(asked.procfs, asked.commands)
        self._runtimes = Runtimes(asked.runtime_sockets, asked.node)
        self._told = Told({}, {}, (), ())
        self._look: Optional[Look] = None
        self._differences: Tuple[Difference, ...] = ()
        self._overheads: Optional[Kept] = None
        self._costs, self._beside = _NO_COSTS, _NO_OVERHEADS
        self._killing = Kills(asked.node, asked.procfs, asked.kernel_log)
        self._kills: Tuple[Kill, ...] = ()
        self._problems: List[Missing] = []
        self._logged: Set[Tuple[str, str]] = set()

    def turn(self, whole: bool) -> Seen:
        """What is there now. `whole`: processes and the runtimes' APIs too. Raises nothing that a node can do."""
        began, self._problems = time.thread_time(), []
        self._part("cgroups", self._walk, None)
        if whole:
            self._told = self._part("runtime API", self._runtimes.turn, self._told)
            self._processes = self._part("processes", self._look_at_processes, self._processes)
        cgroups = self._part("cgroups", self._read, _NO_CGROUPS)
        self._node = self._part("node figures", self._read_node, self._node)
        if whole:
            self._differences = self._part("runtime API", lambda: self._compare(cgroups), self._differences)
        rows = self._processes.rows
        if whole:  # of processes too: they are of the moment at which those were read, and of no other
            self._costs = self._part("runtime overhead", lambda: runtime_costs(cgroups, rows), _NO_COSTS)
            self._beside = self._part("runtime overhead", lambda: self._beyond(cgroups), _NO_OVERHEADS)
        self._kills = self._part("OOM kills", lambda: self._ask_for_kills(cgroups), self._kills)
        lacks = self._part("cgroups", lambda: self._lacking(cgroups), _NO_MISSING)
        told = (self._walked.problems, lacks, self._processes.problems, self._node.missing, self._told.problems)
        missing = [*(one for problems in told for one in problems), *self._problems]
        return Seen(
            node=self._asked.node,
            time=time.time(),
            turn=self._asked.every,
            version=NO_VERSION if self._hierarchy is None else self._hierarchy.version,
            booted=self._node.booted,
            node_figures=self._node.figures,
            cgroups=cgroups,
            named=self._told.names,
            processes=rows,
            runtime=self._costs,
            overheads=self._beside,
            differences=self._differences,
            kills=self._kills,
            kills_since=self._killing.since,
            missing=tuple(dict.fromkeys(missing)),
            seconds=time.thread_time() - began + (self._told.seconds if whole else 0.0),
            processes_at=self._processes.at,
        )

    def close(self) -> None:
        """Leaves nothing open."""
        self._runtimes.close()
        self._killing.close()

    def _walk(self) -> None:
        try:
            if self._hierarchy is None:
                self._hierarchy = open_hierarchy(self._asked.cgroupfs)
                self._cgroups = Cgroups(self._hierarchy)
                self._reader = Processes(self._asked.procfs, self._asked.commands, self._hierarchy)
            self._walked = walk(self._hierarchy, self._walked)
        except NoCgroups as error:
            self._hierarchy = self._cgroups = None  # they are looked for anew
            self._walked = Walked({}, ())
            self._problems.append(Missing("cgroups", str(error)))

    def _look_at_processes(self) -> _Looked:
        now = time.time()
        try:
            rows, problems = self._reader.turn(self._walked.places, self._told.names, now)
        except OSError as error:
            why = f"{self._asked.procfs} cannot be listed ({error.strerror}): give --procfs the node's /proc"
            return _Looked((), (Missing("processes", why),), None)
        if not rows:  # the agent's own is always there
            why = f"{self._asked.procfs} has none: give --procfs the node's /proc"
            return _Looked((), (Missing("processes", why), *problems), None)
        return _Looked(rows, problems, now)

    def _read(self) -> Tuple[Cgroup, ...]:
        if self._cgroups is None:
            return ()
        rows = self._processes.rows
        found = self._cgroups.turn(
            self._walked.places.values(), runtime_cgroups(rows), time.time(), self._walked.inodes
        )
        return self._cgroups.since(found, rows)

    def _lacking(self, cgroups: Tuple[Cgroup, ...]) -> Tuple[Missing, ...]:
        return () if self._hierarchy is None else lacking(self._hierarchy, cgroups)

    def _read_node(self) -> Node:
        return read_node(self._hierarchy, self._asked.procfs, time.time())

    def _compare(self, cgroups: Tuple[Cgroup, ...]) -> Tuple[Difference, ...]:
        containers = {one.place.container_id: one for one in cgroups if one.place.level == CONTAINER}
        look, before = Look(containers, self._told.stats), self._look
        self._look = look
        return tuple(differences(look, before))

    def _beyond(self, cgroups: Tuple[Cgroup, ...]) -> Tuple[PodOverhead, ...]:
        found, self._overheads = pod_overheads(cgroups, self._processes.rows, self._told.names, self._overheads)
        return found

    def _ask_for_kills(self, cgroups: Tuple[Cgroup, ...]) -> Tuple[Kill, ...]:
        looked = Read(
            time.time(), time.monotonic(), NO_VERSION if self._hierarchy is None else self._hierarchy.version,
            cgroups, self._node.figures, self._told.names, self._processes.rows, self._told.ended,
        )  # fmt: skip
        kills, missing = self._killing.turn(looked)
        self._problems += missing
        return kills

    def _part(self, what: str, work: Callable[[], T], otherwise: T) -> T:
        """What `work` answers; where it fails, that is told, and `otherwise`."""
        try:
            return work()
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            if (what, told) not in self._logged and len(self._logged) < MOST_LOGGED:
                self._logged.add((what, told))
                log.exception("%s could not be read", what)
            self._problems.append(Missing(what, f"they could not be read in this turn: {told}"))
            return otherwise
