"""The parts of an agent's turn that concern kills, for tests that kill."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from krm.agent.cgroupfs.cgroups import Cgroups
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.cgroupfs.walk import walk
from krm.agent.node import read_node
from krm.agent.oom.killing import Kills, Looked
from krm.agent.oom.kmsg import KernelLog
from krm.agent.runtime.runtimes import Runtime, RuntimeSilent
from krm.model.kills import Kill

KMSG = "/dev/kmsg"
PROC = Path("/proc")


def log_readable() -> bool:
    """Whether this process may read the kernel's log."""
    try:
        os.close(os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def wait_for_reports(within: float = 15.0) -> None:
    """Until the kernel says again where and why it kills: it reports ten kills in 5 s, whoever's they are."""
    ends = time.monotonic() + within
    while log_readable() and time.monotonic() < ends:
        log, now = KernelLog(KMSG, "any", "any"), time.time()
        kills, _ = log.turn(now, time.monotonic())
        log.close()
        if sum(kill.at > now - 5.5 for kill in kills) < 5:
            return
        time.sleep(0.2)


class KillAgent:
    """`log`: path of /dev/kmsg, "" = it is not read."""

    def __init__(self, node: str, log: str, runtime: Optional[Runtime] = None) -> None:
        self.hierarchy = open_hierarchy(Path("/sys/fs/cgroup"))
        self.missing: List[str] = []
        self._cgroups, self._runtime = Cgroups(self.hierarchy), runtime
        self._kills = Kills(node, PROC, log)

    def turn(self) -> Tuple[Kill, ...]:
        node = read_node(self.hierarchy, PROC, time.time()).figures
        cgroups = self._cgroups.turn(walk(self.hierarchy).places.values(), frozenset(), time.time())
        looked = Looked(time.time(), time.monotonic(), self.hierarchy.version, cgroups, node)
        if self._runtime is not None:
            with contextlib.suppress(RuntimeSilent):
                looked = looked._replace(named=self._runtime.names(), ended=self._runtime.ended())
        kills, missing = self._kills.turn(looked)
        self.missing = [one.why for one in missing]
        return kills

    def until(
        self, there: Callable[[Tuple[Kill, ...]], bool], within: float, pause: float = 0.2
    ) -> Tuple[Kill, ...]:
        """Turn after turn, at most `within` seconds."""
        ends = time.monotonic() + within
        while True:
            kills = self.turn()
            if there(kills) or time.monotonic() > ends:
                return kills
            time.sleep(pause)

    def close(self) -> None:
        self._kills.close()
        if self._runtime is not None:
            self._runtime.close()
