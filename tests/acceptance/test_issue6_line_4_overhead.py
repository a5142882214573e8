"""Issue 6, line 4: with 50 real containers the agent's figure for shims and containerd is the sum read by hand.

By hand: /proc/PID/exe says which program a process is, its arguments which pod's shim, and its stat what it used.
The agent knows none of these but stat: it goes by names, cgroups and parents, as it has no right to the others.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest
from krm.agent.cgroups import Cgroups
from krm.agent.hierarchy import Hierarchy, open_hierarchy
from krm.agent.overhead import pod_overheads, runtime_cgroups, runtime_costs
from krm.agent.processes import Processes
from krm.agent.seen import Named, PodOverhead, RuntimeCost
from krm.agent.walk import walk
from node.crowd import CrowdPod, crowd
from node.real import SEARCHED
from node.servers import Containerd

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]
PODS, CONTAINERS = 10, 5
PROC, TICK_NS, PAGE = Path("/proc"), 10_000_000, os.sysconf("SC_PAGE_SIZE")
TRIES = 40
# What five containers, which work for a ms each second, may use between the reads of one pod's cgroups.
SKEW_NS, SKEW_BYTES = 5e6, 400 * 1024
NEEDED = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "busybox": "busybox-static"}


class ByHand(NamedTuple):
    program: str
    started: int
    cpu_ns: int
    rss: int
    sandbox: str  # of a shim: the id that it was started with


class World(NamedTuple):
    containerd: Containerd
    pods: List[CrowdPod]
    named: Dict[str, Named]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    lack = {package for name, package in NEEDED.items() if shutil.which(name, path=SEARCHED) is None}
    why = "50 real containers need Linux and root: run `sudo make test-node`" if os.geteuid() else ""
    if lack:
        why = f"50 real containers need {', '.join(sorted(lack))}: run `apt-get install {' '.join(sorted(lack))}`"
    if why and os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    if why:
        pytest.skip(why)
    runc, busybox = (shutil.which(name, path=SEARCHED) or name for name in ("runc", "busybox"))
    with crowd(Path(runc), Path(busybox), PODS, CONTAINERS) as (containerd, pods):
        named = {pod.ids[0]: Named("crowd", pod.uid, "", pod.uid, sandbox=True) for pod in pods}
        yield World(containerd, pods, named)


class Agent:
    """What the agent makes of this machine, turn by turn."""

    def __init__(self, named: Dict[str, Named]) -> None:
        self.hierarchy: Hierarchy = open_hierarchy(Path("/sys/fs/cgroup"))
        self._cgroups = Cgroups(self.hierarchy)
        self._processes = Processes(PROC, False, self.hierarchy)
        self._named, self._kept = named, None  # type: Dict[str, Named], Optional[Kept]

    def turn(self) -> Tuple[Dict[str, RuntimeCost], Dict[str, PodOverhead]]:
        walked, now = walk(self.hierarchy), time.time()
        processes, _ = self._processes.turn(walked.places, self._named, now)
        cgroups = self._cgroups.turn(walked.places.values(), runtime_cgroups(processes), now)
        overheads, self._kept = pod_overheads(cgroups, processes, self._named, self._kept)
        costs = runtime_costs(cgroups, processes)
        return {cost.part: cost for cost in costs}, {one.pod_uid: one for one in overheads}


def by_hand() -> Dict[int, ByHand]:
    """containerd and its shims on this machine."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            program = os.readlink(folder / "exe").rpartition("/")[2]
            if program not in ("containerd", "containerd-shim-runc-v2"):
                continue
            words = (folder / "cmdline").read_text().split("\0")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        sandbox = words[words.index("-id") + 1] if "-id" in words else ""
        used = (int(fields[11]) + int(fields[12])) * TICK_NS
        found[int(folder.name)] = ByHand(program, int(fields[19]), used, int(fields[21]) * PAGE, sandbox)
    return found


def used(rows: Dict[int, ByHand], program: str) -> Tuple[int, int, int]:
    those = [row for row in rows.values() if row.program == program]
    return len(those), sum(row.cpu_ns for row in those), sum(row.rss for row in those)


def test_shims_and_containerd_are_the_sum_read_by_hand(world: World) -> None:
    """The same to the byte in a turn before and after which the hand read the same."""
    agent = Agent(world.named)
    for _ in range(TRIES):
        before = by_hand()
        costs, overheads = agent.turn()
        after = by_hand()
        if before == after:
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"in none of {TRIES} looks containerd and its shims stood still")
    for part, program in (("containerd", "containerd"), ("containerd-shim", "containerd-shim-runc-v2")):
        told = costs[part]
        print(f"{part}: {told.processes} processes, {told.cpu_ns / 1e9:.2f} s CPU, {told.rss / 2**20:.1f} MiB")
        assert (told.processes, told.cpu_ns, told.rss) == used(before, program)
    assert costs["containerd-shim"].processes >= PODS
    assert costs["containerd"].rss > 0
    shims = {row.sandbox: row for row in before.values() if row.sandbox}
    for pod in world.pods:
        mine, shim = overheads[pod.uid], shims[pod.ids[0]]
        assert (mine.shims, mine.shim_cpu_ns, mine.shim_rss) == (1, shim.cpu_ns, shim.rss)


def test_a_pods_overhead_is_its_cgroup_less_its_containers(world: World) -> None:
    """Over ten seconds, with a hand that reads before and after each of the agent's two turns."""
    agent = Agent(world.named)
    agent.turn()
    looks: List[Dict[str, Tuple[int, int]]] = []

    def turn() -> Dict[str, PodOverhead]:
        looks.append({pod.uid: beyond(agent.hierarchy, pod) for pod in world.pods})
        _, overheads = agent.turn()
        looks.append({pod.uid: beyond(agent.hierarchy, pod) for pod in world.pods})
        return overheads

    begun = turn()
    time.sleep(10.0)
    now = turn()
    for pod in world.pods:
        first, second, third, last = (look[pod.uid] for look in looks)
        counted, was, memory = now[pod.uid].cpu_ns, begun[pod.uid].cpu_ns, now[pod.uid].memory
        assert counted is not None
        assert was is not None
        assert memory is not None
        inner, outer = third[0] - second[0], last[0] - first[0]
        told = f"{(counted - was) / 1e6:.1f} ms of CPU, by hand {inner / 1e6:.1f} to {outer / 1e6:.1f} ms"
        print(f"{pod.uid}: {told}; {memory / 2**20:.2f} MiB, by hand {last[1] / 2**20:.2f} MiB")
        assert inner - SKEW_NS <= counted - was <= outer + SKEW_NS
        assert inner > 10 * SKEW_NS  # else the line above says little
        assert memory == pytest.approx(last[1], abs=SKEW_BYTES)


def beyond(hierarchy: Hierarchy, pod: CrowdPod) -> Tuple[int, int]:
    """CPU in ns, and working set in bytes, of the pod's cgroup less its containers but the sandbox."""
    values = [one(hierarchy, pod.cgroup), *(one(hierarchy, f"{pod.cgroup}/{id_}") for id_ in pod.ids[1:])]
    return values[0][0] - sum(v[0] for v in values[1:]), values[0][1] - sum(v[1] for v in values[1:])


def one(hierarchy: Hierarchy, path: str) -> Tuple[int, int]:
    root = Path("/sys/fs/cgroup")
    if hierarchy.version == "v2":
        lines = dict(line.split() for line in (root / path[1:] / "cpu.stat").read_text().splitlines())
        stat = dict(line.split() for line in (root / path[1:] / "memory.stat").read_text().splitlines())
        usage = int((root / path[1:] / "memory.current").read_text())
        return int(lines["usage_usec"]) * 1000, usage - int(stat["inactive_file"])
    cpu = int((root / "cpuacct" / path[1:] / "cpuacct.usage").read_text())
    memory = root / "memory" / path[1:]
    stat = dict(line.split() for line in (memory / "memory.stat").read_text().splitlines())
    return cpu, int((memory / "memory.usage_in_bytes").read_text()) - int(stat["total_inactive_file"])
