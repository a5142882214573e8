"""What the kernel itself counts for a container: the truth that pages and krm are held against."""

import time
from pathlib import Path
from typing import Dict, NamedTuple

from node.machine import CGROUP, hierarchies


class Reading(NamedTuple):
    """One look at a cgroup. time: seconds since the epoch; used: CPU seconds so far; the others: bytes.

    working_set is what the kubelet calls so: memory in use without the file pages that lie idle.
    """

    time: float
    used: float
    working_set: int
    rss: int


class Counters:
    """The counters of the cgroup of one container, with cgroups of version 1 or 2."""

    def __init__(self, container_id: str, below: str = CGROUP) -> None:
        """container_id: as a pod's status has it, `containerd://...`. below: a cgroup at the hierarchies' root."""
        self._below = below
        name = container_id.rpartition("/")[2]
        self._folders: Dict[str, Path] = {}
        for hierarchy in hierarchies():
            for folder in (hierarchy / below).rglob(name):
                for file in folder.iterdir():
                    self._folders.setdefault(file.name, folder)
        if "memory.stat" not in self._folders:
            raise FileNotFoundError(f"no cgroup of container {name}")

    @property
    def path(self) -> str:
        """Below a hierarchy, as `/krm-test-node/kubepods/burstable/pod.../...`."""
        folder = str(self._folders["memory.stat"])
        return folder[folder.index(f"/{self._below}/") :]

    def read(self) -> Reading:
        memory = self._fields("memory.stat")
        if "cpuacct.usage" in self._folders:
            began = time.time()
            used = int(self._text("cpuacct.usage")) / 1e9
            usage, idle = int(self._text("memory.usage_in_bytes")), memory["total_inactive_file"]
            rss = memory["total_rss"]
        else:
            began = time.time()
            used = self._fields("cpu.stat")["usage_usec"] / 1e6
            usage, idle, rss = int(self._text("memory.current")), memory["inactive_file"], memory["anon"]
        return Reading(began, used, max(0, usage - idle), rss)

    def _text(self, file: str) -> str:
        return (self._folders[file] / file).read_text()

    def _fields(self, file: str) -> Dict[str, int]:
        return {name: int(value) for name, value in (line.split() for line in self._text(file).splitlines())}
